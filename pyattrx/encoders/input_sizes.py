"""Networks that fail on one size of input, most of them as theirs is fixed: which they run on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyattrx.encoders.reading import Reader
from pyattrx.errors import EncoderError, PyattrxError

__all__ = ["with_size"]

# What networks are trained with.
_USUAL = (32, 64, 96, 128, 192, 224, 256, 299, 384, 448, 512, 518)
_LEAST, _MOST = 8, 1536
_HOLDERS = ("", "config", "patch_embed", "embeddings", "trunk")
_NAMES = ("image_size", "img_size", "input_size")
_CONFIGURATIONS = ("pretrained_cfg", "default_cfg")


def with_size(error: EncoderError, reader: Reader, x: Tensor) -> EncoderError:
    """Return an error that also says which size of input the network runs on, if that is it.

    Parameters
    ----------
    error : EncoderError
        What the network's failure became.
    reader : Reader
        Runs the network; it is of no use afterwards.
    x : Tensor [N, C, H, W]
        What it failed on.
    """
    cause = error.__cause__
    if cause is None or isinstance(cause, PyattrxError) or "out of memory" in str(cause):
        return error
    height, width = x.shape[-2:]
    for size in dict.fromkeys(_candidates(reader.module, str(cause))):
        if size != (height, width) and _runs(reader, x, size):
            said = str(size[0]) if size[0] == size[1] else str(size)
            return EncoderError(
                f"{str(error).rstrip('.')}; it runs on {size[0]} x {size[1]}: set "
                f"input_size={said}, or make the probes of that size"
            )
    return error


def _runs(reader: Reader, x: Tensor, size: tuple[int, int]) -> bool:
    try:
        with torch.no_grad():
            reader.output(F.interpolate(x.float(), size, mode="nearest").to(x.dtype))
    except EncoderError:
        return False
    return True


def _candidates(module: nn.Module, message: str) -> Iterator[tuple[int, int]]:
    """Sizes that the network itself names, then usual ones, then any number in its message.

    Of the usual ones those in the message first. A message may count tokens: 65 of 64 x 64.
    """
    for holder in _HOLDERS:
        owner = getattr(module, holder, None) if holder else module
        for name in _NAMES:
            yield from _size(getattr(owner, name, None))
    for name in _CONFIGURATIONS:
        configuration = getattr(module, name, None)
        if isinstance(configuration, dict):
            yield from _size(configuration.get("input_size"))
    numbers = [int(found) for found in re.findall(r"\d{1,4}", message)]
    for number in [*(n for n in numbers if n in _USUAL), *_USUAL, *numbers]:
        yield from _size(number)


def _size(value: Any) -> Iterator[tuple[int, int]]:
    """Yield the height and width that a value says, if it says any."""
    pair = value[-2:] if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) == 2 and all(
        isinstance(side, int) and not isinstance(side, bool) and _LEAST <= side <= _MOST
        for side in pair
    ):
        yield pair[0], pair[1]
