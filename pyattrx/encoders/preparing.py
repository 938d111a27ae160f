"""What makes a network's copy faster and changes its answers by rounding only, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pyattrx.encoders.folding import FOLDED_IN, Folding, Pairs
from pyattrx.encoders.stems import restore_stems, speed_up_stems

__all__ = ["Preparation", "Steps"]

# Forward and input gradient, one thread of an AVX-512 machine: 1.0 to 2.0 times as fast at 224
# pixels for plain, residual, depthwise and U-shaped networks; 0.9 for a ResNet-18 at 64 pixels and
# for the worst tiny network. oneDNN and cuDNN have no float64 kernels that gain by it.
_CHANNELS_LAST_IN = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Steps:
    """Which steps are taken."""

    folding: bool = False
    channels_last: bool = False
    stems: bool = False

    def __bool__(self) -> bool:
        return self.folding or self.channels_last or self.stems

    def names(self) -> list[str]:
        """Names of the steps that are taken, in their order."""
        return [name for name in ("folding", "channels_last", "stems") if getattr(self, name)]


class Preparation:
    """A module, and what has been done to it.

    Parameters
    ----------
    module : nn.Module
        The copy: in eval mode, frozen.
    dtype : torch.dtype
    device : torch.device

    Attributes
    ----------
    steps : Steps
        Those that are taken now.
    pairs : list of (nn.Module, str)
        Batch norms that can be folded.
    folding : Folding or None
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        self._module = module
        self._dtype = dtype
        self._device = device
        self._stems: list[nn.Conv2d] = []
        self.pairs: Pairs = []
        self.steps = Steps()
        self.folding: Folding | None = None

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout of what the network is given."""
        return torch.channels_last if self.steps.channels_last else torch.contiguous_format

    def possible(self) -> Steps:
        """Every step that has a meaning for this network."""
        convolutions = any(isinstance(part, nn.Conv2d) for part in self._module.modules())
        return Steps(
            folding=bool(self.pairs) and self._dtype in FOLDED_IN,
            channels_last=convolutions and self._dtype in _CHANNELS_LAST_IN,
            stems=self._device.type == "cpu",
        )

    def take(self, steps: Steps) -> None:
        """Take these steps, and undo all others."""
        restore_stems(self._stems)
        self._stems = []
        if self.steps.channels_last:
            _lay_out(self._module, torch.contiguous_format)
        if self.folding is not None:
            self.folding.undo()
            self.folding = None
        self.steps = steps
        if steps.folding:
            self.folding = Folding(self._module, self.pairs)
        if steps.channels_last:
            _lay_out(self._module, torch.channels_last)
        if steps.stems:
            self._stems = speed_up_stems(self._module)

    def unfold(self) -> None:
        """Bring batch norms back; everything else stays."""
        self.take(replace(self.steps, folding=False))

    def settle(self) -> None:
        """From now on nothing changes: programs are made of the module."""
        if self.folding is not None:
            self.folding.settle()

    def laid_out(self, x: Tensor) -> Tensor:
        """A batch in the memory layout that the network is given."""
        return x.contiguous(memory_format=self.layout)


def _lay_out(module: nn.Module, layout: torch.memory_format) -> None:
    """Lay out the weights of 2-D convolutions; other 4-D tensors are not images."""
    for part in module.modules():
        if not isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):  # a scripted one is none
            continue
        weight = part._parameters.get("weight")
        if weight is not None:
            weight.data = weight.data.contiguous(memory_format=layout)
