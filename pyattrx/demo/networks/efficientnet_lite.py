"""EfficientNet-Lite: ImageNet classification.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019).
The Lite family leaves out squeeze-and-excitation, replaces swish by ReLU6, and scales neither the
stem, the head, nor the depth of the first and the last stage.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["EfficientNetLite"]

# Table 1 of the paper: expansion, kernel, stride, channels, repeats.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000


def _scale_channels(channels: int, width: float) -> int:
    """Scale to a multiple of 8, and never below 90 % of what was asked for."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class SamePad(nn.Module):
    """TensorFlow's "SAME" zero padding, whose odd pixel goes to the right and the bottom."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        extra = self.kernel - self.stride
        high, wide = extra + -x.shape[-2] % self.stride, extra + -x.shape[-1] % self.stride
        return F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))


class InvertedBottleneck(nn.Module):
    """Expand, filter every channel by itself, project; with a skip where shapes allow."""

    def __init__(self, cin: int, cout: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = cin * expansion
        self.expands, self.skips = expansion > 1, stride == 1 and cin == cout
        if self.expands:
            self.expand_conv = nn.Conv2d(cin, wide, 1, bias=False)
            self.bn0 = _norm(wide)
        self.pad = SamePad(kernel, stride)
        self.depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self.bn1 = _norm(wide)
        self.project_conv = nn.Conv2d(wide, cout, 1, bias=False)
        self.bn2 = _norm(cout)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        wide = F.relu6(self.bn1(self.depthwise_conv(self.pad(wide))))
        y: Tensor = self.bn2(self.project_conv(wide))
        return x + y if self.skips else y


class EfficientNetLite(nn.Module):
    """One member of the family.

    Parameters
    ----------
    width, depth : float
        Factors of the channels and of the repeats: 1.0 and 1.0 for Lite0, 1.0 and 1.1 for Lite1,
        1.1 and 1.2 for Lite2.

    Notes
    -----
    Input: RGB float [N, 3, H, W], (255 x - 127) / 128 for x in [0, 1]; trained at 224, 240 and
    260 pixels. Output: logits of the 1000 ImageNet classes. `pool` gives the 1280 features.

    Examples
    --------
    >>> import torch
    >>> EfficientNetLite(1.0, 1.0).eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 1000])
    """

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self.pad = SamePad(3, 2)
        self.conv_stem = nn.Conv2d(3, _STEM, 3, 2, bias=False)
        self.bn0 = _norm(_STEM)
        blocks, cin = [], _STEM
        for stage, (expansion, kernel, stride, channels, repeats) in enumerate(_STAGES):
            cout = _scale_channels(channels, width)
            scaled = 0 < stage < len(_STAGES) - 1
            for i in range(math.ceil(repeats * depth) if scaled else repeats):
                step = stride if i == 0 else 1
                blocks.append(InvertedBottleneck(cin, cout, expansion, kernel, step))
                cin = cout
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = nn.Conv2d(cin, _HEAD, 1, bias=False)
        self.bn1 = _norm(_HEAD)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(_HEAD, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, 1000]."""
        x = F.relu6(self.bn0(self.conv_stem(self.pad(x))))
        x = F.relu6(self.bn1(self.conv_head(self.blocks(x))))
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits
