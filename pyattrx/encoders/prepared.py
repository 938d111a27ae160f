"""The copy of a network that is run: frozen, folded and placed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pyattrx._ambient import neutral
from pyattrx._closing import Closing
from pyattrx.encoders.compiling import CompiledNetwork
from pyattrx.encoders.copying import private_copy, random_state_kept, tensors_in
from pyattrx.encoders.first_batch import FirstBatch
from pyattrx.encoders.input_sizes import with_size
from pyattrx.encoders.looking import Looked, look
from pyattrx.encoders.originals import original_untouched
from pyattrx.encoders.outputs import Output, Part
from pyattrx.encoders.prechecks import (
    brief,
    check_calls,
    check_ignores,
    check_images,
    check_transform,
    half,
    holds_halves,
    own_transform,
)
from pyattrx.encoders.preparing import Preparation, Steps
from pyattrx.encoders.preprocessing import seen, with_gradient
from pyattrx.encoders.reading import BatchSizes, Reader
from pyattrx.encoders.taps import Taps
from pyattrx.encoders.transforms import Transform
from pyattrx.errors import AssumptionError, EncoderError

__all__ = ["PreparedEncoder"]

_Answer = TypeVar("_Answer")


class PreparedEncoder(Closing):
    """Made by `Encoder.prepare`.

    Attributes
    ----------
    name : str
    device : torch.device
    dtype : torch.dtype
    module : nn.Module
        The copy: in eval mode, parameters frozen.
    batch_size : int
        Images in the batches to come.
    folded : int
        How many batch norms are folded into the layers before them.
    looked : Looked
        What was seen when it was made; not there if nobody looked.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        output: Output,
        transform: Transform | None,
        input_size: tuple[int, int] | None,
        dtype: torch.dtype,
        device: torch.device,
        example: Tensor,
        *,
        cast: bool = True,
        features: Output = None,
        batch_size: int = 32,
        plain: bool = False,
        looked_at: bool = True,
        gradients: bool = True,
    ) -> None:
        check_images("example", example)
        self.name = name
        self.device = device
        self.batch_size = batch_size
        # Half types underflow in a backward pass and round away what maps differ in; nothing is
        # lost by computing in more.
        self.dtype = (
            torch.float32 if dtype == torch.float16 or (not cast and half(dtype)) else dtype
        )
        self._transform = own_transform(transform, device)
        self._input_size = input_size
        self._compiled: CompiledNetwork | None = None
        self._original = module
        self._where = (output, features)
        self._rounded = dtype if cast else None
        with neutral(), random_state_kept(device):
            self.module = private_copy(module, name, device, self._rounded, self.dtype)
            self._reader = Reader(
                self.module, name, self._found(output), self._found(features), device
            )
            self._reader.gradients = gradients
            if not half(self.dtype) and (self.dtype != dtype or holds_halves(module)):
                self._reader.widened = self.dtype
            self._preparation = Preparation(self.module, self.dtype, device)
            self._first_batch = FirstBatch()
            if looked_at:
                self.looked = self._look(example.float(), output, features, batch_size, plain)
                self._first_batch = self._expected_batch()
        folding = self._preparation.folding
        self.folded = 0 if folding is None else len(folding)

    def _found(self, output: Output) -> Part:
        return self.module.get_submodule(output) if isinstance(output, str) else output

    @property
    def sizes(self) -> BatchSizes:
        """Batches that the network can stand; others are filled up, or taken in parts."""
        return self._reader.sizes

    def surroundings(self) -> AbstractContextManager[None]:
        """What the network finds around a pass, for who calls `module` itself."""
        return self._reader.surroundings()

    @property
    def how(self) -> dict[str, Any]:
        """What is special about how the network is run, as JSON types; empty where nothing is."""
        facts: dict[str, Any] = {}
        if self.sizes.alone:
            facts["one_at_a_time"] = True
        if self._reader.widened is not None:
            facts["computed_in"] = str(self._reader.widened).removeprefix("torch.")
        return facts

    def _look(
        self, images: Tensor, output: Output, features: Output, batch_size: int, plain: bool
    ) -> Looked:
        """Check what can be checked on two images, and make the copy faster."""
        if len(images) == 1:  # another one of the same kind
            images = torch.cat([images, images.flip(-1)])
        with original_untouched(self._original, self.name, who="its transform", reads=True):
            check_transform(self.name, self._transform, images, self.device, self._sees(images))
            x = self.preprocess(images[:2])
        if torch.equal(x[0], x[1]):
            x = x[:1]
        keep = output.parts(self.module) if isinstance(output, Taps) else []
        for argument, name in (("output", output), ("features", features)):
            part = self._reader.parts[argument]
            if isinstance(part, nn.Module):
                keep.append(part)
                with original_untouched(self._original, self.name):
                    check_calls(
                        self.module,
                        self.name,
                        x[:1].clone(),
                        part,
                        f"{argument}={name!r}",
                        self.surroundings(),
                    )
        try:
            return look(
                self._reader,
                self._preparation,
                self._original,
                x,
                batch_size=batch_size,
                keep=keep,
                exact=lambda: self.exact()._reader,
                fresh=lambda: self._plain_copy(self.dtype, self._rounded)._reader,
                prepare=not plain,
            )
        except AssumptionError:
            raise
        except EncoderError as error:
            raise with_size(error, self._reader, x) from error.__cause__

    def exact(self) -> PreparedEncoder:
        """Make a copy in other arithmetic, to see what rounding does: plain, and not looked at.

        Returns
        -------
        PreparedEncoder
            In float64; in float32 where this one is in float64.
        """
        dtype = torch.float32 if self.dtype == torch.float64 else torch.float64
        return self._plain_copy(dtype, dtype)

    def _plain_copy(self, dtype: torch.dtype, rounded: torch.dtype | None) -> PreparedEncoder:
        """Copy the original once more, for passes in a type, of weights rounded to another."""
        made = copy.copy(self)
        made.dtype = dtype
        with neutral(), random_state_kept(self.device):
            made.module = private_copy(self._original, self.name, self.device, rounded, dtype)
            parts = [made._found(part) for part in self._where]
            made._reader = Reader(made.module, self.name, parts[0], parts[1], self.device)
        made._reader.sizes = self.sizes
        made._reader.gradients = self._reader.gradients
        made._reader.widened = None if self._reader.widened is None else made.dtype
        made._preparation = Preparation(made.module, made.dtype, self.device)
        made._compiled = None
        made._first_batch = made._expected_batch()
        return made

    def preprocess(self, images: Tensor, *, gradient: bool = False) -> Tensor:
        """Turn probes into what the network sees.

        Parameters
        ----------
        images : Tensor [N, 3, H, W]
            float32 or float64, in [0, 1], on any device.
        gradient : bool
            Leave the result differentiable by the images; `EncoderError` where it is not.

        Returns
        -------
        Tensor [N, C, H', W']
            On the network's device, in its dtype and memory layout; detached unless `gradient`.
        """
        check_images("images", images)
        if gradient:
            return with_gradient(self.name, self._seen, images)
        with torch.no_grad():
            return self._seen(images).detach()

    def forward(self, x: Tensor) -> Tensor:
        """Run the network on what `preprocess` returned.

        Returns
        -------
        Tensor [N, ...]
            The output that stands for the network; differentiable with respect to `x`.

        Raises
        ------
        EncoderError
            The network fails, or its output is not a floating tensor with one entry an image.
        """
        z = self._output(x)
        self._first_batch.keep(x, lambda some: (self._output_as_it_is(some),), (z,))
        return z

    def _output(self, x: Tensor) -> Tensor:
        compiled = self._compiled
        if compiled is None:
            return self._output_as_it_is(x)

        def run(part: Tensor) -> list[Tensor]:
            return [self._reader.checked(self._by_program(compiled.output, part), part, "output")]

        (z,) = self.sizes.run(run, x)
        return z

    def _output_as_it_is(self, x: Tensor) -> Tensor:
        return self._followed(self._reader.output, x)

    def _both_as_it_is(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._followed(self._reader.both, x)

    def _followed(self, run: Callable[[Tensor], _Answer], x: Tensor) -> _Answer:
        """Run; once more, as it is, where the network took another way than before, or failed."""
        folding = self._preparation.folding
        try:
            if folding is None:
                return run(x)
            with folding.watching() as watch:
                answer = run(x)
            if watch.held(tensors_in(answer), self.sizes.passes(len(x))):
                return answer
            self._preparation.unfold()
        except AssumptionError:
            raise
        except EncoderError:
            if not self._preparation.steps:
                raise
            self._preparation.take(Steps())
            x = x.contiguous()
        self.folded = 0
        return run(x)

    @property
    def compiled(self) -> bool:
        """Whether passes are those of a compiled program."""
        return self._compiled is not None

    def compile(self, batch_size: int) -> None:
        """From now on run compiled, from the first pass of each: `forward` and back, `outputs`.

        Parameters
        ----------
        batch_size : int
            Images in a full batch; those of a smaller one are filled up to it, so that it does not
            need a program of its own.
        """
        self._preparation.settle()
        if self.sizes.fixed or self.sizes.alone:
            batch_size = self.sizes.least
        self._compiled = CompiledNetwork(
            self.module,
            self._reader.parts["output"],
            self._reader.parts["features"],
            self._preparation.layout,
            max(batch_size, self.sizes.least),
        )

    @contextmanager
    def as_it_is(self) -> Iterator[None]:
        """Run what was compiled as it is, in this context."""
        compiled, self._compiled = self._compiled, None
        try:
            yield
        finally:
            self._compiled = compiled

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network on what `preprocess` returned, without gradients.

        Returns
        -------
        output, features : Tensor [N, ...]
            What stands for it as a target and as a source; the same tensor where the encoder names
            no `features`.

        Raises
        ------
        EncoderError
            As for `forward`.
        """
        with torch.no_grad():
            z, c = self._both(x)
        self._first_batch.keep(x, self._both_as_it_is, (z, c))
        # A network that switches gradients on itself leaves a history.
        return (output := z.detach()), (output if c is z else c.detach())

    def outputs_with_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `outputs`, differentiable with respect to `x`."""
        z, c = self._both(x)
        self._first_batch.keep(x, self._both_as_it_is, (z.detach(), c.detach()))
        return z, c

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        compiled = self._compiled
        if compiled is None:
            return self._both_as_it_is(x)
        if self._reader.parts["features"] is None:
            return (z := self._output(x)), z

        def run(part: Tensor) -> list[Tensor]:
            answer = zip(("output", "features"), self._by_program(compiled.both, part), strict=True)
            return [self._reader.checked(one, part, name) for name, one in answer]

        z, c = self.sizes.run(run, x)
        return z, c

    def through(self, x: Tensor, inner: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run the network in a pass that goes through its features; see `Reader.through`."""
        if self._compiled is not None:
            raise EncoderError(
                f"network {self.name!r}: nothing can be put into a compiled program's inner "
                f"layers; {self.remedy}"
            )
        z, c = self._followed(lambda some: self._reader.through(some, inner), x)
        if inner is None:
            self._first_batch.keep(x, self._both_as_it_is, (z.detach(), c.detach()))
        return z, c

    def each(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run the network as `outputs` does: what each layer says, where `Taps` are the output."""
        with torch.no_grad():
            found = self._each_as_it_is(x)
        self._first_batch.keep(x, self._each_as_it_is, found)
        return found

    def _each_as_it_is(self, x: Tensor) -> tuple[Tensor, ...]:
        return self._followed(self._reader.each, x)

    def _expected_batch(self) -> FirstBatch:
        """Keep the first batch that is larger than what the look saw, if there can be one."""
        if self.sizes.fixed or self.sizes.alone:
            return FirstBatch()
        return FirstBatch(beyond=self.sizes.least + 1)

    def first_batch_agrees(self) -> bool:
        """Tell whether images of the first large batch have the same answers alone.

        Costs two images' forward passes, once; in the arithmetic that the batch was run in.

        Returns
        -------
        bool
            True as well where there was no such batch, and where this was told before.
        """
        return self._first_batch.agrees()

    def settle_first_batch(self) -> bool:
        """Find out why they do not agree; in full precision.

        Returns
        -------
        bool
            Whether the copy was left as it is therefore: the batch is to be run again.

        Raises
        ------
        AssumptionError
            The network mixes the images of a large batch.
        """
        undone = self._first_batch.settle(
            self._reader, self._preparation, lambda: self.exact()._reader
        )
        if undone:
            self.folded = 0
        return undone

    def _by_program(self, run: Callable[[Tensor], _Answer], x: Tensor) -> _Answer:
        try:
            return run(x.clone() if self._reader.copies_input else x)
        except Exception as error:
            raise EncoderError(
                f"network {self.name!r} cannot be compiled, or fails when it is: "
                f"{type(error).__name__}: {brief(error)}; {self.remedy}"
            ) from error

    @property
    def remedy(self) -> str:
        """What else to try with a network that fails; empty if it runs as it is."""
        return "leave out compile to run it as it is" if self.compiled else ""

    def explain_no_gradient(self, x: Tensor) -> None:
        """Raise `EncoderError` unless the output is the same for clearly different inputs.

        Else it is random, or depends on its input through operations without a derivative.
        """
        with torch.no_grad(), self.as_it_is():
            check_ignores(self.forward, self.name, x)

    def close(self) -> None:
        """Free the copy."""
        self.module = nn.Identity()
        self._reader = Reader(self.module, self.name, None, None, self.device)
        self._preparation = Preparation(self.module, self.dtype, self.device)
        self._original = self.module
        self._compiled = None
        self._first_batch = FirstBatch()

    def _seen(self, images: Tensor) -> Tensor:
        x = seen(images, self.device, self.dtype, self._transform, self._input_size)
        return self._preparation.laid_out(x)

    def _sees(self, images: Tensor) -> tuple[int, int]:
        """Height and width of what the transform is given."""
        return self._input_size or (images.shape[-2], images.shape[-1])
