"""ResNets for the small images of CIFAR-10.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (CVPR 2016), section 4.2.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from .network import IMAGENET_MEAN, IMAGENET_STD, RealNetwork

__all__ = ["CLASSES", "NETWORKS", "CifarResNet"]

# What the ten logits stand for, in order.
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_WIDTHS = (16, 32, 64)
_REPOSITORY = "github.com/akamaster/pytorch_resnet_cifar10"


class Block(nn.Module):
    """Two convolutions and a way past them that has no weights: the paper's option A.

    Where maps get smaller, the way past takes every other pixel, and new channels are zero.
    """

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.stride = 1 if cin == cout else 2
        self.new = (cout - cin) // 2  # channels on either side of the old ones
        self.conv1 = nn.Conv2d(cin, cout, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[..., ::2, ::2], (0, 0, 0, 0, self.new, self.new))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    """One member of the family.

    Parameters
    ----------
    depth : int
        Layers with weights: 6 n + 2, for n blocks in each of three stages.

    Notes
    -----
    Input: RGB float [N, 3, H, W], normalised with the mean and deviation of ImageNet; trained at
    32 pixels. Output: logits [N, 10] of `CLASSES`. `pool` gives the 64 features before them.

    Examples
    --------
    >>> import torch
    >>> CifarResNet(20).eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        stages, cin = [], _WIDTHS[0]
        for width in _WIDTHS:
            blocks = [Block(cin if i == 0 else width, width) for i in range((depth - 2) // 6)]
            stages.append(nn.Sequential(*blocks))
            cin = width
        self.layer1, self.layer2, self.layer3 = stages
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(cin, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, 10]."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.pool(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.linear(x.flatten(1))
        return logits


def _network(depth: int) -> RealNetwork:
    file = f"cifar-resnet{depth}.safetensors"
    return RealNetwork(
        name=f"cifar-resnet{depth}",
        task="classification of small images (CIFAR-10)",
        file=file,
        source=f"He et al. 2016; {_REPOSITORY}",
        licence="BSD-2-Clause",
        get=f"save the state dict of resnet{depth} of {_REPOSITORY}, without the prefix "
        f'"module.", as {file}',
        build=partial(CifarResNet, depth),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        input_size=(32, 32),
        output="pool",
        note="Output: the 64 pooled features before the classifier.",
    )


NETWORKS = (_network(20), _network(56))
