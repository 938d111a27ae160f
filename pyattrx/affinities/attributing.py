"""Attribution maps of one network, to look at or to work with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyattrx._ambient import neutrally
from pyattrx.encoders import Encoder, load
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods import AttributionMaps, resolve_maps_method
from pyattrx.probes import Probes
from pyattrx.running import Description, check_batch_size, resolve_device

__all__ = ["as_encoder", "attribute"]


@neutrally
def attribute(
    encoder: Encoder | nn.Module | str,
    images: Probes | Tensor,
    method: Any = "grad_x_input",
    *,
    batch_size: int = 32,
    device: str | torch.device | None = None,
) -> Tensor:
    """Compute attribution maps: what in an image a network's output is from.

    One backward pass an image, of one number of the output: its mean over all units, unless the
    method says otherwise. These are the maps that `pyattrx.affinity` compares.

    Parameters
    ----------
    encoder : Encoder, nn.Module or str
        The network, or a specification (see `pyattrx.load`). A bare module is taken to expect
        images in [0, 1]; `Encoder` says what else it expects, and at which layer it is read.
    images : Probes or Tensor [N, 3, H, W]
        RGB, floating in [0, 1] or uint8.
    method : str or Method
        "saliency", "grad_x_input", "elrp", "gradient_field" (the last map of each path),
        "conductance", "naa", "layer_ig" (which need ``Encoder(features=...)``), or a `Method`
        without ``reduce="none"`` and ``pixels=``.
    batch_size : int
        Images in one pass, at least 1.
    device : str or torch.device, optional
        Where to compute; the GPU if there is one.

    Returns
    -------
    Tensor [N, H, W]
        On the CPU, in the units of the attribution, not normalised (but for maps of a field, which
        are of unit length); float64 for a float64 network,
        else float32. On the grid of the images, or the method's own. Zero where the output does not
        depend on the image by more than rounding.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Wrong arguments: no images, a method that compares features, and so on.
    NonFiniteError
        A map holds NaN or Inf; the message names the image.
    AssumptionError
        The network is random, mixes the images of a batch, or answers to no image.
    EncoderError
        The network cannot be loaded, run or differentiated.

    Examples
    --------
    >>> import torch, pyattrx
    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1, bias=False))
    >>> images = torch.rand(4, 3, 2, 2)
    >>> maps = pyattrx.attribute(network, images)
    >>> maps.shape
    torch.Size([4, 2, 2])
    >>> by_hand = (images * network[1].weight.detach().view(3, 2, 2)).mean(1)
    >>> torch.allclose(maps, by_hand, atol=1e-6)
    True
    """
    chosen = resolve_maps_method(method)
    if chosen.reduce == "none" or chosen.pixels is not None:
        what = "reduce" if chosen.reduce == "none" else "pixels"
        raise InvalidValueError(
            "method", chosen, f"one with one whole map an image, without {what}"
        )
    probes = images if isinstance(images, Probes) else Probes.from_tensor(images)
    if len(probes) == 0:
        raise InvalidValueError("images", images, "at least one image")
    check_batch_size(batch_size)
    place = resolve_device(device)
    network = as_encoder("encoder", encoder)
    descriptor = AttributionMaps(chosen, probes.size)
    maps: Tensor | None = None
    with Description(
        network,
        probes,
        [descriptor],
        batch_size=batch_size,
        device=place,
        precision="float32",
    ) as description:
        for which, (rows,) in description.rows(on_host=True):
            if maps is None:
                maps = torch.empty(len(probes), *descriptor.grid, dtype=rows.dtype)
            maps[torch.from_numpy(which)] = rows.view(len(rows), -1, *descriptor.grid)[:, -1]
    assert maps is not None
    return maps


def as_encoder(argument: str, network: Any) -> Encoder:
    """Turn what an argument names into an encoder: a network, a specification, or a function.

    Raises
    ------
    InvalidTypeError
        None of them, or a function that returns no encoder.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.affinities import as_encoder
    >>> as_encoder("target", torch.nn.Linear(2, 1)).name
    'Linear'
    """
    if isinstance(network, Encoder):
        return network
    if isinstance(network, nn.Module):
        return Encoder(network, name=type(network).__name__)
    if isinstance(network, str):
        return load(network)
    if callable(network) and not isinstance(network, type):
        made = network()
        if isinstance(made, Encoder):
            return made
        raise InvalidTypeError(argument, made, "a function that returns an Encoder")
    raise InvalidTypeError(
        argument,
        network,
        "a pyattrx.Encoder, a torch.nn.Module, a specification or a function returning an Encoder",
    )
