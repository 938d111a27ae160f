"""What is checked of a network, and of images, before passes are made."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from pyattrx.encoders.transforms import Normalize, Transform, check_geometry
from pyattrx.errors import AssumptionError, EncoderError, InvalidTypeError, InvalidValueError

__all__ = [
    "brief", "check_calls", "check_ignores", "check_images", "check_transform",
    "half", "holds_halves", "own_transform",
]  # fmt: skip


def check_calls(
    network: nn.Module,
    called: str,
    x: Tensor,
    submodule: nn.Module,
    name: str,
    surroundings: AbstractContextManager[object],
) -> None:
    """A submodule that is called several times has no one output."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    hook = submodule.register_forward_hook(count)
    try:
        with torch.no_grad(), surroundings:
            network(x)
    except Exception as error:
        if calls == 0:  # what comes after the submodule is not needed, and may fail
            raise EncoderError(
                f"network {called!r} failed on an input of shape {tuple(x.shape)}: "
                f"{type(error).__name__}: {error}"
            ) from error
    finally:
        hook.remove()
    if calls != 1:
        times = "never" if calls == 0 else f"{calls} times"
        raise EncoderError(
            f"network {called!r}: the submodule {name} is called {times} in one forward "
            f"pass; choose another, or give a callable {name.partition('=')[0]}(module, x)"
        )


def check_ignores(forward: Callable[[Tensor], Tensor], called: str, x: Tensor) -> None:
    """Refuse a network without a derivative, unless its answer is the same whatever it sees."""
    low, high = x.amin(), x.amax()
    others = (low + high - x, x.flip(-1), x * 0.5, torch.zeros_like(x), 10 * x + 1)
    z = forward(x)
    if not _equal(forward(x), z):
        raise EncoderError(
            f"network {called!r}: the output is random, it differs between two runs on "
            "the same input, and it has no derivative with respect to the input"
        )
    if not all(_equal(forward(other), z) for other in others):
        raise EncoderError(
            f"network {called!r}: the output depends on its input, but not differentiably "
            "(detach, no_grad, argmax, rounding, or NumPy on the way); choose an earlier output "
            "with output=, or rewrite the forward pass"
        )


def own_transform(transform: Transform | None, device: torch.device) -> Transform | None:
    """A transform that is a module has state of its own, on a device: take a copy of it, too."""
    if not isinstance(transform, nn.Module):
        return transform
    try:
        return copy.deepcopy(transform).to(device).eval()
    except Exception as error:
        raise EncoderError(
            f"the transform {type(transform).__name__} cannot be copied to {device}: "
            f"{type(error).__name__}: {error}"
        ) from error


def brief(error: Exception) -> str:
    """The beginning of a message that may have pages."""
    return textwrap.shorten(str(error), 300, placeholder=" ...")


def half(dtype: torch.dtype) -> bool:
    """Whether a type has half the bits of float32."""
    return dtype in (torch.float16, torch.bfloat16)


def holds_halves(module: nn.Module) -> bool:
    """Whether any weight of a network is of such a type."""
    return any(half(t.dtype) for t in (*module.parameters(), *module.buffers()))


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def check_images(argument: str, images: Tensor) -> None:
    """Refuse what is no batch of images."""
    if not isinstance(images, Tensor):
        raise InvalidTypeError(argument, images, "a tensor [N, 3, H, W]")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise InvalidValueError(
            f"{argument}.shape", tuple(images.shape), "[N, 3, H, W], with at least one image"
        )
    if not images.is_floating_point():
        raise InvalidValueError(
            f"{argument}.dtype", images.dtype, "a floating type, images in [0, 1]"
        )


def check_transform(
    name: str,
    transform: Transform | None,
    images: Tensor,
    device: torch.device,
    sees: tuple[int, int],
) -> None:
    """Refuse a preprocessing that crops or moves the image."""
    if transform is None or isinstance(transform, Normalize):
        return
    try:
        check_geometry(lambda some: transform(some.to(device)), sees)
    except AssumptionError:
        raise
    except EncoderError as error:
        raise EncoderError(f"network {name!r}: {error}") from error
