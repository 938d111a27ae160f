"""The run: probes through networks, one network at a time, then probe by probe over networks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pyattrx import ops
from pyattrx._ambient import neutrally
from pyattrx._progress import progress
from pyattrx.affinities.result import Affinity
from pyattrx.affinities.rows import Place, Room, RowStore, check_scratch
from pyattrx.affinities.scoring import BlockSums, Plan, Scores, Spill, by_blocks, combined
from pyattrx.errors import EncoderError, InvalidType, InvalidValue
from pyattrx.methods import ComparisonMethod, Method, Summary
from pyattrx.methods import get as get_method
from pyattrx.probes import Probes
from pyattrx.running import (
    Description,
    Failures,
    OnError,
    Source,
    beside,
    check_batch_size,
    check_compile,
    check_precision,
    check_sources,
    device_name,
    one_by_one,
    resolve_device,
    versions,
)
from pyattrx.statistics import PairMoments, clustered_stderr, jackknife_blocks

__all__ = ["Rows", "affinity", "compare"]

# Rows of a block of probes on all networks, while they are compared.
_BLOCK_BYTES = 64 << 20
# Networks compared at once; more are taken block against block.
_BLOCK_NETWORKS = 256
# Per-probe cosines are kept up to this size.
_COSINE_BYTES = 64 << 20


@neutrally
def affinity(
    encoders: Iterable[Source],
    probes: Probes,
    method: str | ComparisonMethod = "recommended",
    batch_size: int = 32,
    device: str | torch.device | None = None,
    *,
    precision: str = "float32",
    compile: bool = False,
    scratch: str | Path | None = None,
    on_error: OnError = "raise",
) -> Affinity:
    """Compute how near networks are to one another.

    Or another score: see `method`. Networks are loaded and run one at a time, and what is kept of
    them goes to a scratch file beyond 128 MiB. Maps: memory grows with neither networks nor
    probes. A `FeatureMethod`: memory grows with probes, since the features of one network on all of
    them, or a few matrices of N x N, are in memory together (docs/conventions.md has figures); what
    it keeps of each network is one or two such matrices, or its features.

    Parameters
    ----------
    encoders : iterable of Encoder, str or callable
        Networks: encoders, specifications (see `pyattrx.load`), or functions without arguments
        that return an `Encoder`, called when their turn comes. A generator is consumed lazily.
    probes : Probes
        Images that every network sees; at least one.
    method : str, Method, FeatureMethod or Combined
        "recommended", the one that predicted measured transfers best (docs/transfer.md);
        "saliency", "grad_x_input", "elrp" (the published forms: mean cosines of attribution maps)
        or a `Method`; "rsa", "cka", "dds", "svcca", "ridge", "normalized_ridge",
        "perturbation_response" or a `FeatureMethod`; "depara" or a `Combined`.
    batch_size : int
        Images in one forward and backward pass, at least 1. It changes nothing but rounding.
    device : str or torch.device, optional
        Where to compute; the GPU if there is one.
    precision : {"float32", "tf32", "bfloat16"}
        Arithmetic of the passes. "tf32" (CUDA only) and "bfloat16" (autocast; slow on most CPUs)
        are faster on a GPU and change the maps: the cosines of the first maps to those in float32
        are measured for every network and kept as ``provenance["networks"][i]["precision"]``.
        What it does to features is not measured.
    compile : bool
        Run networks as programs of torch.compile, made once for networks of one architecture (for
        each that has hooks or parametrised weights): tens of seconds that pay where one sees many
        probes, or many are alike. It changes the maps by rounding; the cosines of the first maps to
        those of the network as it is are kept as ``provenance["networks"][i]["compile"]``, but for
        feature methods, of which nothing is measured. A network that cannot be compiled is an
        error.
    scratch : path, optional
        Folder for the scratch file; the system's temporary folder if left out.
    on_error : {"raise", "skip"}
        What happens when one network cannot be loaded or run. "skip" leaves it out with a warning
        and goes on: ``Affinity.failures`` names it and says why.

    Returns
    -------
    Affinity

    Raises
    ------
    InvalidValue, InvalidType
        Wrong arguments: no networks, no probes, two networks of one name, and so on. Two networks
        of one name are refused whatever `on_error` says.
    NonFiniteError
        A map or features hold NaN or Inf; the message names the network and the probe.
    AssumptionError
        A network is not what every method takes it for (docs/conventions.md has the table): it is
        random, mixes the images of a batch, or is compared by nothing but rounding.
    EncoderError
        A network cannot be loaded, run or differentiated; with ``on_error="skip"``, none can.

    Warns
    -----
    SkippedWarning
        A network failed and was left out.
    UntrainedWarning
        The weights of a network look as they were initialised.

    Notes
    -----
    Song, Chen, Wang, Shen, Song: *Deep Model Transferability from Attribution Maps*, NeurIPS 2019,
    equation 1: by attribution maps the affinity is ``(1/N) sum_k cos(a_ik, a_jk)`` over the probes
    k. An all-zero map has cosine 0 with everything; how many a network has is in
    ``Affinity.zero_maps``. A map that is rounding noise counts as one of zeros.

    Of a directional method, ``values[i, j]`` says how well source j suits target i. Standard errors
    of methods that are no mean over probes come from a delete-a-block jackknife over the probes'
    groups (`pyattrx.statistics.jackknife`); they are NaN where the groups are too few for one.

    Examples
    --------
    >>> import torch, pyattrx
    >>> _ = torch.manual_seed(0)
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(8, 3, 16, 16))
    >>> nets = [torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()) for _ in range(3)]
    >>> encoders = [pyattrx.Encoder(net, name=f"net{i}") for i, net in enumerate(nets)]
    >>> result = pyattrx.affinity(encoders, probes)
    >>> result.names, result.values.shape
    (['net0', 'net1', 'net2'], (3, 3))
    >>> [match.name for match in result.nearest("net0", k=1)] != ["net0"]
    True
    """
    if not isinstance(probes, Probes):
        raise InvalidType("probes", probes, "pyattrx.Probes, for example Probes.from_folder(path)")
    if len(probes) == 0:
        raise InvalidValue("probes", probes, "at least one probe image")
    check_batch_size(batch_size)
    method = get_method(method)
    place = resolve_device(device)
    check_precision(precision, place)
    check_compile(compile)
    check_scratch(scratch)
    failures = Failures(on_error)
    sources = check_sources(encoders)
    plan = Plan(method, probes)

    begun = time.perf_counter()
    described: list[dict[str, Any]] = []
    zero_maps: dict[str, int] = {}
    names: list[str] = []
    count = len(sources) if isinstance(sources, list) else None
    with ExitStack() as stack:
        room = Room(place)
        stores = [
            stack.enter_context(RowStore(len(probes), place, scratch, room)) for _ in plan.maps
        ]
        spill = Spill(scratch)
        summaries: list[list[Summary]] = [[] for _ in plan.sets]
        for label, load in one_by_one(sources, failures):
            encoder = None
            with failures.noted(label):
                encoder = load()
            if encoder is None:
                continue
            if encoder.name in names:
                raise InvalidValue("encoders", encoder.name, "networks with different names")
            done = len(names)
            of = f" ({done + len(failures.found) + 1} of {count})" if count else ""
            with failures.noted(encoder.name):
                started = time.perf_counter()
                network = Description(
                    encoder,
                    probes,
                    plan.maps,
                    batch_size=batch_size,
                    device=place,
                    precision=precision,
                    compile=compile,
                    label=encoder.name + of,
                )
                with beside(encoder.describe, place) as known:  # it reads all weights
                    facts = _describe(network, plan, stores, summaries, spill, encoder.name)
                facts = {**known(), **facts, **_observed(network)}
                facts["seconds"] = round(time.perf_counter() - started, 3)
                described.append(facts)
                names.append(encoder.name)
            if len(names) == done:  # it failed, and may have left something
                for rows in stores:
                    rows.keep_first(done)
                for kept in summaries:
                    del kept[done:]
                continue
            zeros = max(
                *(checks.zero for checks in network.checks),
                *(kept[-1].zero_probes for kept in summaries),
                0,
            )
            if zeros:
                zero_maps[encoder.name] = zeros
        failures.check_some_are_left(names)
        if not names:
            raise InvalidValue("encoders", [], "at least one network")
        compared = time.perf_counter()
        cosines = without = blocks = None
        if isinstance(method, Method):
            values, stderr, cosines = compare(stores[0], probes.groups)
        else:
            blocks = jackknife_blocks(np.asarray(probes.groups))
            scores = combined(plan, _scores(plan, stores, summaries, probes, blocks))
            values = scores.values
            stderr, without = by_blocks(scores, blocks)
    provenance = {
        "method": _method_dict(method),
        "method_name": str(method),
        "grid": list(plan.maps[0].grid) if plan.maps else None,
        "probes": probes.describe(),
        "networks": described,
        "batch_size": batch_size,
        "precision": precision,
        "compile": compile,
        "device": device_name(place),
        "threads": torch.get_num_threads(),
        "ops": ops.backends()[place.type] if place.type in ("cpu", "cuda") else "reference",
        "seconds": {
            "total": round(time.perf_counter() - begun, 3),
            "comparison": round(time.perf_counter() - compared, 3),
        },
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
    }
    return Affinity(
        names=names,
        values=values,
        stderr=stderr,
        symmetric=method.symmetric,
        groups=np.asarray(probes.groups),
        cosines=cosines,
        zero_maps=zero_maps,
        provenance=provenance,
        bounds=method.bounds,
        blocks=None if without is None else blocks,
        without=without,
        failures=failures.found,
    )


def _describe(
    network: Description,
    plan: Plan,
    stores: list[RowStore],
    summaries: list[list[Summary]],
    spill: Spill,
    name: str,
) -> dict[str, Any]:
    """Run one network over all probes into the row stores and the summaries.

    Returns what is to be known of its features.
    """
    observed = {}
    with network:
        if stores:
            _describe_maps(network, stores, name)
        for method, kept in zip(plan.sets, summaries, strict=True):
            summary = method.summarize(network.observed(method))
            kept.append(spill.keep(summary))
            observed[str(method)] = summary.facts
    return {"observed": observed} if observed else {}


def _observed(network: Description) -> dict[str, Any]:
    """What was seen of a network while it ran, as JSON types."""
    facts: dict[str, Any] = {
        "precision": network.effect,
        "compile": network.compile_effect,
        "untrained": network.untrained,
    }
    noise = max((checks.noise for checks in network.checks), default=0)
    exact = max((checks.exact for checks in network.checks), default=0)
    if noise:
        facts["noise_maps"] = noise
    if exact:
        facts["exact_maps"] = exact
    if network.features_in is not None:
        facts["features_in"] = network.features_in
    return {**facts, **network.how}


def _describe_maps(network: Description, stores: list[RowStore], name: str) -> None:
    places: list[Place] = []

    def begin(batch: Sequence[Tensor]) -> list[bool]:
        for rows, maps in zip(stores, batch, strict=True):
            if rows.width not in (None, maps.shape[1]):
                raise EncoderError(
                    f"network {name!r}: its maps have {maps.shape[1]} elements, those "
                    f"of the networks before it {rows.width}; reduce='none' needs networks "
                    "whose inputs have the same number of channels"
                )
        places.extend(rows.begin(maps) for rows, maps in zip(stores, batch, strict=True))
        return [place.on_host for place in places]

    for probes, batch in network.rows(on_host=begin):
        for place, maps in zip(places, batch, strict=True):
            place.write(int(probes[0]), maps)


def _scores(
    plan: Plan,
    stores: list[RowStore],
    summaries: list[list[Summary]],
    probes: Probes,
    blocks: np.ndarray,
) -> list[Scores]:
    """Scores of every term of a method."""
    groups = np.asarray(probes.groups)
    of_maps = []
    for rows in stores:
        sums = BlockSums(blocks)
        values, _, _ = compare(rows, groups, sums)
        of_maps.append(sums.scores(values))
    of_sets = [
        Scores(*descriptor.compare(kept, kept, groups, blocks))
        for descriptor, kept in zip(plan.sets, summaries, strict=True)
    ]
    return plan.in_order(of_maps, of_sets)


class Rows(Protocol):
    """Rows of some networks on some probes; `RowStore` is one."""

    def __len__(self) -> int:
        """Return the number of networks."""

    @property
    def row_bytes(self) -> int:
        """Bytes of the longest network's row."""

    def block(self, networks: slice, probes: np.ndarray) -> torch.Tensor:
        """Rows of some networks on some probes, [M, B, D], floating."""


def compare(
    rows: Rows, groups: np.ndarray, sums: BlockSums | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Cosines of all pairs on all probes: means, standard errors, and themselves if they fit.

    They are added to `sums`, too.
    """
    m, n = len(rows), len(groups)
    keep = 8 * n * m * m <= _COSINE_BYTES
    cosines = np.empty((n, m, m)) if keep else None
    moments = PairMoments((m, m), n)
    # Probes of a group side by side: so the sums of one group at a time are enough.
    order = np.argsort(groups, kind="stable")
    probe_bytes = max(min(m, 2 * _BLOCK_NETWORKS) * rows.row_bytes, 16 * m * m)
    at_once = max(1, _BLOCK_BYTES // probe_bytes)
    with progress("comparing", n) as step:
        for first in range(0, n, at_once):
            chosen = order[first : first + at_once]
            rising, place = np.unique(chosen, return_inverse=True)
            block = _block_cosines(rows, rising, m)[place]
            if sums is not None:
                sums.add(chosen, block)
            if cosines is not None:
                cosines[chosen] = block
            else:
                moments.add(block, groups[chosen])
            step(len(chosen))
    if cosines is None:
        values, stderr = moments.mean_and_stderr()
    else:
        # Row by row, so that the sum's order does not depend on how probes were batched.
        values, stderr = np.add.reduce(cosines, axis=0) / n, clustered_stderr(cosines, groups)
    return values, stderr, cosines


def _block_cosines(rows: Rows, probes: np.ndarray, m: int) -> np.ndarray:
    """[B, M, M] of some probes; many networks are taken block against block."""
    out = np.empty((len(probes), m, m))
    for i in range(0, m, _BLOCK_NETWORKS):
        left = rows.block(slice(i, i + _BLOCK_NETWORKS), probes)
        for j in range(i, m, _BLOCK_NETWORKS):
            right = None if j == i else rows.block(slice(j, j + _BLOCK_NETWORKS), probes)
            if right is not None and right.dtype != left.dtype:
                left, right = left.double(), right.double()
            cosines = ops.probe_cosines(left, right).cpu().numpy()
            across, down = slice(i, i + cosines.shape[1]), slice(j, j + cosines.shape[2])
            out[:, across, down] = cosines
            out[:, down, across] = cosines.transpose(0, 2, 1)
    return out


def _method_dict(method: ComparisonMethod) -> dict[str, Any]:
    try:
        return method.to_dict()
    except InvalidValue:  # parts that cannot be imported again are still worth a description
        return {"description": str(method)}
