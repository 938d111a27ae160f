"""The run: probes through networks, one network at a time, then probe by probe over networks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import partial
from typing import Any

import numpy as np
import torch

from pyattrx import ops
from pyattrx._ambient import neutrally
from pyattrx._scratch import Scratch, ScratchFolder
from pyattrx.affinities.kept import Kept
from pyattrx.affinities.networks import run_elsewhere, run_here
from pyattrx.affinities.result import Affinity
from pyattrx.affinities.scoring import Plan
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods import ComparisonMethod
from pyattrx.methods import get as get_method
from pyattrx.probes import Probes
from pyattrx.running import (
    Failures,
    OnError,
    Source,
    check_batch_size,
    check_compile,
    check_precision,
    check_sources,
    device_name,
    resolve_device,
    versions,
)
from pyattrx.workers import Workers, engine_of

__all__ = ["affinity"]


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
    scratch: ScratchFolder = None,
    on_error: OnError = "raise",
    workers: Workers = None,
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
    precision : {"float32", "tf32", "bfloat16", "auto"}
        Arithmetic of the passes. "tf32" (CUDA only) and "bfloat16" (autocast) are faster where the
        device has instructions for them, and change the result. How much is measured for every
        network on the first of every 64 probes (8 at most) and kept as
        ``provenance["networks"][i]["precision"]``: cosines of its maps to those in float32; of
        features, the share of their variance between images (two at least) that is kept. "auto"
        reads features in bfloat16 on a CPU with AMX or AVX512-BF16, and features and maps in tf32
        on a GPU that has it; but in float32 those of a network that would lose more than .01 of
        that variance, or whose maps would have a cosine below .98.
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
    workers : int or str, optional
        Run networks by so many processes of this machine, one a GPU or each with a share of the
        CPU threads; or "auto" or an address: by a Ray cluster (docs/cluster.md). What is sent to
        them can be pickled: specifications, or encoders of modules that can be imported.

    Returns
    -------
    Affinity

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Wrong arguments: no networks, no probes, two networks of one name, and so on. Two networks
        of one name are refused whatever `on_error` says.
    NonFiniteError
        A map or features hold NaN or Inf; the message names the network and the probe.
    AssumptionError
        A network is not what every method takes it for (docs/conventions.md has the table): it is
        random, mixes the images of a batch, or is compared by nothing but rounding.
    EncoderError
        A network cannot be loaded, run or differentiated; with ``on_error="skip"``, none can.
    WorkerError
        The worker that ran a network ended three times; or none can begin.

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
        raise InvalidTypeError(
            "probes", probes, "pyattrx.Probes, for example Probes.from_folder(path)"
        )
    if len(probes) == 0:
        raise InvalidValueError("probes", probes, "at least one probe image")
    check_batch_size(batch_size)
    method = get_method(method)
    place = resolve_device(device)
    check_precision(precision, place)
    check_compile(compile)
    scratch = Scratch.of(scratch)
    failures = Failures(on_error)
    sources = check_sources(encoders)
    plan = Plan(method, probes)

    begun = time.perf_counter()
    options = {
        "batch_size": batch_size, "device": place, "precision": precision, "compile": compile,
    }  # fmt: skip
    engine = engine_of(workers, place, any_device=device is None, scratch=scratch)
    run = run_here if engine is None else partial(run_elsewhere, engine)
    with Kept(plan, probes, place, scratch) as kept:
        described = run(sources, probes, plan, kept, failures, options)
        failures.check_some_are_left(list(described))
        if not described:
            raise InvalidValueError("encoders", [], "at least one network")
        compared = time.perf_counter()
        found = kept.compared()
    provenance = {
        "method": _method_dict(method),
        "method_name": str(method),
        "grid": list(plan.maps[0].grid) if plan.maps else None,
        "probes": probes.describe(),
        "networks": [facts for facts, _ in described.values()],
        "batch_size": batch_size,
        "precision": precision,
        "compile": compile,
        "device": device_name(place),
        "threads": torch.get_num_threads() if engine is None else engine.threads,
        "workers": workers,
        "ops": ops.backends()[place.type] if place.type in ("cpu", "cuda") else "reference",
        "seconds": {
            "total": round(time.perf_counter() - begun, 3),
            "comparison": round(time.perf_counter() - compared, 3),
        },
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
    }
    return Affinity(
        names=list(described),
        symmetric=method.symmetric,
        groups=np.asarray(probes.groups),
        zero_maps={name: zeros for name, (_, zeros) in described.items() if zeros},
        provenance=provenance,
        bounds=method.bounds,
        failures=failures.found,
        **vars(found),
    )


def _method_dict(method: ComparisonMethod) -> dict[str, Any]:
    try:
        return method.to_dict()
    except InvalidValueError:  # parts that cannot be imported again are still worth a description
        return {"description": str(method)}
