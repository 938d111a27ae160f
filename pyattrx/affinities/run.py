"""The run: probes through networks, one network at a time, then probe by probe over networks."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyattrx import ops
from pyattrx._progress import progress
from pyattrx.affinities.result import Affinity
from pyattrx.affinities.rows import RowStore
from pyattrx.affinities.statistics import PairMoments, clustered_stderr
from pyattrx.descriptors import (
    AttributionMaps,
    Method,
    arithmetic,
    check_precision,
    map_cosines,
    resolve_method,
)
from pyattrx.encoders import Encoder, PreparedEncoder, load_many
from pyattrx.errors import EncoderError, InvalidType, InvalidValue, NonFiniteError
from pyattrx.ops._heap import freed_memory_kept
from pyattrx.probes import Probes

__all__ = ["affinity"]

Source = Encoder | str | Callable[[], Encoder]

# Rows of a block of probes on all networks, while they are compared.
_BLOCK_BYTES = 64 << 20
# Networks compared at once; more are taken block against block.
_BLOCK_NETWORKS = 256
# Per-probe cosines are kept up to this size.
_COSINE_BYTES = 64 << 20
# Probes on which the effect of a cheaper arithmetic is measured.
_EFFECT_PROBES = 8


def affinity(
    encoders: Iterable[Source],
    probes: Probes,
    method: str | Method = "grad_x_input",
    batch_size: int = 32,
    device: str | torch.device | None = None,
    *,
    precision: str = "float32",
    scratch: str | Path | None = None,
) -> Affinity:
    """Compute how near networks are to one another: the mean cosine of their attribution maps.

    Networks are loaded and run one at a time, and map rows that do not fit in memory wait in a
    scratch file: memory grows with neither networks nor probes.

    Parameters
    ----------
    encoders : iterable of Encoder, str or callable
        Networks: encoders, specifications (see `pyattrx.load`), or functions without arguments
        that return an `Encoder`, called when their turn comes. A generator is consumed lazily.
    probes : Probes
        Images that every network sees; at least one.
    method : str or Method
        "saliency", "grad_x_input", "elrp" (the published forms) or a `pyattrx.Method`.
    batch_size : int
        Images in one forward and backward pass, at least 1. It changes nothing but rounding.
    device : str or torch.device, optional
        Where to compute; the GPU if there is one.
    precision : {"float32", "tf32", "bfloat16"}
        Arithmetic of the passes. "tf32" (CUDA only) and "bfloat16" (autocast; slow on most CPUs)
        are faster on a GPU and change the maps: the cosines of the first maps to those in float32
        are measured for every network and kept as ``provenance["networks"][i]["precision"]``.
    scratch : path, optional
        Folder for the scratch file; the system's temporary folder if left out.

    Returns
    -------
    Affinity

    Raises
    ------
    InvalidValue, InvalidType
        Wrong arguments: no networks, no probes, two networks of one name, and so on.
    NonFiniteError
        A map holds NaN or Inf; the message names the network and the probe.
    EncoderError
        A network cannot be loaded, run or differentiated.

    Notes
    -----
    Song, Chen, Wang, Shen, Song: *Deep Model Transferability from Attribution Maps*, NeurIPS 2019,
    equation 1: the affinity is ``(1/N) sum_k cos(a_ik, a_jk)`` over the probes k. An all-zero map
    has cosine 0 with everything; how many a network has is in ``Affinity.zero_maps``.

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
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidValue("batch_size", batch_size, "an integer of at least 1")
    method = resolve_method(method)
    place = _resolve_device(device)
    check_precision(precision, place)
    sources = _check_sources(encoders)
    descriptor = AttributionMaps(method, probes.size)

    begun = time.perf_counter()
    described: list[dict[str, Any]] = []
    zero_maps: dict[str, int] = {}
    names: list[str] = []
    count = len(sources) if isinstance(sources, list) else None
    with RowStore(len(probes), place, scratch) as rows:
        for encoder in _encoders(sources):
            if encoder.name in names:
                raise InvalidValue("encoders", encoder.name, "networks with different names")
            started = time.perf_counter()
            of = f" ({len(names) + 1} of {count})" if count else ""
            zeros, effect = _describe_network(
                encoder, probes, descriptor, rows, batch_size, place, precision, encoder.name + of
            )
            names.append(encoder.name)
            if zeros:
                zero_maps[encoder.name] = zeros
            seconds = round(time.perf_counter() - started, 3)
            described.append({**encoder.describe(), "precision": effect, "seconds": seconds})
        if not names:
            raise InvalidValue("encoders", [], "at least one network")
        compared = time.perf_counter()
        values, stderr, cosines = _compare(rows, probes.groups)
    provenance = {
        "method": _method_dict(method),
        "method_name": str(method),
        "grid": list(descriptor.grid),
        "probes": probes.describe(),
        "networks": described,
        "batch_size": batch_size,
        "precision": precision,
        "device": _device_name(place),
        "threads": torch.get_num_threads(),
        "ops": ops.backends()[place.type] if place.type in ("cpu", "cuda") else "reference",
        "seconds": {
            "total": round(time.perf_counter() - begun, 3),
            "comparison": round(time.perf_counter() - compared, 3),
        },
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": _versions(),
    }
    return Affinity(
        names=names,
        values=values,
        stderr=stderr,
        symmetric=True,
        groups=np.asarray(probes.groups),
        cosines=cosines,
        zero_maps=zero_maps,
        provenance=provenance,
    )


def _describe_network(
    encoder: Encoder,
    probes: Probes,
    descriptor: AttributionMaps,
    rows: RowStore,
    batch_size: int,
    device: torch.device,
    precision: str,
    label: str,
) -> tuple[int, dict[str, float] | None]:
    """Run one network over all probes into the row store.

    Returns the number of zero maps, and what the precision does to the maps.
    """
    zeros = 0
    effect = None
    done = 0
    place = None
    # For this network's passes only: the next one has other sizes, and so has the comparison.
    reuse = freed_memory_kept() if device.type == "cpu" else nullcontext()
    with (
        reuse,
        arithmetic("float32", device),
        encoder.prepare(device, probes.images(0, min(2, len(probes)))) as prepared,
        progress(label, len(probes)) as step,
    ):
        for images in probes.batches(batch_size):
            with arithmetic(precision, device):
                maps = descriptor.rows(prepared, images)
            if done == 0 and precision != "float32":
                effect = _effect_of_precision(descriptor, prepared, images, maps)
            finite = maps.isfinite().all(1)
            if not bool(finite.all()):
                probe = done + int((~finite).nonzero()[0, 0])
                raise NonFiniteError(
                    f"network {encoder.name!r}, probe {probe} ({probes.names[probe]!r}): "
                    "its attribution map holds NaN or Inf"
                )
            zeros += int((maps == 0).all(1).sum())
            if place is None:
                if rows.width not in (None, maps.shape[1]):
                    raise EncoderError(
                        f"network {encoder.name!r}: its maps have {maps.shape[1]} elements, those "
                        f"of the networks before it {rows.width}; reduce='none' needs networks "
                        "whose inputs have the same number of channels"
                    )
                place = rows.begin(maps)
            place.write(done, maps)
            done += len(images)
            step(len(images))
    return zeros, effect


def _effect_of_precision(
    descriptor: AttributionMaps, prepared: PreparedEncoder, images: torch.Tensor, maps: torch.Tensor
) -> dict[str, float]:
    """Cosines of some maps to those in float32."""
    some = images[:_EFFECT_PROBES]
    cosines = map_cosines(maps[: len(some)], descriptor.rows(prepared, some))
    return {
        "probes": len(some),
        "mean_cosine": float(cosines.mean()),
        "least_cosine": float(cosines.min()),
    }


def _compare(
    rows: RowStore, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Cosines of all pairs on all probes: means, standard errors, and themselves if they fit."""
    m, n = len(rows), len(groups)
    keep = 8 * n * m * m <= _COSINE_BYTES
    cosines = np.empty((n, m, m)) if keep else None
    moments = PairMoments((m, m))
    # Probes of a group side by side: so the sums of one group at a time are enough.
    order = np.argsort(groups, kind="stable")
    probe_bytes = max(min(m, 2 * _BLOCK_NETWORKS) * rows.row_bytes, 16 * m * m)
    at_once = max(1, _BLOCK_BYTES // probe_bytes)
    with progress("comparing", n) as step:
        for first in range(0, n, at_once):
            chosen = order[first : first + at_once]
            rising, place = np.unique(chosen, return_inverse=True)
            block = _block_cosines(rows, rising, m)[place]
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


def _block_cosines(rows: RowStore, probes: np.ndarray, m: int) -> np.ndarray:
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


def _check_sources(encoders: Iterable[Source]) -> list[Source] | Iterator[Source]:
    if isinstance(encoders, (Encoder, str)) or not isinstance(encoders, Iterable):
        raise InvalidType("encoders", encoders, "a list of encoders or specifications")
    if not isinstance(encoders, (list, tuple)):
        return iter(encoders)
    sources = list(encoders)
    if not sources:
        raise InvalidValue("encoders", sources, "at least one network")
    seen: set[str] = set()
    for index, source in enumerate(sources):
        _check_source(index, source)
        name = source.name if isinstance(source, Encoder) else None
        if name is not None and name in seen:
            raise InvalidValue(f"encoders[{index}].name", name, "networks with different names")
        if name is not None:
            seen.add(name)
    return sources


def _check_source(index: int, source: Any) -> None:
    if isinstance(source, torch.nn.Module):
        raise InvalidType(
            f"encoders[{index}]",
            type(source).__name__,
            "an Encoder: wrap the module as pyattrx.Encoder(module, name=...)",
        )
    if not isinstance(source, (Encoder, str)) and not callable(source):
        raise InvalidType(
            f"encoders[{index}]", source, "an Encoder, a specification or a function returning one"
        )


def _encoders(sources: Iterable[Source]) -> Iterator[Encoder]:
    for index, source in enumerate(sources):
        _check_source(index, source)
        if isinstance(source, Encoder):
            yield source
        elif isinstance(source, str):
            yield from load_many(source)
        else:
            made = source()
            if not isinstance(made, Encoder):
                raise EncoderError(
                    f"encoders[{index}] returned a {type(made).__name__}: expected an Encoder"
                )
            yield made


def _resolve_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidValue("device", device, "a torch device such as 'cpu' or 'cuda:0'") from error
    if place.type == "meta":
        raise InvalidValue("device", str(device), "a device that holds values, such as 'cpu'")
    if place.type == "cuda":
        if not torch.cuda.is_available():
            raise InvalidValue("device", str(device), "'cpu': no CUDA device is available")
        index = torch.cuda.current_device() if place.index is None else place.index
        if index >= torch.cuda.device_count():
            raise InvalidValue(
                "device", str(device), f"one of {torch.cuda.device_count()} CUDA devices"
            )
        place = torch.device("cuda", index)
    return place


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def _method_dict(method: Method) -> dict[str, Any]:
    try:
        return method.to_dict()
    except InvalidValue:  # parts that cannot be imported again are still worth a description
        return {"description": str(method)}


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        own = version("pyattrx")
    except PackageNotFoundError:
        own = "unknown"
    return {"pyattrx": own, "torch": torch.__version__, "python": platform.python_version()}
