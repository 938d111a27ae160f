"""Zero-DCE: makes dark photos brighter.

Guo, Li, Guo, Loy, Hou, Kwong and Cong, "Zero-Reference Deep Curve Estimation for Low-Light Image
Enhancement" (CVPR 2020).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .network import RealNetwork

__all__ = ["NETWORKS", "ZeroDCE"]

_REPOSITORY = "github.com/Li-Chongyi/Zero-DCE"
_WIDTH, _CURVES = 32, 8


class ZeroDCE(nn.Module):
    """Seven convolutions that find a curve for every pixel.

    Notes
    -----
    Input: RGB float [N, 3, H, W] in [0, 1]. Output: the brighter image, alike. `features` gives the
    64 channels that the curves are made of.

    Examples
    --------
    >>> ZeroDCE().eval()(torch.zeros(1, 3, 32, 48)).shape
    torch.Size([1, 3, 32, 48])
    """

    def __init__(self) -> None:
        super().__init__()
        self.e_conv1 = nn.Conv2d(3, _WIDTH, 3, padding=1)
        self.e_conv2 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.e_conv3 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.e_conv4 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.e_conv5 = nn.Conv2d(2 * _WIDTH, _WIDTH, 3, padding=1)
        self.e_conv6 = nn.Conv2d(2 * _WIDTH, _WIDTH, 3, padding=1)
        self.features = nn.Identity()  # a name for where they are
        self.e_conv7 = nn.Conv2d(2 * _WIDTH, 3 * _CURVES, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, 3, H, W] in [0, 1] to brighter ones."""
        x1 = F.relu(self.e_conv1(x))
        x2 = F.relu(self.e_conv2(x1))
        x3 = F.relu(self.e_conv3(x2))
        x4 = F.relu(self.e_conv4(x3))
        x5 = F.relu(self.e_conv5(torch.cat([x3, x4], 1)))
        x6 = F.relu(self.e_conv6(torch.cat([x2, x5], 1)))
        curves = torch.tanh(self.e_conv7(self.features(torch.cat([x1, x6], 1))))
        for strength in curves.split(3, 1):
            x = x + strength * (x * x - x)
        return x


NETWORKS = (
    RealNetwork(
        name="zero-dce",
        task="enhancement of dark photos",
        file="zero-dce.safetensors",
        source=f"Guo et al. 2020; {_REPOSITORY}",
        licence="CC-BY-NC-4.0, for academic research only",
        get=f"save the state dict of {_REPOSITORY}, snapshot Epoch99, as zero-dce.safetensors",
        build=ZeroDCE,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        input_size=None,
        output="features",
        note="Output: the features before the last convolution, at full resolution.",
    ),
)
