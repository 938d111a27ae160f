"""XFeat: keypoints and their descriptors.

Potje, Cadar, Araujo, Martins and Nascimento, "XFeat: Accelerated Features for Lightweight Image
Matching" (CVPR 2024).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["XFeat"]

_CELL, _STRIDE = 8, 32


class Layer(nn.Module):
    """Convolution, batch norm without parameters, ReLU."""

    def __init__(self, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(cout, affine=False),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y


class XFeat(nn.Module):
    """The detector and descriptor; the matcher of the paper is left out.

    Notes
    -----
    Input: RGB float [N, 3, H, W] in [0, 1], H and W at least 32, made grey and normalised inside,
    and resized to multiples of 32 where they are none. Output, for every cell of 8 x 8 pixels:
    the descriptor before its normalisation, [N, 64, H / 8, W / 8]; logits of where in the cell
    the keypoint lies, row by row, the last one for nowhere, [N, 65, H / 8, W / 8]; and how
    reliable the descriptor is, in [0, 1], [N, 1, H / 8, W / 8]. `block_fusion` gives the
    descriptors.

    Examples
    --------
    >>> import torch
    >>> [tuple(y.shape) for y in XFeat().eval()(torch.rand(1, 3, 32, 64))]
    [(1, 64, 4, 8), (1, 65, 4, 8), (1, 1, 4, 8)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(1)
        self.skip1 = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(
            Layer(1, 4), Layer(4, 8, stride=2), Layer(8, 8), Layer(8, 24, stride=2)
        )
        self.block2 = nn.Sequential(Layer(24, 24), Layer(24, 24))
        self.block3 = nn.Sequential(Layer(24, 64, stride=2), Layer(64, 64), Layer(64, 64, 1))
        self.block4 = nn.Sequential(Layer(64, 64, stride=2), Layer(64, 64), Layer(64, 64))
        self.block5 = nn.Sequential(
            Layer(64, 128, stride=2), Layer(128, 128), Layer(128, 128), Layer(128, 64, 1)
        )
        self.block_fusion = nn.Sequential(Layer(64, 64), Layer(64, 64), nn.Conv2d(64, 64, 1))
        self.heatmap_head = nn.Sequential(
            Layer(64, 64, 1), Layer(64, 64, 1), nn.Conv2d(64, 1, 1), nn.Sigmoid()
        )
        self.keypoint_head = nn.Sequential(
            Layer(64, 64, 1), Layer(64, 64, 1), Layer(64, 64, 1), nn.Conv2d(64, _CELL**2 + 1, 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Descriptors, keypoint logits and reliability, one of each for a cell."""
        x = _resize(x, x.shape[-2] // _STRIDE * _STRIDE, x.shape[-1] // _STRIDE * _STRIDE)
        x = self.norm(x.mean(1, keepdim=True))
        x3 = self.block3(self.block2(self.block1(x) + self.skip1(x)))
        x4 = self.block4(x3)
        x5 = self.block5(x4)
        height, width = x3.shape[-2:]
        pyramid = x3 + _resize(x4, height, width) + _resize(x5, height, width)
        descriptors = self.block_fusion(pyramid)
        keypoints = self.keypoint_head(F.pixel_unshuffle(x, _CELL))
        return descriptors, keypoints, self.heatmap_head(descriptors)


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    if x.shape[-2:] == (height, width):
        return x
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
