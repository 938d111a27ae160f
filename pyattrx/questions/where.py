"""Which layer of which network is asked about."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn

from pyattrx._ambient import neutral
from pyattrx.encoders import Encoder, run_until
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.features import find_place

__all__ = ["channel_axis", "check_axis", "network_asked", "usual_layer"]

_SHOWN = 5


def network_asked(target: Encoder, source: Encoder, layer: Any, of: Any) -> str:
    """Tell whose layer is meant.

    Parameters
    ----------
    target, source : Encoder
    layer : str or None
    of : {"target", "source"} or None
        None for the source, or for the target where that alone has such a layer.

    Returns
    -------
    str

    Raises
    ------
    InvalidValueError, InvalidTypeError
        The network has no such layer; the message names those that are spelt alike.
    """
    if of not in (None, "target", "source"):
        raise InvalidValueError("of", of, "'target' or 'source', or None")
    if layer is None:
        return of or "source"
    if not isinstance(layer, str):
        raise InvalidTypeError("layer", layer, "a submodule's dotted name, or None")
    names = {"source": _layers(source), "target": _layers(target)}
    for who in ("source", "target") if of is None else (of,):
        if layer in names[who]:
            return who
    if of is not None:
        other = "source" if of == "target" else "target"
        hint = f"; the {other} has it: of={other!r}" if layer in names[other] else ""
        raise InvalidValueError(
            "layer", layer, f"a layer of the {of}{_near(layer, names[of])}{hint}"
        )
    raise InvalidValueError(
        "layer",
        layer,
        f"a layer of the source{_near(layer, names['source'])}, or of the target"
        f"{_near(layer, names['target'])}",
    )


def usual_layer(encoder: Encoder, images: Tensor, device: torch.device) -> str | None:
    """Find the layer whose channels say most of a network: the last one that has locations.

    Parameters
    ----------
    encoder : Encoder
    images : Tensor [N, 3, H, W]
    device : torch.device

    Returns
    -------
    str or None
        What the encoder's `features` name; else the layer that a new task would start from, before
        it is pooled; None for the output itself, also where that comes before such a layer.
    """
    if isinstance(encoder.features, str):
        return encoder.features
    if callable(encoder.output):
        return None
    try:
        with encoder.prepare(device, images, looked_at=False) as prepared, neutral():
            x = prepared.preprocess(images)
            with prepared.surroundings():
                headless = bool(encoder.known.get("headless"))
                place = find_place(prepared.module, x, headless=headless)
                layer = place.maps or (None if place.of_input else place.pooled)
                if layer is not None and encoder.output is not None:
                    layer = _before(prepared.module, x, layer, encoder.output)
                return layer
    except PyattrxError:
        raise
    except Exception:  # of any kind: what is wrong is said when the network is looked at
        return None


def _before(module: nn.Module, x: Tensor, layer: str, output: str) -> str | None:
    """The layer, if it answers before another one does."""
    seen: list[str] = []
    hook = module.get_submodule(layer).register_forward_hook(lambda *_: seen.append(layer))
    try:
        with torch.no_grad():
            run_until(module, x, module.get_submodule(output))
    finally:
        hook.remove()
    return layer if seen and layer != output else None


def channel_axis(answer: tuple[int, ...], axis: int | None, name: str) -> int:
    """Axis of the channels of what a layer answers.

    Parameters
    ----------
    answer : tuple of int
        Its shape, of a batch.
    axis : int or None
        Where the user says they are.
    name : str
        Of the network, for messages.

    Returns
    -------
    int
        The last one of tokens, [N, T, C]; else 1.

    Raises
    ------
    EncoderError
        The layer has no such axis.

    Examples
    --------
    >>> from pyattrx.questions.where import channel_axis
    >>> channel_axis((8, 64, 7, 7), None, "net"), channel_axis((8, 197, 768), None, "net")
    (1, 2)
    """
    usual = 2 if len(answer) == 3 else 1
    if axis is not None and len(answer) > 1 and not 1 <= axis < len(answer):
        raise EncoderError(
            f"network {name!r}: axis={axis} of a layer whose answer has shape {answer}: expected "
            f"from 1 to {len(answer) - 1}"
        )
    return usual if axis is None or len(answer) == 1 else axis


def check_axis(axis: Any) -> None:
    """Refuse what is no axis of channels."""
    if axis is None:
        return
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise InvalidTypeError("axis", axis, "an integer, or None")
    if axis < 1:
        raise InvalidValueError("axis", axis, "at least 1, as 0 is the images, or None")


def _layers(encoder: Encoder) -> list[str]:
    return [name for name, _ in encoder.module.named_modules() if name]


def _near(layer: str, names: list[str]) -> str:
    near = difflib.get_close_matches(layer, names, n=_SHOWN, cutoff=0.3) or names[:_SHOWN]
    return f", such as {near}" if near else ", which has none"
