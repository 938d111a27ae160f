"""A network read at its output and its features, in batches that it can stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pyattrx._ambient import for_network
from pyattrx.encoders.outputs import Part, pick_tensor, put_tensor, run_until
from pyattrx.encoders.taps import Taps
from pyattrx.encoders.widening import Widened
from pyattrx.errors import AssumptionError, EncoderError, PyattrxError

__all__ = ["BatchSizes", "Reader"]

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class BatchSizes:
    """Batches that a network can stand.

    Attributes
    ----------
    least : int
        Images that there must be: one that squeezes its output loses the batch dimension of one.
    fixed : bool
        Whether it must be exactly so many, as in a program that was exported with its batch size.
    alone : bool
        Whether every image has a batch of its own.
    """

    least: int = 1
    fixed: bool = False
    alone: bool = False

    def passes(self, count: int) -> int:
        """Return how many passes a batch of `count` images takes."""
        if self.alone:
            return count
        return -(-count // self.least) if self.fixed or count < self.least else 1

    def run(self, function: Callable[[Tensor], Sequence[Tensor]], x: Tensor) -> list[Tensor]:
        """Run a batch of any size; what is missing is filled up with the last image.

        Parameters
        ----------
        function : callable
            From images to tensors of one entry an image.
        x : Tensor [N, ...]

        Returns
        -------
        list of Tensor [N, ...]
        """
        if self.passes(len(x)) == 1 and len(x) >= self.least:
            return list(function(x))
        done: list[Sequence[Tensor]] = []
        step = 1 if self.alone else self.least
        for first in range(0, len(x), step):
            part = x[first : first + step]
            missing = self.least - len(part)
            if missing:
                part = torch.cat([part, part[-1:].detach().expand(missing, *part.shape[1:])])
            answer = function(part)
            done.append([z[: self.least - missing] for z in answer])
        return [torch.cat(parts) for parts in zip(*done, strict=True)]


class Reader:
    """Runs a module and picks what stands for it.

    Parameters
    ----------
    module : nn.Module
        The copy that is run.
    name : str
        For messages.
    output, features : None, nn.Module or callable
        Where it is read; see `Encoder`.
    device : torch.device

    Attributes
    ----------
    sizes : BatchSizes
    copies_input : bool
        Whether the network is given a copy, since it may write into its input.
    wrote : bool
        Whether it did.
    gradients : bool
        Whether it will be asked for gradients.
    widened : torch.dtype or None
        The type that stands for the half types on the way; None where they are left alone.
    """

    def __init__(
        self, module: nn.Module, name: str, output: Part, features: Part, device: torch.device
    ) -> None:
        self.module = module
        self.name = name
        self.parts: dict[str, Part] = {"output": output, "features": features}
        self.sizes = BatchSizes()
        self.copies_input = True
        self.wrote = False
        self.gradients = True
        self.widened: torch.dtype | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._device = device

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """What the network finds around a pass."""
        wide = nullcontext() if self.widened is None else Widened(self.widened)
        with for_network(self._device), wide:
            yield

    def output(self, x: Tensor) -> Tensor:
        """Return the output [N, ...] of what the network sees; differentiable."""
        (z,) = self.sizes.run(lambda part: [self._answer(part, "output")], x)
        return z

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return output and features, of one pass where that is possible; differentiable."""
        if self.parts["features"] is None:
            z = self.output(x)
            return z, z
        z, c = self.sizes.run(self._both, x)
        return z, c

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.parts["features"]
        if not isinstance(features, nn.Module):
            return self._answer(x, "output"), self._answer(x, "features")
        seen: list[Tensor] = []

        def keep(_: nn.Module, __: Any, answer: Any) -> None:
            # A copy: what follows may write into the tensor.
            seen.append(pick_tensor(answer).clone())

        hook = features.register_forward_hook(keep)
        try:
            z = self._answer(x, "output")
        finally:
            hook.remove()
        if not seen:  # the output was reached before them
            return z, self._answer(x, "features")
        return z, self.checked(seen[0], x, "features")

    def through(self, x: Tensor, inner: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output, and the features that it is made of in the same pass.

        Parameters
        ----------
        x : Tensor [N, C, H, W]
            A batch that the network can stand as it is (`sizes`).
        inner : Tensor [N, ...], optional
            What goes on from the layer in the place of its answer.

        Returns
        -------
        output, features : Tensor [N, ...]
            Where gradients are switched on, the output can be differentiated by the features:
            they are a leaf unless they answer to an `x` that asks for a gradient. What is written
            into the layer's answer later leaves them alone.

        Raises
        ------
        EncoderError
            The features are no layer's, or the output does not come after it.
        """
        layer = self.parts["features"]
        if not isinstance(layer, nn.Module):
            given = "nothing" if layer is None else "a function"
            raise EncoderError(
                f"network {self.name!r}: features= is {given}, and an inner layer is needed: "
                "name a submodule that the output comes after, Encoder(..., features='layer3') or "
                "'SPECIFICATION?features=layer3'"
            )
        seen: list[Tensor] = []

        def pass_on(_: nn.Module, __: Any, answer: Any) -> Any:
            found = pick_tensor(answer)
            here = found if inner is None else inner
            if torch.is_grad_enabled() and not here.requires_grad:
                here = here.detach().requires_grad_()
            seen.append(here)
            return put_tensor(answer, found, here.clone())

        hook = layer.register_forward_hook(pass_on)
        try:
            z = self._answer(x, "output")
        finally:
            hook.remove()
        if not seen:
            raise EncoderError(
                f"network {self.name!r}: the output is reached before the layer of features=; "
                "name one that the output comes after"
            )
        return z, self.checked(seen[-1], x, "features")

    def _answer(self, given: Tensor, argument: str) -> Tensor:
        part = self.parts[argument]

        def run(x: Tensor) -> Tensor:
            if isinstance(part, nn.Module):
                return pick_tensor(run_until(self.module, x, part))
            return pick_tensor(self.module(x) if part is None else part(self.module, x))

        return self.checked(self._ran(run, given), given, argument)

    def each(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return what layers say, [N, ...] each, where `Taps` are the output; differentiable."""
        taps = self.parts["output"]
        assert isinstance(taps, Taps)
        run = partial(taps.read, self.module)
        return tuple(self.sizes.run(lambda part: self._ran(run, part), x))

    def _ran(self, run: Callable[[Tensor], _Answer], given: Tensor) -> _Answer:
        # The caller's x is a leaf and is needed afterwards.
        x = given.clone() if self.copies_input else given
        version = x._version
        try:
            with self.surroundings():
                answer = run(x)
        except PyattrxError as error:
            if self.name in str(error):
                raise
            raise EncoderError(f"network {self.name!r}: {error}") from error
        except Exception as error:
            raise EncoderError(
                f"network {self.name!r} failed on an input of shape {tuple(x.shape)} and "
                f"{x.dtype}: {type(error).__name__}: {error}"
            ) from error
        self.wrote |= x._version != version
        return answer

    def checked(self, z: Tensor, x: Tensor, argument: str) -> Tensor:
        """Return an answer, if it can stand for a network."""
        if z.dim() == 0 or len(z) != len(x) or not z.is_floating_point() or z.numel() == 0:
            alone = len(x) == 1 and z.is_floating_point() and z.numel() > 0
            raise EncoderError(
                f"network {self.name!r}: the {argument} has shape {tuple(z.shape)} and {z.dtype} "
                f"for {len(x)} images: expected a real floating tensor [{len(x)}, ...] that is "
                f"not empty; choose it with {argument}="
                + ("; one image alone may have lost its batch dimension (squeeze)" if alone else "")
            )
        shape, known = tuple(z.shape[1:]), self._shapes.setdefault(argument, tuple(z.shape[1:]))
        if shape != known:
            raise AssumptionError(
                "shape",
                f"network {self.name!r}: the {argument} has shape {known} for one image and "
                f"{shape} for another of the same size, so that they cannot be compared; choose "
                f"another with {argument}=",
            )
        return z

    def one_at_a_time(self) -> None:
        """Run every image by itself from now on, as a batch would go one way for all of them.

        Raises
        ------
        AssumptionError
            The network needs several images at once.
        """
        if self.sizes.least > 1:
            raise AssumptionError(
                "alone",
                f"network {self.name!r} reads numbers out of tensors, to go one way or another by "
                f"them, and runs on no fewer than {self.sizes.least} images at once, which would "
                "go the same way",
            )
        self.sizes = BatchSizes(alone=True)

    def find_sizes(self, x: Tensor, largest: int, error: EncoderError) -> None:
        """Find batches that the network can stand, since one image alone fails.

        Parameters
        ----------
        x : Tensor [N, C, H, W]
            Images that differ.
        largest : int
            Images in a full batch.
        error : EncoderError
            What it says of one image alone; raised if no batch runs.
        """
        if self._stands(x, 1):  # it is something else, that only gradients show
            raise error
        for size in sorted({*range(2, 9), 10, 12, 16, 20, 24, 32, 50, 64, 100, 128, largest}):
            if self._stands(x, size):
                self.sizes = BatchSizes(size, fixed=not self._stands(x, size + 1))
                return
        raise error

    def _stands(self, x: Tensor, size: int) -> bool:
        images = x[torch.arange(size, device=x.device) % len(x)]
        sizes, self.sizes = self.sizes, BatchSizes()
        self._shapes.clear()
        try:
            with torch.no_grad():
                self.both(images)
        except EncoderError:
            return False
        finally:
            self.sizes = sizes
        return True
