"""Passes through a network that is cut open at one layer: what crosses it, and what goes around it.

The derivative of a number with respect to the input is a sum over paths. Those that cross a layer
with answer h give ``J^T g``, with J the derivative of h and g that of the number with respect to h;
the others go around it. The inner product of ``J^T g`` with a direction t is the sum of ``g * J t``
over the elements of h: so one Jacobian-vector product says what every channel adds to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pyattrx._layouts import any_layout
from pyattrx.encoders import PreparedEncoder, pick_tensor, put_tensor
from pyattrx.errors import EncoderError
from pyattrx.methods import InputAttribution, Scalar

__all__ = ["Crossing", "Tap", "by_channel"]

_Axis = Callable[[Tensor], int]
_Cut = list[tuple[Tensor, Tensor]]  # what the layer answered, and the leaf that went on


@dataclass(frozen=True)
class Crossing:
    """A batch that went through a cut network.

    Attributes
    ----------
    answer : Tensor [N, ...]
        Of the layer.
    gradient : Tensor [N, ...]
        Of the number that is attributed, with respect to that answer.
    through, around : Tensor [N, C, H, W]
        What of the input's gradient came by paths that cross the layer, and by all others.
    moved : Tensor [N, ...] or None
        How the answer moves with the input in the direction that was asked for.
    """

    answer: Tensor
    gradient: Tensor
    through: Tensor
    around: Tensor
    moved: Tensor | None = None


@dataclass(frozen=True)
class Tap:
    """Where a network is cut, and what is attributed.

    Attributes
    ----------
    layer : str or None
        Name of a submodule that is called once in a pass; None for the network's output.
    attribution : InputAttribution
        One backward pass, by whatever rules.
    scalar : callable
        From the output to one number per image, [N].
    """

    layer: str | None
    attribution: InputAttribution
    scalar: Scalar

    def cross(
        self, encoder: PreparedEncoder, x: Tensor, direction: Tensor | None = None
    ) -> Crossing:
        """Run a batch forward and back; with a direction [N, C, H, W], forward again along it.

        Raises
        ------
        EncoderError
            The network fails, or what lies before the layer cannot be differentiated twice.
        """

        def one(part: Tensor, where: slice) -> Crossing:
            along = None if direction is None else direction[where]
            with self._cut_open(encoder, part) as (leaf_x, answer, gradient, around):
                start = gradient.requires_grad_(along is not None)
                through = _back(answer, start, leaf_x, again=along is not None)
                moved = None if along is None else _forward(through, along, start)
            return Crossing(answer.detach(), gradient.detach(), through.detach(), around, moved)

        return _joined([one(*piece) for piece in _pieces(encoder, x)], len(x))

    def of_channels(
        self,
        encoder: PreparedEncoder,
        x: Tensor,
        channels: Tensor,
        axis: Callable[[Tensor], int],
        *,
        own: bool,
    ) -> Tensor:
        """Gradients of the input that come by one channel of the layer.

        Parameters
        ----------
        encoder : PreparedEncoder
        x : Tensor [N, C, H, W]
        channels : Tensor [N], int64
            Channel of each image.
        axis : callable
            From the layer's answer to the axis of its channels.
        own : bool
            Of the sum of the channel itself, and not of the number that is attributed.

        Returns
        -------
        Tensor [N, C, H, W]
        """
        found = []
        for part, where in _pieces(encoder, x):
            with self._cut_open(encoder, part) as (leaf_x, answer, gradient, _):
                start = torch.zeros_like(gradient)
                source = torch.ones_like(gradient) if own else gradient
                for row, channel in enumerate(channels[where].tolist()):
                    one = (row,)
                    if answer.dim() > 1:
                        one = (row, *[slice(None)] * (axis(answer) - 1), channel)
                    start[one] = source[one]
                found.append(_back(answer, start, leaf_x, again=False).detach())
        return torch.cat(found)

    @contextmanager
    def _cut_open(
        self, encoder: PreparedEncoder, x: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Run forward, and back as far as the layer, in a context where rules hold.

        Yields the input as a leaf; the layer's answer, with the graph before it; the derivative
        with respect to it; and that of the input by paths around it.
        """
        self.attribution.check(encoder.module)
        # Fused attention has no second derivative.
        with torch.enable_grad(), self.attribution.rules() as rules, sdpa_kernel(SDPBackend.MATH):
            x = x.detach().requires_grad_()
            answer, leaf, output = self._run(encoder, x)
            value = self.scalar(output).sum()
            self.attribution.check_rules(rules, value, answer)
            gradient: Tensor | None = None
            around: Tensor | None = None
            if value.requires_grad:
                gradient, around = _derivatives(value, torch.ones_like(value), (leaf, x), keep=True)
            yield (
                x,
                answer,
                torch.zeros_like(leaf) if gradient is None else gradient.detach(),
                torch.zeros_like(x) if around is None else around.detach(),
            )

    def _run(self, encoder: PreparedEncoder, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.layer is None:
            answer = encoder.forward(x)
            leaf = answer.detach().requires_grad_()
            return answer, leaf, leaf.clone()
        cuts: _Cut = []
        hook = encoder.module.get_submodule(self.layer).register_forward_hook(_cutting(cuts))
        try:
            output = encoder.forward(x)
        finally:
            hook.remove()
        if not cuts:
            raise EncoderError(
                f"network {encoder.name!r}: the layer {self.layer!r} is not called before the "
                "output that stands for the network; choose an earlier layer"
            )
        answer, leaf = cuts[-1]  # the last: a pass may have been made again, without folding
        return answer, leaf, output


def by_channel(values: Tensor, axis: int) -> Tensor:
    """See values of a layer as [N, C, everything else].

    Parameters
    ----------
    values : Tensor [N, ...]
    axis : int
        Of the channels.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.questions.crossing import by_channel
    >>> by_channel(torch.zeros(2, 5, 7), axis=2).shape
    torch.Size([2, 7, 5])
    """
    if values.dim() == 1:
        return values[:, None, None]
    return values.movedim(axis, 1).flatten(2) if values.dim() > 2 else values[:, :, None]


def _cutting(cuts: _Cut) -> Callable[[nn.Module, Any, Any], Any]:
    def cut(_: nn.Module, __: Any, answer: Any) -> Any:
        found = pick_tensor(answer)
        leaf = found.detach().requires_grad_()
        cuts.append((found, leaf))
        # A copy, since what follows may write into it.
        return put_tensor(answer, found, leaf.clone())

    return cut


def _pieces(encoder: PreparedEncoder, x: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """Parts of a batch that a network runs in one pass each."""
    sizes = encoder.sizes
    step = 1 if sizes.alone else sizes.least if sizes.fixed else len(x)
    for first in range(0, len(x), step):
        where = slice(first, first + step)
        yield x[where], where


def _joined(parts: list[Crossing], count: int) -> Crossing:
    # A batch that was filled up has answers to more than its own images, all of them in the end.
    def together(of: Callable[[Crossing], Tensor]) -> Tensor:
        own = [of(part)[: len(part.through)] for part in parts]
        return own[0] if len(own) == 1 else torch.cat(own)[:count]

    moved = None if parts[0].moved is None else together(_moved)
    return Crossing(
        together(lambda part: part.answer),
        together(lambda part: part.gradient),
        together(lambda part: part.through),
        together(lambda part: part.around),
        moved,
    )


def _moved(part: Crossing) -> Tensor:
    assert part.moved is not None
    return part.moved


def _back(answer: Tensor, start: Tensor, x: Tensor, *, again: bool) -> Tensor:
    """From the layer to the input; `again`, so that it can be differentiated itself."""
    if not answer.requires_grad:
        return torch.zeros_like(x)
    (found,) = _derivatives(answer, start, (x,), keep=again, again=again)
    return torch.zeros_like(x) if found is None else found


def _forward(through: Tensor, direction: Tensor, start: Tensor) -> Tensor:
    """How the layer's answer moves: what went back is linear in where it started.

    The derivative of ``<J^T v, t>`` with respect to v is ``J t``, by whatever rules J was made.
    """
    if not through.requires_grad:
        return torch.zeros_like(start)
    try:
        (found,) = _derivatives(through, direction, (start,))
    except RuntimeError as error:
        raise EncoderError(
            "what lies before the layer cannot be differentiated twice "
            f"({type(error).__name__}: {error}); choose an earlier layer"
        ) from error
    return torch.zeros_like(start) if found is None else found.detach()


def _derivatives(
    value: Tensor,
    start: Tensor,
    inputs: tuple[Tensor, ...],
    *,
    keep: bool = False,
    again: bool = False,
) -> tuple[Tensor | None, ...]:
    """As ``torch.autograd.grad``, by the rules of the context; see `methods.attribution`."""
    engine: Any = torch.autograd.Variable._execution_engine
    with any_layout(inputs[-1]):
        found: tuple[Tensor | None, ...] = engine.run_backward(
            (value,), (start,), keep, again, inputs, allow_unreachable=True, accumulate_grad=False
        )
    return found
