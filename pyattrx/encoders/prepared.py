"""The copy of a network that is run: frozen, folded and placed."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyattrx.encoders.compiling import CompiledNetwork
from pyattrx.encoders.copying import private_copy, random_state_kept
from pyattrx.encoders.folding import agree, fold_batch_norms
from pyattrx.encoders.outputs import Output, Part, pick_tensor, run_until
from pyattrx.encoders.stems import speed_up_stems
from pyattrx.encoders.transforms import Normalize, Transform, check_geometry
from pyattrx.errors import EncoderError, InvalidType, InvalidValue, PyattrxError

__all__ = ["PreparedEncoder"]

_Answer = TypeVar("_Answer")


class PreparedEncoder:
    """Made by `Encoder.prepare`.

    Attributes
    ----------
    name : str
    device : torch.device
    dtype : torch.dtype
    module : nn.Module
        The copy: in eval mode, parameters frozen.
    folded : int
        How many batch norms were folded into the layers before them.
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
    ) -> None:
        _check_images("example", example)
        self.name = name
        self.device = device
        self.dtype = dtype
        self.folded = 0
        self._transform = _own(transform, device)
        self._input_size = input_size
        self._layout = torch.contiguous_format
        self._writes_input = False
        self._compiled: CompiledNetwork | None = None
        # Tensors made in inference mode could never be differentiated.
        with torch.inference_mode(False), random_state_kept(device):
            self.module = private_copy(module, name, device, dtype if cast else None)
            self._output = self._found(output)
            self._features = self._found(features)
            self._look(example[:1].float(), output, features)

    def _found(self, output: Output) -> Part:
        return self.module.get_submodule(output) if isinstance(output, str) else output

    def _look(self, example: Tensor, output: Output, features: Output) -> None:
        """Check what can be checked on an image, and make the copy faster."""
        transform = self._transform
        if transform is not None and not isinstance(transform, Normalize):
            try:
                check_geometry(
                    lambda images: transform(images.to(self.device)), self._sees(example)
                )
            except EncoderError as error:
                raise EncoderError(f"network {self.name!r}: {error}") from error
        x = self.preprocess(example)
        outputs: list[Tensor] = []

        def run() -> Tensor:
            given = x.clone()
            version = given._version
            outputs.append(self._everything(given))
            self._writes_input |= given._version != version
            return outputs[-1]

        chosen = {"output": (self._output, output), "features": (self._features, features)}
        for argument, (part, name) in chosen.items():
            if isinstance(part, nn.Module):
                self._check_calls(x.clone(), part, f"{argument}={name!r}")
        if any(part is not None and not isinstance(part, nn.Module) for part, _ in chosen.values()):
            self._check_callable(run)
        keep = [part for part, _ in chosen.values() if isinstance(part, nn.Module)]
        self.folded = fold_batch_norms(self.module, run, keep)
        if self._prefers_channels_last():
            self._try_channels_last(x, outputs[0])
        if self.device.type == "cpu":
            speed_up_stems(self.module)

    def preprocess(self, images: Tensor) -> Tensor:
        """Turn probes into what the network sees.

        Parameters
        ----------
        images : Tensor [N, 3, H, W]
            float32 in [0, 1], on any device.

        Returns
        -------
        Tensor [N, C, H', W']
            On the network's device, in its dtype and memory layout, detached.
        """
        _check_images("images", images)
        with torch.no_grad():
            # Half types hold too few levels for interpolation and normalisation.
            wide = torch.float64 if self.dtype == torch.float64 else torch.float32
            x = self._resize(images.to(self.device, wide, non_blocking=True))
            if isinstance(self._transform, Normalize):
                x = self._transform(x)
            elif self._transform is not None:
                x = self._transform(x.clone() if x.data_ptr() == images.data_ptr() else x)
            return x.to(self.dtype).contiguous(memory_format=self._layout).detach()

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
        if self._compiled is not None:
            return self._checked(self._by_program(self._compiled.output, x), x, "output")
        return self._answer(x, self._output, "output")

    @property
    def compiled(self) -> bool:
        """Whether passes are those of a compiled program."""
        return self._compiled is not None

    def compile(self, batch_size: int) -> None:
        """From now on run compiled: `forward` with its backward pass, and `outputs`.

        Compilation itself happens at the first pass of each.

        Parameters
        ----------
        batch_size : int
            Images in a full batch; those of a smaller one are filled up to it, so that it does not
            need a program of its own.
        """
        self._compiled = CompiledNetwork(
            self.module, self._output, self._features, self._layout, batch_size
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
            return self._both(x)

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output and the features, of one pass where that is possible; differentiable."""
        if self._features is None:
            z = self.forward(x)
            return z, z
        if self._compiled is not None:
            z, c = self._by_program(self._compiled.both, x)
            return self._checked(z, x, "output"), self._checked(c, x, "features")
        if not isinstance(self._features, nn.Module):
            return self.forward(x), self._answer(x, self._features, "features")
        seen: list[Tensor] = []

        def keep(_: nn.Module, __: Any, answer: Any) -> None:
            # A copy: what follows may write into the tensor.
            seen.append(pick_tensor(answer).clone())

        hook = self._features.register_forward_hook(keep)
        try:
            z = self.forward(x)
        finally:
            hook.remove()
        if not seen:  # the output was reached before them
            return z, self._answer(x, self._features, "features")
        return z, self._checked(seen[0], x, "features")

    def _by_program(self, run: Callable[[Tensor], _Answer], x: Tensor) -> _Answer:
        try:
            return run(x.clone() if self._writes_input else x)
        except Exception as error:
            raise EncoderError(
                f"network {self.name!r} cannot be compiled, or fails when it is: "
                f"{type(error).__name__}: {_brief(error)}; {self.remedy}"
            ) from error

    @property
    def remedy(self) -> str:
        """What else to try with a network that fails; empty if it runs as it is."""
        return "leave out compile to run it as it is" if self.compiled else ""

    def _everything(self, x: Tensor) -> Tensor:
        """The output, and the features if there are any, in one tensor; differentiable."""
        z, c = self._both(x)
        if c is z:
            return z
        # Of one size, so that a difference is judged against its own tensor.
        return torch.cat([_of_unit_size(part.to(z.dtype)) for part in (z, c)])

    def _answer(self, x: Tensor, part: Part, argument: str) -> Tensor:
        given = x
        if self._writes_input:
            x = x.clone()  # the caller's x is a leaf and is needed afterwards
        try:
            if isinstance(part, nn.Module):
                answer = run_until(self.module, x, part)
            elif part is not None:
                answer = part(self.module, x)
            else:
                answer = self.module(x)
            z = pick_tensor(answer)
        except PyattrxError as error:
            raise EncoderError(f"network {self.name!r}: {error}") from error
        except Exception as error:
            raise EncoderError(
                f"network {self.name!r} failed on an input of shape {tuple(x.shape)} and "
                f"{x.dtype}: {type(error).__name__}: {error}"
            ) from error
        return self._checked(z, given, argument)

    def _checked(self, z: Tensor, x: Tensor, argument: str) -> Tensor:
        if z.dim() == 0 or len(z) != len(x) or not z.is_floating_point() or z.numel() == 0:
            raise EncoderError(
                f"network {self.name!r}: the {argument} has shape {tuple(z.shape)} and {z.dtype} "
                f"for {len(x)} images: expected a real floating tensor [{len(x)}, ...] that is "
                f"not empty; choose it with {argument}="
            )
        return z

    def explain_no_gradient(self, x: Tensor) -> str:
        """Find out why an output has no derivative with respect to the input.

        Returns
        -------
        str
            "ignores": the output is the same for clearly different inputs.

        Raises
        ------
        EncoderError
            The output differs: it depends on the input through operations without a derivative, or
            is random.
        """
        with torch.no_grad(), self.as_it_is():
            low, high = x.amin(), x.amax()
            others = (low + high - x, x.flip(-1), x * 0.5, torch.zeros_like(x), 10 * x + 1)
            z = self.forward(x)
            if not _equal(self.forward(x), z):
                raise EncoderError(
                    f"network {self.name!r}: the output is random, it differs between two runs on "
                    "the same input, and it has no derivative with respect to the input"
                )
            if all(_equal(self.forward(other), z) for other in others):
                return "ignores"
        raise EncoderError(
            f"network {self.name!r}: the output depends on its input, but not differentiably "
            "(detach, no_grad, argmax, rounding, or NumPy on the way); choose an earlier output "
            "with output=, or rewrite the forward pass"
        )

    def close(self) -> None:
        """Free the copy."""
        self.module = nn.Identity()
        self._output = self._features = self._compiled = None

    def __enter__(self) -> PreparedEncoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _resize(self, images: Tensor) -> Tensor:
        if self._input_size is None or tuple(images.shape[-2:]) == self._input_size:
            return images
        return F.interpolate(images, size=self._input_size, mode="bilinear", antialias=True)

    def _sees(self, images: Tensor) -> tuple[int, int]:
        """Height and width of what the transform is given."""
        return self._input_size or (images.shape[-2], images.shape[-1])

    def _prefers_channels_last(self) -> bool:
        # Forward and input gradient, one thread of an AVX-512 machine: 1.0 to 2.0 times as fast at
        # 224 pixels for plain, residual, depthwise and U-shaped networks; 0.9 for a ResNet-18 at 64
        # pixels and for the worst tiny network.
        if self.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            return False  # oneDNN and cuDNN have no float64 kernels that gain by it
        return any(isinstance(part, nn.Conv2d) for part in self.module.modules())

    def _try_channels_last(self, x: Tensor, before: Tensor) -> None:
        """Change the layout, unless the network depends on it, as ``view`` after a layer does."""
        with torch.no_grad():
            _lay_out(self.module, torch.channels_last)
            self._layout = torch.channels_last
            try:
                same = agree(before, self._everything(x.clone(memory_format=torch.channels_last)))
            except EncoderError:
                same = False
            if not same:
                _lay_out(self.module, torch.contiguous_format)
                self._layout = torch.contiguous_format

    def _check_callable(self, run: Callable[[], Tensor]) -> None:
        """Run once; frozen parameters and an input without history give no history."""
        with torch.enable_grad():
            z = run()
        if z.requires_grad:
            raise EncoderError(
                f"network {self.name!r}: the output depends on parameters that are not frozen: "
                "output(module, x), and features(module, x), must use the module that it is "
                "given, which is a copy, and not the original"
            )

    def _check_calls(self, x: Tensor, submodule: nn.Module, name: str) -> None:
        """A submodule that is called several times has no one output."""
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        hook = submodule.register_forward_hook(count)
        try:
            with torch.no_grad():
                self.module(x)
        except Exception as error:
            if calls == 0:  # what comes after the submodule is not needed, and may fail
                raise EncoderError(
                    f"network {self.name!r} failed on an input of shape {tuple(x.shape)}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        finally:
            hook.remove()
        if calls != 1:
            times = "never" if calls == 0 else f"{calls} times"
            raise EncoderError(
                f"network {self.name!r}: the submodule {name} is called {times} in one forward "
                f"pass; choose another, or give a callable {name.partition('=')[0]}(module, x)"
            )


def _own(transform: Transform | None, device: torch.device) -> Transform | None:
    """A transform that is a module has state of its own, on a device: take a copy of it, too."""
    if not isinstance(transform, nn.Module):
        return transform
    try:
        return copy.deepcopy(transform).to(device).eval()
    except Exception as error:
        raise EncoderError(
            f"the transform {type(transform).__name__} cannot be copied to {device}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _brief(error: Exception) -> str:
    """The beginning of a message that may have pages."""
    return textwrap.shorten(str(error), 300, placeholder=" ...")


def _lay_out(module: nn.Module, layout: torch.memory_format) -> None:
    """Lay out the weights of 2-D convolutions; other 4-D tensors are not images."""
    for part in module.modules():
        weight = part._parameters.get("weight")
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)) and weight is not None:
            weight.data = weight.data.contiguous(memory_format=layout)


def _of_unit_size(z: Tensor) -> Tensor:
    largest = float(z.detach().abs().amax())
    return z.flatten() / (largest if 0 < largest < float("inf") else 1.0)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def _check_images(argument: str, images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise InvalidType(argument, images, "a tensor [N, 3, H, W]")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise InvalidValue(
            f"{argument}.shape", tuple(images.shape), "[N, 3, H, W], with at least one image"
        )
    if not images.is_floating_point():
        raise InvalidValue(f"{argument}.dtype", images.dtype, "a floating type, images in [0, 1]")
