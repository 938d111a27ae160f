"""From probes to what a network sees, with or without a derivative."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pyattrx.encoders.transforms import Normalize, Transform
from pyattrx.errors import EncoderError, PyattrxError

__all__ = ["seen", "with_gradient"]


def seen(
    images: Tensor,
    device: torch.device,
    dtype: torch.dtype,
    transform: Transform | None,
    size: tuple[int, int] | None,
) -> Tensor:
    """Resize and transform images.

    Parameters
    ----------
    images : Tensor [N, 3, H, W]
        In [0, 1], on any device.
    device : torch.device
    dtype : torch.dtype
        Of what the network sees.
    transform : callable, optional
    size : (int, int), optional
        Height and width that the network wants.

    Returns
    -------
    Tensor [N, C, H', W']
    """
    # Half types hold too few levels for interpolation and normalisation.
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    x = images.to(device, wide, non_blocking=True)
    if size is not None and tuple(x.shape[-2:]) != size:
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True)
    if isinstance(transform, Normalize):
        x = transform(x)
    elif transform is not None:  # it may write into what it is given
        x = transform(x.clone() if x.data_ptr() == images.data_ptr() else x)
    return x.to(dtype)


def with_gradient(name: str, see: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Preprocess images that may ask for a gradient, and may have a forward derivative.

    Parameters
    ----------
    name : str
        Of the network.
    see : callable
        The preprocessing.
    images : Tensor [N, 3, H, W]

    Returns
    -------
    Tensor [N, C, H', W']
        Differentiable by the images, where they ask for it.

    Raises
    ------
    EncoderError
        It has no derivative, or fails on such images.
    """
    advice = (
        "this method moves the image and needs the derivative; give the network a transform of "
        "differentiable torch operations, such as pyattrx.Normalize(mean, std)"
    )
    try:
        x = see(images)
    except PyattrxError:
        raise
    except Exception as error:
        raise EncoderError(
            f"network {name!r}: its transform fails on images that ask for a gradient: "
            f"{type(error).__name__}: {error}; {advice}"
        ) from error
    if images.requires_grad and not x.requires_grad:
        raise EncoderError(
            f"network {name!r}: its transform has no derivative with respect to the image "
            f"(detach, no_grad, 8-bit images or NumPy on the way); {advice}"
        )
    return x
