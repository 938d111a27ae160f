"""The small steps of an image that move a network most: leading singular vectors of its derivative.

A step is a few numbers on a coarse grid, made as large as the probe, so that networks of any input
size are asked about the same steps. They are found by subspace iteration: some steps at a time are
taken, how the network moves is traced back to the grid, and what comes out is made orthogonal.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from pyattrx._layouts import any_layout
from pyattrx.encoders import PreparedEncoder
from pyattrx.errors import EncoderError, PyattrxError
from pyattrx.methods.feature_method import widened

__all__ = ["StrongestSteps", "enlarged", "grid_of"]

_NOT_DIFFERENTIABLE = (
    "answers to its input, but not differentiably (detach, no_grad, argmax, rounding, 8-bit images "
    "or NumPy on the way, in the network or in its transform)"
)


def grid_of(size: tuple[int, int], largest: int) -> tuple[int, int]:
    """Rows and columns of the grid that steps are made on, for probes of a height and width."""
    return min(size[0], largest), min(size[1], largest)


class StrongestSteps:
    """Finds the steps that move a network's output, or its features, most.

    Parameters
    ----------
    encoder : PreparedEncoder
    reads : {"output", "features"}
        What is to be moved.
    start : Tensor [r, 3, h, w], float64
        Where the iteration begins: independent directions, the same for all networks.
    strength : float or None
        Root mean square of a step on the grid; None for the derivative.
    """

    def __init__(
        self, encoder: PreparedEncoder, reads: str, start: Tensor, strength: float | None
    ) -> None:
        self._encoder = encoder
        self._reads = reads
        self._start = start
        self._strength = strength

    def find(self, images: Tensor, plain: Tensor, steps: int) -> Tensor:
        """Find the strongest steps of some images.

        Parameters
        ----------
        images : Tensor [B, 3, H, W]
        plain : Tensor [B, ...]
            What the network answers to them.
        steps : int
            Iterations.

        Returns
        -------
        Tensor [B, r, D]
            Orthogonal rows over D = 3 h w, the strongest first. Lengths are how far a step of one
            length moves the network, over how far the strongest one does. Zeros where nothing
            moves it, NaN where its answers are not finite.
        """
        rank, grid = len(self._start), self._start.shape[1:]
        # Steps as small as rounding leaves them: in float64 for a network that is.
        images = images.to(torch.promote_types(images.dtype, widened(plain).dtype))
        start = self._start.flatten(1).to(images.device)
        directions = _orthogonal(start.expand(len(images), -1, -1))
        for step in range(steps):
            shaped = directions.view(len(images), rank, *grid)
            change, traced = self._moved(images, plain, shaped, back=True)
            if step == 0:
                self._check_derivative(change, traced)
            if traced is None:
                return directions.new_zeros(directions.shape).to(change.dtype)
            directions = _orthogonal(_near_one(traced.double().flatten(2)))
        shaped = directions.view(len(images), rank, *grid)
        change, _ = self._moved(images, plain, shaped, back=False)
        return _by_strength(directions, change, start[0]).to(change.dtype)

    def _moved(
        self, images: Tensor, plain: Tensor, directions: Tensor, *, back: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Take steps [B, r, 3, h, w]; how the network moves [B, r, Z], traced back to the grid."""
        count, rank = directions.shape[:2]
        shown = images.repeat_interleave(rank, 0)
        directions = directions.flatten(0, 1).to(images.dtype)
        move = self._derivative if self._strength is None else self._difference
        with torch.set_grad_enabled(back):
            change, answer, leaf = move(shown, plain, directions)
            change = _near_one(widened(change).reshape(count, rank, -1))
            traced = None
            if back and answer.requires_grad:
                weights = change.reshape(answer.shape).to(answer.dtype)
                with any_layout(shown):
                    (traced,) = torch.autograd.grad(answer, leaf, weights, allow_unused=True)
        return change, None if traced is None else traced.view(count, rank, *leaf.shape[1:])

    def _difference(
        self, shown: Tensor, plain: Tensor, directions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Change of the answer by steps of some length, the answer, and what it depends on."""
        assert self._strength is not None
        length = self._strength * directions[0].numel() ** 0.5
        leaf = (length * directions).requires_grad_(torch.is_grad_enabled())
        answer = self._answer(shown + enlarged(leaf, shown))
        return answer.detach() - plain.repeat_interleave(len(shown) // len(plain), 0), answer, leaf

    def _derivative(
        self, shown: Tensor, plain: Tensor, directions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same for steps of no length: derivatives, forward."""
        leaf = torch.zeros_like(directions).requires_grad_(torch.is_grad_enabled())
        here = shown + enlarged(leaf, shown)
        try:
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(here, enlarged(directions, shown))
                answer, change = forward_ad.unpack_dual(self._answer(dual))
        except PyattrxError as error:
            raise EncoderError(f"{error}; {_ADVICE}") from error
        except Exception as error:
            raise EncoderError(
                f"network {self._encoder.name!r} has no forward derivative: "
                f"{type(error).__name__}: {error}; {_ADVICE}"
            ) from error
        change = torch.zeros_like(answer) if change is None else change
        return change.detach(), answer, leaf

    def _answer(self, shown: Tensor) -> Tensor:
        x = self._encoder.preprocess(shown, gradient=True)
        if self._reads == "output":
            return self._encoder.forward(x)
        return self._encoder.outputs_with_gradient(x)[1]

    def _check_derivative(self, change: Tensor, traced: Tensor | None) -> None:
        nothing = traced is None or not bool(traced.any())
        if nothing and bool(change.any()):
            raise EncoderError(
                f"network {self._encoder.name!r}: its {self._reads} {_NOT_DIFFERENTIABLE}; choose "
                f"another with {self._reads}=, or a method that needs no gradients"
            )


_ADVICE = "a strength, such as 0.01, needs backward passes only"


def enlarged(steps: Tensor, images: Tensor) -> Tensor:
    """Make steps of the grid, [N, 3, h, w], as large as images [N, 3, H, W]; bilinear."""
    size = tuple(images.shape[-2:])
    if tuple(steps.shape[-2:]) == size:
        return steps
    return F.interpolate(steps, size=size, mode="bilinear", align_corners=False)


def _near_one(values: Tensor) -> Tensor:
    """Values [B, r, Z], of each image times a power of two: no square under- or overflows."""
    exponent = torch.frexp(values.abs().amax((1, 2), keepdim=True)).exponent
    # In two parts: one power alone may not be a number of the type.
    half = exponent // 2
    scaled: Tensor = torch.ldexp(torch.ldexp(values, -half), half - exponent)
    return scaled


def _orthogonal(rows: Tensor) -> Tensor:
    """Orthonormal rows [B, r, D] that span what these do, in their order."""
    turned: Tensor = torch.linalg.qr(rows.transpose(1, 2)).Q
    return turned.transpose(1, 2).contiguous()


def _by_strength(directions: Tensor, change: Tensor, start: Tensor) -> Tensor:
    """Directions [B, r, D] turned among themselves: the strongest first, with their strength."""
    wide = change.double()
    gram = wide @ wide.transpose(1, 2)
    finite = gram.isfinite().all(2).all(1)
    gram = torch.where(finite[:, None, None], gram, 0.0)
    squares, turn = torch.linalg.eigh(gram)
    strengths = squares.flip(1).clamp_min(0).sqrt()
    turned = turn.flip(2).transpose(1, 2) @ directions
    # A direction has no sign; this one is the same for any batch.
    turned = torch.where((turned @ start)[..., None] < 0, -turned, turned)
    largest = strengths[:, :1]
    strengths = strengths / torch.where(largest > 0, largest, 1.0)
    found = strengths[..., None] * turned
    return torch.where(finite[:, None, None], found, float("nan"))
