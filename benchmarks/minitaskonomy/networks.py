"""The encoders and decoders: small enough to train twenty of them on a laptop in an hour."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyattrx.errors import InvalidValue

from .tasks import Task

__all__ = [
    "ARCHITECTURES",
    "CODE",
    "MixerEncoder",
    "ResidualEncoder",
    "channels_last",
    "make_decoder",
    "make_encoder",
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


def make_encoder(architecture: str, task: Task | None, seed: int) -> nn.Module:
    """Build an encoder with initial values of its own; the global generator stays as it is.

    Parameters
    ----------
    architecture : {"residual", "mixer"}
        Which.
    task : Task, optional
        What it is for; the untrained control is for none.
    seed : int
        Of the initial values.

    Raises
    ------
    InvalidValue
        There is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise InvalidValue("architecture", architecture, f"one of {', '.join(ARCHITECTURES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ARCHITECTURES[architecture](grey=task is not None and task.grey)


def make_decoder(task: Task, seed: int, width: int) -> nn.Module:
    """Build what turns codes into predictions of a task.

    Parameters
    ----------
    task : Task
        Its channels, and whether it is dense.
    seed : int
        Of the initial values; the global generator stays as it is.
    width : int
        Channels of the hidden layers.

    Returns
    -------
    Module
        From [N, 16, 8, 8] to [N, channels, 32, 32] or [N, channels].
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if task.dense:
            return nn.Sequential(
                nn.Conv2d(CODE[0], width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, 16 * task.channels, 1),
                nn.PixelShuffle(4),
            )
        return nn.Sequential(
            nn.Conv2d(CODE[0], width, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(4),  # quarters of the image: left and right stay apart
            nn.Flatten(),
            nn.Linear(4 * width, 64),
            nn.ReLU(),
            nn.Linear(64, task.channels),
        )


def channels_last(network: nn.Module) -> nn.Module:
    """Put a network's weights into the order in which the CPU convolves few channels faster."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
