"""Who a network is: a hash of what it holds, and numbers that say how it behaves.

The hash covers every tensor that can be found. It cannot cover everything (a function's constants,
a dilation, an activation), and it covers what does not matter (parts that are never used, and
random at each load). So where it counts whether two networks are the same, behaviour decides.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyattrx.encoders.copying import own_tensors, tensors_in
from pyattrx.encoders.passes import Pass

__all__ = ["behaves_alike", "behaviour_of", "weights_hash"]

_NUMBERS = 8  # that stand for what is answered to one image
# How far they may be apart, of their size, for other threads, devices and batches. Rounding turns a
# few units on or off, which gradients answer to.
_TOLERANCE = {"output": 1e-4, "features": 1e-4, "gradient": 5e-2}
# The same of entries that do not say what rounding did to them.
_UNKNOWN = {"output": 2e-3, "features": 2e-3, "gradient": 5e-2}
# How much farther than other last bits of the images bring them.
_AMPLIFIED = 8.0
_SIMPLE = (bool, int, float, str, type(None), torch.dtype)


def weights_hash(module: nn.Module) -> str:
    """BLAKE2b-256 over names, types, shapes and values of all tensors that a module holds.

    Its state by name, then what it holds beside: buffers that are not saved, tensors in plain
    attributes, quantised weights, and the constants of TorchScript.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.identity import weights_hash
    >>> len(weights_hash(torch.nn.Linear(2, 2)))
    64
    """
    digest = hashlib.blake2b(digest_size=32)  # three times as fast as SHA-256 without CPU support
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, Tensor):
            _add(digest, name, value)
        elif isinstance(value, _SIMPLE):
            digest.update(f"{name} {value!r}\n".encode())
        else:
            for index, tensor in enumerate(tensors_in(value)):
                _add(digest, f"{name}.{index}", tensor)
    for name, value in sorted(own_tensors(module).items()):
        _add(digest, name, value)
    for name, part in _scripted(module):
        digest.update(f"{name}\n".encode())
        for content in _archive(part):
            digest.update(content)
    return digest.hexdigest()


def _add(digest: Any, name: str, value: Tensor) -> None:
    value = value.detach()
    digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
    for part in _dense(value):
        data = part.cpu().contiguous().flatten().view(torch.uint8)
        digest.update(data.numpy().data)


def _dense(value: Tensor) -> list[Tensor]:
    """Tensors of bytes in order that hold all that one holds."""
    if value.is_quantized:
        per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
        scale = value.q_per_channel_scales() if per_channel else torch.tensor(value.q_scale())
        zero = (
            value.q_per_channel_zero_points() if per_channel else torch.tensor(value.q_zero_point())
        )
        return [value.int_repr(), scale, zero]
    if value.layout == torch.sparse_coo:
        value = value.coalesce()
        return [value.indices(), value.values()]
    if value.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [value.crow_indices(), value.col_indices(), value.values()]
    if value.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [value.ccol_indices(), value.row_indices(), value.values()]
    if value.layout != torch.strided:
        return [value.to_dense()]
    return [value.resolve_conj().resolve_neg()]


def _scripted(module: nn.Module) -> list[tuple[str, torch.jit.ScriptModule]]:
    """Programs of TorchScript, but for those inside others."""
    found: list[tuple[str, torch.jit.ScriptModule]] = []
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{other}." if other else "") for other, _ in found)
        if isinstance(part, torch.jit.ScriptModule) and not inside:
            found.append((name, part))
    return found


def _archive(part: torch.jit.ScriptModule) -> list[bytes]:
    """The tensors that a program is saved with; frozen weights are constants in it.

    Not its code, in which classes have other names each time.
    """
    file = io.BytesIO()
    torch.jit.save(part, file)
    with zipfile.ZipFile(file) as archive:
        names = sorted(archive.namelist())
        return [archive.read(n) for n in names if "/constants/" in n or "/data/" in n]


def behaviour_of(seen: Pass, digests: Sequence[bytes], again: Pass | None = None) -> dict[str, Any]:
    """Reduce what a network answered to some images to a few numbers, as JSON types.

    Parameters
    ----------
    seen : Pass
        Of the plain network.
    digests : sequence of bytes
        Of the images.
    again : Pass, optional
        Of the same images with other last bits.

    Returns
    -------
    dict
        ``images``: the digests; ``output``, ``features`` (if they are read elsewhere) and
        ``gradient``: for every image the norm, and 8 products with fixed signs over that norm;
        ``rounding``: how far each of them was from itself `again`.
    """
    images = [digest.hex() for digest in digests]
    made: dict[str, Any] = {"images": images, **_answers(seen, len(images))}
    if again is not None:
        other = _answers(again, len(images))
        made["rounding"] = {
            name: min(_between(made.get(name), other.get(name)), 1.0) for name in _TOLERANCE
        }
    return made


def _answers(seen: Pass, count: int) -> dict[str, list[list[float]] | None]:
    parts = {"output": seen.output, "gradient": seen.gradient}
    if seen.features is not seen.output:
        parts["features"] = seen.features
    return {
        name: None if part is None else [_numbers(part[i]) for i in range(count)]
        for name, part in parts.items()
    }


def behaves_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Tell whether two networks answered alike.

    Parameters
    ----------
    one, other : mapping
        See `behaviour_of`.

    Returns
    -------
    bool or None
        None where they saw different images, or nothing is known of one.
    """
    if not one or not other or one.get("images") != other.get("images"):
        return None
    if set(one) - {"rounding"} != set(other) - {"rounding"}:
        return False
    rounded = [kept["rounding"] for kept in (one, other) if "rounding" in kept]
    for name, tolerance in (_TOLERANCE if len(rounded) > 1 else _UNKNOWN).items():
        # The smaller of both: a network in a half type is not any other of that accuracy.
        least = min((some.get(name, 0.0) for some in rounded), default=0.0)
        if _between(one.get(name), other.get(name)) > max(tolerance, _AMPLIFIED * least):
            return False
    return True


def _between(first: Any, second: Any) -> float:
    """How far two answers are apart, of their size; infinite where they are none to compare."""
    if first is None or second is None:
        return 0.0 if first is second else float("inf")
    a, b = np.array(first, float), np.array(second, float)
    if a.shape != b.shape:
        return float("inf")
    sizes = np.maximum(np.abs(a[:, 0]), np.abs(b[:, 0]))
    norms = np.abs(a[:, 0] - b[:, 0]) / np.where(sizes > 0, sizes, 1.0)
    # Products of unit vectors with signs are about 1; counts of elements are equal, or not.
    products = np.abs(a[:, 1:] - b[:, 1:]) / 3
    return float(max(norms.max(), products.max()))


def _numbers(part: Tensor) -> list[float]:
    flat = part.detach().double().flatten().cpu().numpy()
    if not np.isfinite(flat).all():
        flat = np.nan_to_num(flat, nan=1.0, posinf=2.0, neginf=3.0)
    largest = np.abs(flat).max(initial=0.0)
    unit = flat / largest if largest > 0 else flat
    norm = float(np.linalg.norm(unit))
    found = [norm * float(largest), float(len(flat))]
    for seed in range(_NUMBERS):
        bits = np.random.PCG64(seed).random_raw(-(-len(flat) // 64)).view(np.uint8)
        signs = np.unpackbits(bits)[: len(flat)].astype(np.float64) * 2 - 1
        found.append(float(signs @ unit) / norm if norm > 0 else 0.0)
    return found
