"""Several layers of a network, read in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyattrx.encoders.outputs import pick_tensor
from pyattrx.errors import EncoderError

__all__ = ["Taps", "exponent_of"]


class Taps:
    """Several layers, read in one pass; an `output` of `Encoder`.

    As an output it is one row of numbers an image, so that everything that is checked of an output
    is checked of all layers at once: what they say side by side, each over a power of two of its
    own, so that what is checked by its size is large enough. `PreparedEncoder.each` returns them
    as they are, and does not put them together. None of the layers is folded into another.

    Parameters
    ----------
    layers : sequence of str
        Dotted names of submodules, each called once in a pass.
    exponents : sequence of int, optional
        Of the powers of two, see `exponent_of`; not told from the images that are read, since a
        network must not answer to one image by what it has seen before. 0 if left out.
    run : callable, optional
        How the network is called, ``run(module, x)``; ``module(x)`` if left out.

    Attributes
    ----------
    layers : tuple of str
    shapes : list of tuple of int
        What a layer says of an image; empty before the first pass.

    Examples
    --------
    >>> import torch, pyattrx
    >>> from pyattrx.encoders import Taps
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> encoder = pyattrx.Encoder(network, name="small").read_at(output=Taps(["0", "1"]))
    >>> images = torch.rand(2, 3, 8, 8)
    >>> with encoder.prepare("cpu", images) as prepared:
    ...     [tuple(part.shape) for part in prepared.each(prepared.preprocess(images))]
    [(2, 4, 6, 6), (2, 4, 6, 6)]
    """

    def __init__(
        self,
        layers: Sequence[str],
        exponents: Sequence[int] | None = None,
        run: Callable[[nn.Module, Tensor], Any] | None = None,
    ) -> None:
        self.layers = tuple(layers)
        self._run = run
        self.shapes: list[tuple[int, ...]] = []
        self._exponents = [0] * len(self.layers) if exponents is None else list(exponents)

    def parts(self, module: nn.Module) -> list[nn.Module]:
        """Layers of a network, in the order of their names."""
        return [module.get_submodule(layer) for layer in self.layers]

    def read(self, module: nn.Module, x: Tensor) -> list[Tensor]:
        """Run a network; what each layer says of x, [N, ...] each; differentiable.

        Raises
        ------
        EncoderError
            A layer is not called exactly once, or its answer is no floating tensor of a row an
            image.
        """
        seen: dict[str, list[Any]] = {layer: [] for layer in self.layers}

        def noting(layer: str) -> Any:
            def note(_: nn.Module, __: Any, answer: Any) -> None:
                if seen[layer]:  # of one that is called often, nothing more is kept
                    seen[layer].append(None)
                else:
                    # A copy: what follows may write into it.
                    seen[layer].append(self._rows(layer, answer, x).clone())

            return note

        pairs = zip(self.layers, self.parts(module), strict=True)
        hooks = [part.register_forward_hook(noting(layer)) for layer, part in pairs]
        try:
            module(x) if self._run is None else self._run(module, x)
        finally:
            for hook in hooks:
                hook.remove()
        for layer, answers in seen.items():
            if len(answers) != 1:
                times = f"{len(answers)} times" if answers else "never"
                raise EncoderError(
                    f"layer {layer!r} is called {times} in a forward pass: expected once"
                )
        found = [answers[0] for answers in seen.values()]
        if not self.shapes:
            self.shapes = [tuple(one.shape[1:]) for one in found]
        for layer, one, shape in zip(self.layers, found, self.shapes, strict=True):
            if tuple(one.shape[1:]) != shape:
                raise EncoderError(
                    f"layer {layer!r} has shape {shape} for one image and {tuple(one.shape[1:])} "
                    "for another of the same size, so that they cannot be compared"
                )
        return found

    def __call__(self, module: nn.Module, x: Tensor) -> Tensor:
        """Run a network; [N, numbers of all layers], each layer's of about the same size."""
        found = self.read(module, x)
        pairs = zip(found, self._exponents, strict=True)
        flat = [(one * 2.0**-by).flatten(1) for one, by in pairs]
        widest = max((one.dtype for one in flat), key=lambda dtype: torch.finfo(dtype).bits)
        return torch.cat([one.to(widest) for one in flat], 1)

    def part(self, numbers: Tensor, index: int) -> Tensor:
        """What a layer said, [N, ...], of what a call returned."""
        sizes = [math.prod(shape) for shape in self.shapes]
        first = sum(sizes[:index])
        chosen = numbers[:, first : first + sizes[index]]
        scaled = chosen * 2.0 ** self._exponents[index]
        return scaled.reshape(len(numbers), *self.shapes[index])

    @staticmethod
    def _rows(layer: str, answer: Any, x: Tensor) -> Tensor:
        try:
            values = pick_tensor(answer)
        except EncoderError as error:
            raise EncoderError(f"layer {layer!r}: {error}") from error
        if values.dim() == 0 or len(values) != len(x) or not values.is_floating_point():
            raise EncoderError(
                f"layer {layer!r} answers {tuple(values.shape)} and {values.dtype} for {len(x)} "
                f"images: expected a real floating tensor [{len(x)}, ...]"
            )
        if values.numel() == 0:
            raise EncoderError(f"layer {layer!r} answers {tuple(values.shape)}: nothing")
        return values[:, None] if values.dim() == 1 else values


def exponent_of(values: Tensor) -> int:
    """Exponent of the power of two that brings values near one."""
    largest = float(values.detach().abs().amax())
    return max(-100, min(100, math.frexp(largest)[1])) if 0 < largest < math.inf else 0
