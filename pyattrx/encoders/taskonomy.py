"""Taskonomy's encoders: their architecture, and their weights as the PyTorch port lays them out.

Zamir, Sax, Shen, Guibas, Malik and Savarese, "Taskonomy: Disentangling Task Transfer Learning"
(CVPR 2018). The weights are not part of this package: one file of ``NAME_encoder-HASH.pth`` for
every task.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.transforms import Normalize
from pyattrx.encoders.weights import load_weights
from pyattrx.errors import InvalidValueError

__all__ = ["TASKS", "TaskonomyEncoder", "load_taskonomy", "taskonomy_files"]

TASKS = {
    "autoencoding": "autoencoder",
    "class_object": "class_1000",
    "class_scene": "class_places",
    "colorization": "colorization",
    "curvature": "curvature",
    "denoising": "denoise",
    "depth_euclidean": "rgb2mist",
    "depth_zbuffer": "rgb2depth",
    "edge_occlusion": "edge3d",
    "edge_texture": "edge2d",
    "inpainting": "inpainting_whole",
    "keypoints2d": "keypoint2d",
    "keypoints3d": "keypoint3d",
    "normal": "rgb2sfnorm",
    "reshading": "reshade",
    "room_layout": "room_layout",
    "segment_semantic": "segmentsemantic",
    "segment_unsup2d": "segment2d",
    "segment_unsup25d": "segment25d",
    "vanishing_point": "vanishing_point",
}
"""Tasks by their names in the files of weights, and in the published tables of affinities.

Some of those tables add to a name, as in ``vanishing_point_well_defined``: see `Table.renamed`.
"""

_INPUT_SIZE = 256
_FILES = "*_encoder*.pth"
_MARK = "_encoder"


class TaskonomyEncoder(nn.Module):
    """The encoder that all tasks share: a ResNet-50 of stride 16, squeezed to 8 channels.

    Strides are in the last block of a layer and not in the first, and the fourth layer has none.

    Notes
    -----
    Input: RGB float [N, 3, H, W] in [-1, 1], 256 x 256 in training. Output [N, 8, H / 16, W / 16],
    not negative.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     TaskonomyEncoder()(torch.empty(1, 3, 256, 256)).shape
    torch.Size([1, 8, 16, 16])
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.layer1 = _layer(64, 64, blocks=3, stride=2)
        self.layer2 = _layer(256, 128, blocks=4, stride=2)
        self.layer3 = _layer(512, 256, blocks=6, stride=1)
        self.layer4 = _layer(1024, 512, blocks=3, stride=1)
        self.compress1 = nn.Conv2d(2048, 8, 3, padding=1, bias=False)
        self.compress_bn = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        """Return the representation of a batch of images."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        y: Tensor = self.relu(self.compress_bn(self.compress1(x)))
        return y


class _Bottleneck(nn.Module):
    def __init__(self, cin: int, planes: int, stride: int) -> None:
        super().__init__()
        cout = 4 * planes
        self.conv1 = nn.Conv2d(cin, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if cin != cout:
            self.downsample = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride=stride, bias=False), nn.BatchNorm2d(cout)
            )
        elif stride > 1:
            self.downsample = nn.MaxPool2d(1, stride=stride)  # every other pixel

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.relu(y + self.downsample(x))
        return out


def _layer(cin: int, planes: int, *, blocks: int, stride: int) -> nn.Sequential:
    widths = [cin] + [4 * planes] * (blocks - 1)
    strides = [1] * (blocks - 1) + [stride]
    return nn.Sequential(
        *(_Bottleneck(width, planes, step) for width, step in zip(widths, strides, strict=True))
    )


def taskonomy_files(path: str | Path) -> list[Path]:
    """List the files of weights in a folder, by name; a file stands for itself.

    Parameters
    ----------
    path : path
        A folder with files named ``*_encoder*.pth``, or one file of any name.

    Returns
    -------
    list of Path

    Raises
    ------
    InvalidValueError
        There is no such file or folder, or the folder has no such files.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "normal_encoder-f00d.pth").touch()
    >>> [file.name for file in taskonomy_files(folder)]
    ['normal_encoder-f00d.pth']
    """
    path = Path(path)
    files = sorted(path.glob(_FILES)) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise InvalidValueError("path", str(path), f"a file, or a folder with files named {_FILES}")
    return files


def load_taskonomy(path: str | Path, *, input_size: int | tuple[int, int] = _INPUT_SIZE) -> Encoder:
    """Load one of Taskonomy's encoders.

    Parameters
    ----------
    path : path
        A file of the PyTorch port, ``NAME_encoder-HASH.pth``: the state dict, under the key
        ``state_dict`` or plain. Nothing in it is executed.
    input_size : int or (int, int)
        Height and width that images are resized to.

    Returns
    -------
    Encoder
        Named as the task is in the published tables of affinities (see `TASKS`), or as the file if
        it begins with no known task. Images are mapped from [0, 1] to [-1, 1].

    Raises
    ------
    InvalidValueError
        There is no such file.
    UntrustedError, EncoderError
        As `read_weights` and `load_weights`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "normal_encoder-f00d.pth"
    ...     torch.save({"state_dict": TaskonomyEncoder().half().state_dict()}, path)
    ...     load_taskonomy(path).name
    'rgb2sfnorm'
    """
    path = Path(path)
    with torch.random.fork_rng(devices=[]):  # random weights, which are about to be replaced
        module = TaskonomyEncoder()
    load_weights(module, path)
    task = path.name.partition(_MARK)[0]
    return Encoder(
        module.eval(),
        name=TASKS.get(task, path.stem),
        transform=Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        input_size=input_size,
    )
