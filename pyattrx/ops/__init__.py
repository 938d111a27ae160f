"""The native operations: from gradients to maps, and from maps to cosines.

They take tensors on any device, run the compiled kernels on CPU and CUDA and plain PyTorch
elsewhere, are seen by ``torch.compile`` as single operators, and have no derivative. Half
precision is computed in float32, and every square and dot product is added in float64: maps and
cosines are right to 1e-8 over the whole range of the dtype, however small or large a network's
gradients are. NaN and Inf are propagated as NaN; the cosine with an all-zero map is 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyattrx._checks import flag, integer
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.ops import reference
from pyattrx.ops.heap import freed_memory_kept
from pyattrx.ops.layout import COMBINE_CODES, DTYPE_CODES, REDUCE_CODES
from pyattrx.ops.library import operators
from pyattrx.ops.native import core, core_error
from pyattrx.ops.reference import near_one

__all__ = [
    "attribution_maps",
    "backends",
    "core",
    "cosine_affinity",
    "freed_memory_kept",
    "fused_affinity",
    "near_one",
    "probe_cosines",
    "reference",
    "sketch",
]

_DTYPES = "float32, float64, float16 or bfloat16"


def attribution_maps(
    grad: Tensor,
    input: Tensor | None = None,
    method: str = "grad_x_input",
    reduce: str = "mean",
    normalize: bool = True,
    places: Tensor | None = None,
) -> Tensor:
    """Turn gradients, and inputs, into attribution maps, one row per image.

    Parameters
    ----------
    grad : Tensor [N, C, H, W]
        Gradient with respect to the input; float32, float64, float16 or bfloat16, in any layout
        (contiguous and channels_last are read in place).
    input : Tensor [N, C, H, W], optional
        What the network saw; same dtype and device. Needed for ``grad_x_input`` and ``elrp``.
    method : {"grad_x_input", "elrp", "saliency", "identity"}
        ``grad * input`` (``elrp`` is the same, of a gradient taken under the epsilon rule),
        ``|grad|``, or `grad` as it is.
    reduce : {"mean", "abs_mean", "none"}
        Mean over the channels, mean of the magnitudes, or all channels kept (C, H, W flattened).
    normalize : bool
        Divide each row by its L2 norm. An all-zero row stays zero.
    places : Tensor [P], int64, on the CPU, optional
        Keep only these elements of every map, rising, each from 0 to D - 1. The norm is that of
        what is kept.

    Returns
    -------
    Tensor [N, D] or [N, P]
        D is H * W, or C * H * W for ``reduce="none"``. float64 for float64 gradients, float32
        otherwise.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Shapes, dtypes or devices that do not fit, or an unknown name.

    Notes
    -----
    Song et al., *Deep Model Transferability from Attribution Maps*, NeurIPS 2019, section 3.

    Examples
    --------
    >>> import torch, pyattrx
    >>> grad, image = torch.randn(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    >>> maps = pyattrx.ops.attribution_maps(grad, image)
    >>> maps.shape
    torch.Size([2, 64])
    >>> torch.allclose(maps.norm(dim=1), torch.ones(2))
    True
    """
    _check_tensor("grad", grad, 4, "[N, C, H, W]")
    _check_choice("method", method, COMBINE_CODES)
    _check_choice("reduce", reduce, REDUCE_CODES)
    _check_channels("grad", grad)
    flag("normalize", normalize)
    if places is not None:
        _check_places(places)
    if COMBINE_CODES[method] == 0:
        if input is None:
            raise InvalidValueError(
                "input", input, f"the network's input, needed for method={method!r}"
            )
        _check_alike("input", input, "grad", grad)
        if input.shape != grad.shape:
            raise InvalidValueError(
                "input.shape", tuple(input.shape), f"{tuple(grad.shape)}, as grad"
            )
    else:
        input = None
    grad = grad.detach()
    input = None if input is None else input.detach()
    result: Tensor = operators.attribution_maps(grad, input, method, reduce, normalize, places)
    return result


def probe_cosines(maps: Tensor, other: Tensor | None = None) -> Tensor:
    """Cosines between the maps of all pairs of networks, probe by probe.

    Parameters
    ----------
    maps : Tensor [M, N, D]
        Map of every network on every probe; need not be normalized. float32, float64, float16 or
        bfloat16.
    other : Tensor [K, N, D], optional
        Networks to compare with; the same ones if left out.

    Returns
    -------
    Tensor [N, M, M] or [N, M, K], float64
        Symmetric with a diagonal of 1 (0 for an all-zero map) if `other` is left out. The bits of
        a pair do not depend on the other networks, on their order or on how probes are batched.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Shapes, dtypes or devices that do not fit.

    Examples
    --------
    >>> import torch, pyattrx
    >>> maps = torch.tensor([[[1.0, 0.0]], [[1e-30, 1e-30]]])
    >>> round(pyattrx.ops.probe_cosines(maps)[0, 0, 1].item(), 6)  # the cosine of 45 degrees
    0.707107
    """
    _check_tensor("maps", maps, 3, "[M, N, D]")
    if other is not None:
        _check_tensor("other", other, 3, "[K, N, D]")
        _check_alike("other", other, "maps", maps)
        if other.shape[1:] != maps.shape[1:]:
            raise InvalidValueError(
                "other.shape", tuple(other.shape), f"[K, {maps.shape[1]}, {maps.shape[2]}], as maps"
            )
    other = None if other is None else other.detach()
    result: Tensor = operators.probe_cosines(maps.detach(), other)
    return result


def cosine_affinity(maps: Tensor) -> Tensor:
    """Mean over the probes of the cosines between the maps of all pairs of networks.

    Parameters
    ----------
    maps : Tensor [M, N, D]
        As for `probe_cosines`; at least one probe.

    Returns
    -------
    Tensor [M, M], float64
        The affinity of Song et al. 2019: ``(1/N) sum_k cos(maps[i, k], maps[j, k])``.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Shapes or dtypes that do not fit.

    Examples
    --------
    >>> import torch, pyattrx
    >>> maps = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [3.0, 0.0]]])
    >>> pyattrx.ops.cosine_affinity(maps)
    tensor([[1.0000, 0.5000],
            [0.5000, 1.0000]], dtype=torch.float64)
    """
    _check_tensor("maps", maps, 3, "[M, N, D]")
    _check_probes("maps", maps)
    result: Tensor = operators.cosine_affinity(maps.detach())
    return result


def fused_affinity(
    grads: Tensor,
    input: Tensor | None = None,
    method: str = "grad_x_input",
    reduce: str = "mean",
) -> Tensor:
    """`attribution_maps` and `cosine_affinity` in one pass, without a map in memory.

    Parameters
    ----------
    grads : Tensor [M, N, C, H, W]
        Gradients of M networks on the same N probes.
    input : Tensor [N, C, H, W] or [M, N, C, H, W], optional
        What the networks saw: one input for all, or one for each. Needed for ``grad_x_input`` and
        ``elrp``.
    method, reduce : str
        As for `attribution_maps`.

    Returns
    -------
    Tensor [M, M], float64

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Shapes, dtypes or devices that do not fit, or an unknown name.

    Examples
    --------
    >>> import torch, pyattrx
    >>> grads, image = torch.randn(3, 2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    >>> maps = torch.stack([pyattrx.ops.attribution_maps(g, image) for g in grads])
    >>> affinity = pyattrx.ops.fused_affinity(grads, image)
    >>> torch.allclose(affinity, pyattrx.ops.cosine_affinity(maps), atol=1e-6)
    True
    """
    _check_tensor("grads", grads, 5, "[M, N, C, H, W]")
    _check_choice("method", method, COMBINE_CODES)
    _check_choice("reduce", reduce, REDUCE_CODES)
    _check_channels("grads", grads)
    _check_probes("grads", grads)
    if COMBINE_CODES[method] != 0:
        input = grads  # not read
    if input is None:
        raise InvalidValueError(
            "input", input, f"the networks' input, needed for method={method!r}"
        )
    _check_alike("input", input, "grads", grads)
    if input.shape not in (grads.shape, grads.shape[1:]):
        raise InvalidValueError(
            "input.shape",
            tuple(input.shape),
            f"{tuple(grads.shape[1:])} or {tuple(grads.shape)}, as grads",
        )
    result: Tensor = operators.fused_affinity(grads.detach(), input.detach(), method, reduce)
    return result


def sketch(
    maps: Tensor,
    size: int = 4096,
    seed: int = 0,
    first_probe: int = 0,
    normalize: bool = True,
) -> Tensor:
    """A short vector whose inner products estimate those of the concatenated unit maps.

    For two networks with sketches ``a`` and ``b`` of the same N probes, ``a @ b / N`` estimates
    their affinity: without bias, with a standard error of at most about ``sqrt(2 / size)`` (about
    ``sqrt(1 / size)`` where the affinity is small). Sketches of different probes add up, so that
    maps can be sketched in batches and thrown away.

    Parameters
    ----------
    maps : Tensor [N, D]
        Maps of one network, one row per probe; float32, float64, float16 or bfloat16.
    size : int
        Length of the sketch, 1 to 2**31 - 1; multiples of 64 are fastest.
    seed : int
        0 to 2**63 - 1. Only sketches of one seed and size can be compared.
    first_probe : int
        Number of the first row's probe, from 0: a probe has its own random signs and places.
    normalize : bool
        Divide each map by its L2 norm first, which changes nothing where it is 1 already. An
        all-zero map adds nothing; NaN and Inf make the whole sketch NaN. Without it maps are added
        as they are, in float32 on the CPU: a NaN or an overflow shows in its own slot only.

    Returns
    -------
    Tensor [size], float32
        The same for every batching, device and number of threads, to rounding.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Shapes, dtypes or numbers out of range.

    Notes
    -----
    A count sketch (Charikar, Chen, Farach-Colton 2002) without a scatter: a map goes round the
    sketch in laps of `size` elements, each rotated by a random number of places and added with
    random signs. Elements of one lap never collide, others with probability ``1 / size``, so the
    variance is at most that of a count sketch.

    Examples
    --------
    >>> import torch, pyattrx
    >>> maps = torch.randn(64, 5000, generator=torch.Generator().manual_seed(0))
    >>> sketch = pyattrx.ops.sketch(maps[:32]) + pyattrx.ops.sketch(maps[32:], first_probe=32)
    >>> bool((sketch @ sketch / 64 - 1).abs() < 0.1)
    True
    """
    _check_tensor("maps", maps, 2, "[N, D]")
    integer("size", size, 1, 2**31 - 1)
    integer("seed", seed, 0, 2**63 - 1)
    integer("first_probe", first_probe, 0, 2**63 - 1)
    flag("normalize", normalize)
    result: Tensor = operators.sketch(maps.detach(), size, seed, first_probe, normalize)
    return result


def backends() -> dict[str, str]:
    """Say what runs the operations on each kind of device.

    Returns
    -------
    dict
        ``"cpu"`` and ``"cuda"`` to ``"native (instruction set)"``, ``"native"``, or the reason why
        the reference in plain PyTorch is used.

    Examples
    --------
    >>> import pyattrx
    >>> sorted(pyattrx.ops.backends())
    ['cpu', 'cuda']
    """
    if core is None:
        reason = f"reference (native module: {core_error})"
        return {"cpu": reason, "cuda": reason}
    cuda = "native"
    if core.emulated:
        cuda = "reference (built with an emulated device, for tests)"
    elif not core.with_cuda:
        cuda = "reference (built without CUDA)"
    return {"cpu": f"native ({core.cpu.instruction_set()})", "cuda": cuda}


def _check_tensor(name: str, value: Any, dim: int, shape: str) -> None:
    if not isinstance(value, Tensor):
        raise InvalidTypeError(name, value, f"a tensor {shape}")
    if value.dim() != dim:
        raise InvalidValueError(f"{name}.shape", tuple(value.shape), shape)
    if value.dtype not in DTYPE_CODES:
        raise InvalidValueError(f"{name}.dtype", value.dtype, _DTYPES)
    if value.layout != torch.strided:
        raise InvalidValueError(f"{name}.layout", value.layout, "a dense (strided) tensor")


def _check_alike(name: str, value: Any, other_name: str, other: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise InvalidTypeError(name, value, "a tensor")
    if value.dtype != other.dtype:
        raise InvalidValueError(f"{name}.dtype", value.dtype, f"{other.dtype}, as {other_name}")
    if value.device != other.device:
        raise InvalidValueError(f"{name}.device", value.device, f"{other.device}, as {other_name}")


def _check_places(places: Any) -> None:
    if not isinstance(places, Tensor):
        raise InvalidTypeError("places", places, "a tensor [P] of int64 on the CPU")
    if places.dim() != 1 or places.dtype != torch.int64 or places.device.type != "cpu":
        found = f"{places.dtype} {tuple(places.shape)} on {places.device}"
        raise InvalidValueError("places", found, "a tensor [P] of int64 on the CPU")


def _check_channels(name: str, value: Tensor) -> None:
    if value.shape[-3] == 0:
        raise InvalidValueError(f"{name}.shape", tuple(value.shape), "at least one channel")


def _check_probes(name: str, value: Tensor) -> None:
    if value.shape[1] == 0:
        raise InvalidValueError(f"{name}.shape", tuple(value.shape), "at least one probe (N >= 1)")


def _check_choice(name: str, value: Any, choices: dict[str, int]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise InvalidValueError(name, value, "one of " + ", ".join(repr(c) for c in choices))
