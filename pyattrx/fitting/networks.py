"""The built-in encoder, and the heads that are trained on it and thrown away."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SmallEncoder", "make_head"]

_HIDDEN = 64  # channels of a dense head
_POOLED = 4  # rows and columns that a head of numbers sees
_MOST_SHUFFLED = 8


class SmallEncoder(nn.Module):
    """A residual network of 335 000 parameters with a linear output of 16 channels.

    Notes
    -----
    Input: RGB float [N, 3, H, W], normalised, H and W at least 16. Output [N, 16, H / 8, W / 8],
    rounded up.

    Examples
    --------
    >>> import torch
    >>> SmallEncoder()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 16, 8, 8])
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()
        )
        self.blocks = nn.Sequential(_Block(32, 48, 2), _Block(48, 96, 2), _Block(96, 96, 1))
        self.squeeze = nn.Sequential(nn.Conv2d(96, 16, 1, bias=False), nn.BatchNorm2d(16))

    def forward(self, x: Tensor) -> Tensor:
        """Return the representation of a batch of images."""
        y: Tensor = self.squeeze(self.blocks(self.stem(x)))
        return y


class _Block(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if cin != cout or stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(cin, cout, 1, stride=stride, bias=False), nn.BatchNorm2d(cout)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu(y + self.shortcut(x))
        return out


def make_head(features: Tensor, channels: int, size: tuple[int, int] | None) -> nn.Module:
    """Make what turns an encoder's output into predictions.

    Parameters
    ----------
    features : Tensor [N, C] or [N, C, h, w]
        An output of the encoder.
    channels : int
        Numbers to predict, or channels of the map.
    size : (int, int), optional
        Of the map to predict; numbers are predicted if left out.

    Returns
    -------
    nn.Module
        From [N, C, ...] to [N, channels] or [N, channels, *size].

    Examples
    --------
    >>> import torch
    >>> features = torch.zeros(2, 16, 8, 8)
    >>> make_head(features, 5, None)(features).shape
    torch.Size([2, 5])
    >>> make_head(features, 1, (30, 32))(features).shape
    torch.Size([2, 1, 30, 32])
    """
    width = features.shape[1]
    if size is not None:
        rows = features.shape[2] if features.ndim == 4 else 1
        return _DenseHead(width, channels, size, rows)
    if features.ndim == 2:
        return nn.Linear(width, channels)
    inputs = width * _POOLED**2
    # Where something is matters to some tasks, so not all places are pooled into one.
    return nn.Sequential(nn.AdaptiveAvgPool2d(_POOLED), nn.Flatten(), nn.Linear(inputs, channels))


class _DenseHead(nn.Module):
    def __init__(self, width: int, channels: int, size: tuple[int, int], rows: int) -> None:
        super().__init__()
        self.size = size
        scale = min(_MOST_SHUFFLED, max(1, -(-size[0] // rows)))
        self.layers = nn.Sequential(
            nn.Conv2d(width, _HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_HIDDEN, channels * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x if x.ndim == 4 else x[:, :, None, None])
        if y.shape[-2:] != self.size:
            y = F.interpolate(y, self.size, mode="bilinear", align_corners=False)
        return y
