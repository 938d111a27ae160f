"""Straight paths from a baseline to an image, and where an integral along them is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods.network import Network

__all__ = ["Baseline", "baseline_of", "checked_baseline", "gauss_legendre", "shown_baseline"]

# A level, a color, or an image, in [0, 1]; as nested tuples, so that it can be compared and kept.
Baseline = float | tuple[Any, ...]


def checked_baseline(value: Any) -> Baseline:
    """Check a baseline, and make it one that can be compared and written down.

    Parameters
    ----------
    value : float, sequence of three, or tensor or array [3, H, W]
        A gray level, a color, or an image of the probes' size; in [0, 1].

    Raises
    ------
    InvalidValueError, InvalidTypeError
    """
    expected = "a level, a color (three numbers) or an image [3, H, W]; of numbers from 0 to 1"
    if isinstance(value, bool | str | None):
        raise InvalidTypeError("baseline", value, expected)
    try:
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        given = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError("baseline", value, expected) from error
    if given.ndim not in (0, 1, 3) or (given.ndim > 0 and given.shape[0] != 3) or 0 in given.shape:
        raise InvalidValueError("baseline.shape", given.shape, "(), (3,) or (3, H, W)")
    if not bool(((given >= 0) & (given <= 1)).all()):
        raise InvalidValueError("baseline", value if given.ndim < 2 else "an image", expected)
    found: Baseline = _nested(given.tolist())
    return found


def _nested(value: Any) -> Any:
    return tuple(_nested(part) for part in value) if isinstance(value, list) else value


def shown_baseline(value: Baseline) -> str:
    """A baseline in few characters."""
    shape = np.shape(value)
    return f"an image {tuple(shape)}" if len(shape) > 1 else repr(value)


def baseline_of(
    forward: Network | Callable[[Tensor], Tensor], x: Tensor, value: Baseline
) -> Tensor:
    """Return a baseline as the network sees it.

    Parameters
    ----------
    forward : Network
        A plain callable is taken to see images as they are.
    x : Tensor [N, C, H, W]
        What it sees of probes.
    value : Baseline

    Returns
    -------
    Tensor [1, C, H, W]

    Raises
    ------
    InvalidValueError
        It is an image of another size than the probes.
    """
    known = isinstance(forward, Network)
    size = forward.size if isinstance(forward, Network) else tuple(x.shape[-2:])
    image = torch.tensor(value, dtype=torch.float32 if known else x.dtype, device=x.device)
    if image.dim() == 3:
        if tuple(image.shape[1:]) != tuple(size):
            raise InvalidValueError(
                "baseline.shape", tuple(image.shape), f"{(3, *size)}, the shape of a probe"
            )
    elif image.dim() == 1:
        image = image[:, None, None].expand(3, *size)
    else:
        image = image.expand(3 if known else x.shape[1], *size)
    seen = image[None].contiguous()
    return forward.preprocess(seen) if isinstance(forward, Network) else seen


def gauss_legendre(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in (0, 1) and weights, which sum to 1, of the Gauss-Legendre rule.

    Examples
    --------
    >>> from pyattrx.methods.paths import gauss_legendre
    >>> points, weights = gauss_legendre(2)
    >>> round(float(weights @ points**3), 12)
    0.25
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return (1 + nodes) / 2, weights / 2
