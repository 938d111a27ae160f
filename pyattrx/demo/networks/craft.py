"""CRAFT: where in an image there are characters, and which of them belong together.

Baek, Lee, Han, Yun and Lee, "Character Region Awareness for Text Detection" (CVPR 2019): a VGG-16
with batch norm, and a decoder like that of a U-Net.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CRAFT"]

# The backbone's layers are numbered through all slices: channels of a convolution (which takes
# three numbers, with batch norm and ReLU) or "M" for max pooling. A slice ends before a ReLU.
_VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512)
_SLICE_ENDS = (12, 19, 29, 39)


class Backbone(nn.Module):
    """VGG-16 in four slices, and the dilated convolutions that stand for its dense layers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        cin = 3
        for entry in _VGG:
            if isinstance(entry, int):
                layers += [nn.Conv2d(cin, entry, 3, padding=1), nn.BatchNorm2d(entry), nn.ReLU()]
                cin = entry
            else:
                layers.append(nn.MaxPool2d(2))
        slices, begin = [], 0
        for end in _SLICE_ENDS:
            part = nn.Sequential()
            for i in range(begin, end):
                part.add_module(str(i), layers[i])
            slices.append(part)
            begin = end
        self.slice1, self.slice2, self.slice3, self.slice4 = slices
        self.slice5 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.Conv2d(1024, 1024, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the five slices, finest first."""
        x1 = self.slice1(x)
        x2 = self.slice2(x1)
        x3 = self.slice3(x2)
        x4 = self.slice4(x3)
        # In training the first layer of slices 2 to 4 was a ReLU in place, so the decoder got
        # their inputs after it; slice 5 has none, so x4 stays as it is.
        return F.relu(x1), F.relu(x2), F.relu(x3), x4, self.slice5(x4)


class UpConv(nn.Module):
    """One step of the decoder: mix channels, then neighbours."""

    def __init__(self, cin: int, middle: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(cin, middle, 1),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, cout, 3, padding=1),
            nn.BatchNorm2d(cout),
            nn.ReLU(),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Merge coarse features with those of the next finer slice."""
        if coarse.shape[-2:] != fine.shape[-2:]:
            coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        merged: Tensor = self.conv(torch.cat([coarse, fine], 1))
        return merged


class CRAFT(nn.Module):
    """The text detector.

    Notes
    -----
    Input: RGB float [N, 3, H, W], normalised with the mean and deviation of ImageNet; H and W at
    least 16. Output: [N, 2, H // 2, W // 2], the score of being within a character and that of
    lying between two characters of a word. `upconv4` gives the 32 features behind both.

    Examples
    --------
    >>> CRAFT().eval()(torch.zeros(1, 3, 32, 48)).shape
    torch.Size([1, 2, 16, 24])
    """

    def __init__(self) -> None:
        super().__init__()
        self.basenet = Backbone()
        self.upconv1 = UpConv(1024 + 512, 512, 256)
        self.upconv2 = UpConv(256 + 512, 256, 128)
        self.upconv3 = UpConv(128 + 256, 128, 64)
        self.upconv4 = UpConv(64 + 128, 64, 32)
        self.conv_cls = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 1),
            nn.ReLU(),
            nn.Conv2d(16, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score maps [N, 2, H // 2, W // 2]."""
        x1, x2, x3, x4, x5 = self.basenet(x)
        y = self.upconv1(x5, x4)
        y = self.upconv2(y, x3)
        y = self.upconv3(y, x2)
        scores: Tensor = self.conv_cls(self.upconv4(y, x1))
        return scores
