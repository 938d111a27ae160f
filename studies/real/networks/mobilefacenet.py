"""MobileFaceNet: whether two faces are of one person.

Chen, Liu, Gao and Han, "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on
Mobile Devices" (CCBR 2018).
"""

from __future__ import annotations

from torch import Tensor, nn

from .network import RealNetwork

__all__ = ["NETWORKS", "MobileFaceNet"]

# Table 1 of the paper: expansion, channels, repeats, stride.
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
_REPOSITORY = "github.com/Xiaoccer/MobileFaceNet_Pytorch"
_STEM, _HEAD, _CODE = 64, 512, 128
_LAST = (7, 6)  # maps of images of 112 x 96, where the last depthwise convolution sees them whole


class Layer(nn.Module):
    """Convolution, batch norm, and a PReLU where it is not linear."""

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)
        self.prelu = None if linear else nn.PReLU(cout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y if self.prelu is None else self.prelu(y)


class Bottleneck(nn.Module):
    """Expand, filter every channel by itself, project; with a skip where shapes allow."""

    def __init__(self, cin: int, cout: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = cin * expansion
        self.skips = stride == 1 and cin == cout
        self.conv = nn.Sequential(
            nn.Conv2d(cin, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, cout, 1, bias=False),
            nn.BatchNorm2d(cout),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.skips else y


class MobileFaceNet(nn.Module):
    """The network without its classifier of persons, which only training needs.

    Notes
    -----
    Input: RGB float [N, 3, 112, 96], (x - 0.5) / 0.5 for x in [0, 1], faces upright and centred.
    Output: [N, 128]; two of one person have a small angle between them.

    Examples
    --------
    >>> import torch
    >>> MobileFaceNet().eval()(torch.zeros(1, 3, 112, 96)).shape
    torch.Size([1, 128])
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Layer(3, _STEM, 3, 2, 1)
        self.dw_conv1 = Layer(_STEM, _STEM, 3, 1, 1, groups=_STEM)
        blocks, cin = [], _STEM
        for expansion, channels, repeats, stride in _STAGES:
            for i in range(repeats):
                blocks.append(Bottleneck(cin, channels, expansion, stride if i == 0 else 1))
                cin = channels
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = Layer(cin, _HEAD, 1)
        self.linear7 = Layer(_HEAD, _HEAD, _LAST, groups=_HEAD, linear=True)
        self.linear1 = Layer(_HEAD, _CODE, 1, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map faces [N, 3, 112, 96] to codes [N, 128]."""
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        code: Tensor = self.linear1(self.linear7(x)).flatten(1)
        return code


NETWORKS = (
    RealNetwork(
        name="mobilefacenet",
        task="face verification",
        file="mobilefacenet.safetensors",
        source=f"Chen et al. 2018; names of tensors as in {_REPOSITORY}",
        licence="not stated",
        get=f"save the net_state_dict of {_REPOSITORY} as mobilefacenet.safetensors",
        build=MobileFaceNet,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        input_size=(112, 96),
        output=None,
        note="Output: the code of 128 numbers, before it is made of unit length.",
    ),
)
