"""The copy of a network that is run: frozen, folded and placed."""

from __future__ import annotations

import contextlib
import copy
from types import TracebackType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyattrx.encoders.folding import fold_batch_norms
from pyattrx.encoders.outputs import Output, pick_tensor, run_until
from pyattrx.encoders.stem import replace_stems
from pyattrx.encoders.transforms import Normalize, Transform, check_geometry
from pyattrx.errors import EncoderError, PyattrxError

__all__ = ["PreparedEncoder"]


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
    ) -> None:
        self.name = name
        self.device = device
        self.dtype = dtype
        self.folded = 0
        self._transform = transform
        self._input_size = input_size
        self._layout = torch.contiguous_format
        self.module = _copy(module, name, device, dtype)
        self._output: Output | nn.Module = (
            self.module.get_submodule(output) if isinstance(output, str) else output
        )
        example = example[:1].float()
        if transform is not None and not isinstance(transform, Normalize):
            try:
                check_geometry(lambda images: transform(images.to(device)), self._sees(example))
            except EncoderError as error:
                raise EncoderError(f"network {name!r}: {error}") from error
        x = self.preprocess(example)
        if isinstance(self._output, nn.Module):
            self._check_calls(x, self._output, str(output))
        keep = [self._output] if isinstance(self._output, nn.Module) else []
        self.folded = fold_batch_norms(self.module, lambda: self.forward(x), keep)
        if device.type == "cpu":
            replace_stems(self.module, keep)
        if self._prefers_channels_last():
            self._layout = torch.channels_last
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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
        with torch.no_grad():
            # Half types hold too few levels for interpolation and normalisation.
            wide = torch.float64 if self.dtype == torch.float64 else torch.float32
            x = self._resize(images.to(self.device, wide, non_blocking=True))
            if self._transform is not None:
                x = self._transform(x)
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
        try:
            if isinstance(self._output, nn.Module):
                answer = run_until(self.module, x, self._output)
            elif self._output is not None:
                answer = self._output(self.module, x)  # type: ignore[operator]
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
        if z.dim() == 0 or len(z) != len(x) or not z.is_floating_point():
            raise EncoderError(
                f"network {self.name!r}: the output has shape {tuple(z.shape)} and {z.dtype} for "
                f"{len(x)} images: expected a real floating tensor [{len(x)}, ...]; choose it with "
                "output="
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
            The output differs: it depends on the input through operations without a derivative.
        """
        with torch.no_grad():
            low, high = x.amin(), x.amax()
            others = (low + high - x, x.flip(-1), x * 0.5)
            z = self.forward(x)
            if all(torch.equal(self.forward(other), z) for other in others):
                return "ignores"
        raise EncoderError(
            f"network {self.name!r}: the output depends on its input, but not differentiably "
            "(detach, no_grad, argmax, rounding, or NumPy on the way); choose an earlier output "
            "with output=, or rewrite the forward pass"
        )

    def close(self) -> None:
        """Free the copy."""
        self.module = nn.Identity()
        self._output = None

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
        if self.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            return False  # oneDNN and cuDNN have no float64 kernels that gain by it
        return any(isinstance(part, nn.Conv2d) for part in self.module.modules())

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
            raise EncoderError(
                f"network {self.name!r} failed on an input of shape {tuple(x.shape)}: "
                f"{type(error).__name__}: {error}"
            ) from error
        finally:
            hook.remove()
        if calls != 1:
            times = "never" if calls == 0 else f"{calls} times"
            raise EncoderError(
                f"network {self.name!r}: the submodule output={name!r} is called {times} in one "
                "forward pass; choose another, or give a callable output(module, x)"
            )


def _copy(module: nn.Module, name: str, device: torch.device, dtype: torch.dtype) -> nn.Module:
    try:
        made = copy.deepcopy(module)
    except Exception as error:
        raise EncoderError(
            f"network {name!r} cannot be copied ({type(error).__name__}: {error}); the module is "
            "never changed, so a copy is needed: remove tensors with a gradient history and open "
            "handles from its attributes"
        ) from error
    with contextlib.suppress(NotImplementedError):  # an exported program has no modes
        made.eval()
    for parameter in made.parameters():
        parameter.grad = None
        parameter.requires_grad_(False)
    return made.to(device=device, dtype=dtype)
