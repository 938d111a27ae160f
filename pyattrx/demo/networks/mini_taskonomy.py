"""The encoders of MiniTaskonomy: small enough to train twenty of them on a laptop in an hour.

``python -m studies minitaskonomy`` trains them; `pyattrx.demo.minitaskonomy` has one set.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from pyattrx.encoders import Encoder, Normalize
from pyattrx.errors import InvalidValueError

__all__ = [
    "ARCHITECTURES",
    "CODE",
    "MixerEncoder",
    "ResidualEncoder",
    "as_encoder",
    "load_encoder",
]

CODE = (16, 8, 8)  # channels, height and width of what every encoder puts out
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_MEAN, _STD = (0.45, 0.43, 0.40), (0.23, 0.22, 0.23)


class _Encoder(nn.Module):
    """What both architectures share: how they take images.

    The first step is a fixed linear map of the colours, kept with the weights: it normalises, and
    it removes the colour for the network that learns to colour.
    """

    def __init__(self, grey: bool) -> None:
        super().__init__()
        colors = torch.tensor([_LUMA] * 3) if grey else torch.eye(3)
        self.register_buffer("colors", (colors / torch.tensor(_STD)[:, None])[:, :, None, None])
        self.register_buffer("shift", -torch.tensor(_MEAN) / torch.tensor(_STD))
        self.colors: Tensor
        self.shift: Tensor

    def normalized(self, images: Tensor) -> Tensor:
        """Map images [N, 3, 64, 64] in [0, 1] to the input of the first layer."""
        return F.conv2d(images, self.colors, self.shift)


class _Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.past = nn.Sequential(
            nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.past(x))


class ResidualEncoder(_Encoder):
    """A stem and three residual blocks; 336 000 weights.

    Parameters
    ----------
    grey : bool
        Whether to remove the colour first.
    """

    def __init__(self, grey: bool = False) -> None:
        super().__init__(grey)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()
        )
        self.block1 = _Block(32, 48, 2)
        self.block2 = _Block(48, 64, 2)
        self.block3 = _Block(64, 128, 1)
        self.code = nn.Sequential(nn.Conv2d(128, CODE[0], 1), nn.BatchNorm2d(CODE[0]))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, 3, 64, 64] in [0, 1] to codes [N, 16, 8, 8]."""
        x = self.stem(self.normalized(images))
        code: Tensor = self.code(self.block3(self.block2(self.block1(x))))
        return code


class _Mix(nn.Module):
    """Mixes places within a channel, then channels within a place (Trockman and Kolter 2022)."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.places = nn.Sequential(
            nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width),
            nn.GELU(),
            nn.BatchNorm2d(width),
        )
        self.channels = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.channels(x + self.places(x))
        return mixed


class MixerEncoder(_Encoder):
    """Patches that are mixed: no residual blocks, no ReLU, another way of shrinking.

    Parameters
    ----------
    grey : bool
        Whether to remove the colour first.
    """

    def __init__(self, grey: bool = False) -> None:
        super().__init__(grey)
        self.patches = nn.Sequential(nn.Conv2d(3, 96, 4, 4), nn.GELU(), nn.BatchNorm2d(96))
        self.mixes1 = nn.Sequential(*(_Mix(96, 5) for _ in range(3)))
        self.merge = nn.Sequential(nn.Conv2d(96, 192, 2, 2), nn.GELU(), nn.BatchNorm2d(192))
        self.mixes2 = nn.Sequential(*(_Mix(192, 5) for _ in range(4)))
        self.code = nn.Sequential(nn.Conv2d(192, CODE[0], 1), nn.BatchNorm2d(CODE[0]))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, 3, 64, 64] in [0, 1] to codes [N, 16, 8, 8]."""
        x = self.mixes1(self.patches(self.normalized(images)))
        code: Tensor = self.code(self.mixes2(self.merge(x)))
        return code


ARCHITECTURES: dict[str, type[ResidualEncoder] | type[MixerEncoder]] = {
    "residual": ResidualEncoder,
    "mixer": MixerEncoder,
}


def load_encoder(file: Path, architecture: str) -> nn.Module:
    """Load an encoder for inference.

    Parameters
    ----------
    file : Path
        Its weights, safetensors, in single or half precision.
    architecture : {"residual", "mixer"}
        Which.

    Returns
    -------
    Module
        Single precision, in evaluation mode: from [N, 3, 64, 64] in [0, 1] to [N, 16, 8, 8].

    Raises
    ------
    InvalidValueError
        There is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise InvalidValueError("architecture", architecture, f"one of {', '.join(ARCHITECTURES)}")
    with torch.device("meta"):  # no time goes into random weights, and no random number is used up
        encoder = ARCHITECTURES[architecture]()
    weights = {
        name: value.float() if value.is_floating_point() else value
        for name, value in load_file(file).items()
    }
    encoder.load_state_dict(weights, assign=True)
    return encoder.eval()


class _OnNormalized(nn.Module):
    """A network for images that have been normalised: what its first convolution sees is x.

    The network's own first step, which also removes the colour for one of the tasks, is given what
    it expects.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("std", torch.tensor(_STD)[:, None, None])
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.std: Tensor
        self.mean: Tensor

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.network(x * self.std + self.mean)
        return code


def as_encoder(network: nn.Module, name: str) -> Encoder:
    """Wrap one of these networks for `pyattrx.affinity`.

    Parameters
    ----------
    network : Module
        From `load_encoder`.
    name : str
        In results.

    Returns
    -------
    Encoder
        Of images of 64 x 64. The code is its output; as a source, a directional method reads its
        last block.
    """
    last = "network.block3" if isinstance(network, ResidualEncoder) else "network.mixes2"
    return Encoder(
        _OnNormalized(network),
        name=name,
        transform=Normalize(_MEAN, _STD),
        input_size=64,
        features=last,
    )
