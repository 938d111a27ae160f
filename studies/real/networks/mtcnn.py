"""P-, R- and O-Net of MTCNN: where the faces are, from coarse to fine.

Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks" (IEEE Signal Processing Letters, 2016).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .network import RealNetwork

__all__ = ["NETWORKS", "ONet", "PNet", "RNet"]


def _pool(kernel: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel, 2, ceil_mode=True)  # Caffe, which trained them, rounds up


def _flat(x: Tensor) -> Tensor:
    """Flatten maps as the dense layers know them: columns, rows, channels."""
    return x.permute(0, 3, 2, 1).flatten(1)


class PNet(nn.Module):
    """Proposes windows: looks at every 12 x 12 pixels of an image, in steps of two.

    Notes
    -----
    Input of all three: RGB float [N, 3, H, W], (255 x - 127.5) / 128 for x in [0, 1]. Output: two
    logits, of no face and of a face, [N, 2, h, w], and how the window is to be moved,
    [N, 4, h, w]; for 12 x 12 pixels h and w are 1.

    Examples
    --------
    >>> import torch
    >>> [tuple(y.shape) for y in PNet().eval()(torch.zeros(1, 3, 12, 16))]
    [(1, 2, 1, 3), (1, 4, 1, 3)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.pool1 = _pool(2)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and moves, for every window."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x), self.conv4_2(x)


class RNet(nn.Module):
    """Refines a window of 24 x 24 pixels: two logits and four moves.

    Examples
    --------
    >>> import torch
    >>> [tuple(y.shape) for y in RNet().eval()(torch.zeros(1, 3, 24, 24))]
    [(1, 2), (1, 4)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.pool1 = _pool(3)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.pool2 = _pool(3)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(64 * 3 * 3, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, 2] and moves [N, 4]."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu4(self.dense4(_flat(self.prelu3(self.conv3(x)))))
        return self.dense5_1(x), self.dense5_2(x)


class ONet(nn.Module):
    """Decides on a window of 48 x 48 pixels: two logits, four moves, five points of the face.

    Examples
    --------
    >>> import torch
    >>> [tuple(y.shape) for y in ONet().eval()(torch.zeros(1, 3, 48, 48))]
    [(1, 2), (1, 4), (1, 10)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.pool1 = _pool(3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.pool2 = _pool(3)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.pool3 = _pool(2)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(128 * 3 * 3, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [N, 2], moves [N, 4] and points [N, 10]."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu5(self.dense5(_flat(self.prelu4(self.conv4(x)))))
        return self.dense6_1(x), self.dense6_2(x), self.dense6_3(x)


def _network(
    letter: str, build: Callable[[], nn.Module], size: int | None, output: str, note: str
) -> RealNetwork:
    return RealNetwork(
        name=f"mtcnn-{letter}net",
        task="face detection",
        file=f"facenet_pytorch/data/{letter}net.pt",
        source="Zhang et al. 2016; the package facenet-pytorch",
        licence="MIT, as the package states",
        get="pip install --no-deps --target FOLDER facenet-pytorch==2.6.0",
        build=build,
        mean=(0.5,) * 3,
        std=(128 / 255,) * 3,
        input_size=None if size is None else (size, size),
        output=output,
        note=f"Output: {note}.",
    )


NETWORKS = (
    _network("p", PNet, None, "prelu3", "32 features of every window of 12 x 12 pixels"),
    _network("r", RNet, 24, "prelu4", "the 128 features before logits and moves"),
    _network("o", ONet, 48, "prelu5", "the 256 features before logits, moves and points"),
)
