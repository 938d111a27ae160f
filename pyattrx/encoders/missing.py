"""Weights that a checkpoint lacks, and that were drawn at random when a network was loaded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from pyattrx.encoders.affine import Affine
from pyattrx.encoders.copying import random_state_kept, tensors_in
from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.outputs import Output, pick_tensor, run_until
from pyattrx.errors import EncoderError, UntrainedWarning

__all__ = ["settle_missing"]

_NEARLY_ALL = 0.9  # of all weights
_ONE_BY_ONE = 32  # tensors; of more it is asked together whether they matter
_SIDE = 64  # pixels, where a network has no size
_SHOWN = 5


def settle_missing(encoder: Encoder, missing: Sequence[str]) -> None:
    """Set weights that nobody has trained to zero where the output does not depend on them.

    Two loads of a checkpoint give the same network then. Where the output, or the features,
    depend on them, it is said.

    Parameters
    ----------
    encoder : Encoder
        Its module is changed in place.
    missing : sequence of str
        Names of parameters and buffers.

    Warns
    -----
    UntrainedWarning
        The output depends on some.

    Raises
    ------
    EncoderError
        It depends on nearly nothing else.
    """
    tensors = dict(encoder.module.named_parameters()) | dict(encoder.module.named_buffers())
    asked = [name for name in missing if name in tensors and tensors[name].is_floating_point()]
    if not asked:
        return
    with torch.no_grad(), random_state_kept(torch.device("cpu")):
        torch.manual_seed(0)
        channels = len(encoder.transform.matrix) if isinstance(encoder.transform, Affine) else 3
        x = torch.rand(1, channels, *(encoder.input_size or (_SIDE, _SIDE)), dtype=encoder.dtype)
        matter = _that_matter(encoder, x, {name: tensors[name] for name in asked})
        for name in set(asked) - set(matter):
            tensors[name].zero_()
    if not matter:
        return
    share = sum(tensors[name].numel() for name in matter) / sum(t.numel() for t in tensors.values())
    more = len(matter) - _SHOWN
    names = ", ".join(matter[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    said = (
        f"network {encoder.name!r}: its checkpoint lacks weights that its output depends on, "
        f"{share:.1%} of all ({names})"
    )
    if share > _NEARLY_ALL:
        raise EncoderError(f"{said}: it is a checkpoint of another network, or of other names")
    warnings.warn(
        f"{said}; they are random, and others at each load: read the network elsewhere "
        "(?output=LAYER), or save it once with all its weights",
        UntrainedWarning,
        stacklevel=2,
    )


def _that_matter(encoder: Encoder, x: Tensor, tensors: dict[str, Tensor]) -> list[str]:
    """Find the tensors whose values change the output or the features."""
    try:
        before = _answers(encoder, x)
    except Exception:  # it is not known, and is going to fail with a better message
        return list(tensors)
    names = list(tensors)
    groups = [[name] for name in names] if len(names) <= _ONE_BY_ONE else [names]
    found: list[str] = []
    for group in groups:
        kept = [tensors[name].clone() for name in group]
        for name in group:
            tensors[name].add_(torch.rand_like(tensors[name]))
        after = _answers(encoder, x)
        if not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)):
            found += group
        for name, value in zip(group, kept, strict=True):
            tensors[name].copy_(value)
    return found


def _answers(encoder: Encoder, x: Tensor) -> list[Tensor]:
    return [
        tensor
        for part in (encoder.output, encoder.features)
        for tensor in tensors_in(_answer(encoder, part, x))
    ]


def _answer(encoder: Encoder, part: Output, x: Tensor) -> Tensor:
    module = encoder.module
    if isinstance(part, str):
        return pick_tensor(run_until(module, x, module.get_submodule(part)))
    return pick_tensor(module(x) if part is None else part(module, x))
