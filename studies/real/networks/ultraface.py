"""The backbone of UltraFace "slim", a face detector for small devices.

Linzaer, "Ultra-Light-Fast-Generic-Face-Detector-1MB" (2019): depthwise separable convolutions after
Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications"
(2017).
"""

from __future__ import annotations

from torch import nn

from .network import RealNetwork

__all__ = ["NETWORKS", "UltraFaceSlim"]

_REPOSITORY = "github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB"
_STEM = 16
# Channels and stride of one separable convolution after another.
_LAYERS = (
    (32, 1),
    (32, 2), (32, 1), (64, 2), (64, 1), (64, 1), (64, 1),
    (128, 2), (128, 1), (128, 1), (256, 2), (256, 1),
)  # fmt: skip


def _separable(cin: int, cout: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(cin, cin, 3, stride, 1, groups=cin, bias=False),
        nn.BatchNorm2d(cin),
        nn.ReLU(),
        nn.Conv2d(cin, cout, 1, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU(),
    )


class UltraFaceSlim(nn.Sequential):
    """The backbone: a convolution and twelve separable ones.

    Notes
    -----
    Input: RGB float [N, 3, H, W], (255 x - 127) / 128 for x in [0, 1]; trained at 240 x 320.
    Output: [N, 256, H / 32, W / 32], rounded up. The detector reads modules 7, 10 and 12.

    Examples
    --------
    >>> import torch
    >>> UltraFaceSlim().eval()(torch.zeros(1, 3, 240, 320)).shape
    torch.Size([1, 256, 8, 10])
    """

    def __init__(self) -> None:
        stem = (nn.Conv2d(3, _STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(_STEM), nn.ReLU())
        modules, cin = [nn.Sequential(*stem)], _STEM
        for cout, stride in _LAYERS:
            modules.append(_separable(cin, cout, stride))
            cin = cout
        super().__init__(*modules)


NETWORKS = (
    RealNetwork(
        name="ultraface-slim",
        task="face detection",
        file="ultraface-slim.safetensors",
        source=f"{_REPOSITORY}, version slim 320",
        licence="MIT",
        get=f"save the tensors of version-slim-320 of {_REPOSITORY} whose names begin with "
        '"base_net.", without that prefix, as ultraface-slim.safetensors',
        build=UltraFaceSlim,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        input_size=(240, 320),
        output=None,
        note="Output: the last feature map of the backbone; the detector's heads are left out.",
    ),
)
