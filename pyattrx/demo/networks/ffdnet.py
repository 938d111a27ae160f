"""FFDNet: removal of Gaussian noise of a known level from colour images.

Zhang, Zuo and Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN based Image Denoising"
(IEEE Transactions on Image Processing, 2018).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FFDNet"]

_CHANNELS, _WIDTH, _LAYERS, _FACTOR = 3, 96, 12, 2


class FFDNet(nn.Module):
    """The colour network: 12 convolutions on the image split into four half-size ones.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, for images in [0, 1]; trained for 0 to 75 / 255.

    Notes
    -----
    Input: RGB float [N, 3, H, W] in [0, 1], any H and W. Output: the denoised image, same shape.
    `body` gives the features before the last convolution, [N, 96, ceil(H / 2), ceil(W / 2)].

    Examples
    --------
    >>> FFDNet(sigma=0.1)(torch.zeros(1, 3, 9, 12)).shape
    torch.Size([1, 3, 9, 12])
    """

    def __init__(self, sigma: float = 25 / 255) -> None:
        super().__init__()
        self.sigma = sigma
        pixels = _CHANNELS * _FACTOR**2
        layers: list[nn.Module] = [nn.Conv2d(pixels + 1, _WIDTH, 3, padding=1), nn.ReLU()]
        for _ in range(_LAYERS - 2):
            layers += [nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(_WIDTH, pixels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Denoised images [N, 3, H, W]."""
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % _FACTOR, 0, -height % _FACTOR), mode="replicate")
        pixels = F.pixel_unshuffle(padded, _FACTOR)
        level = torch.full_like(pixels[:, :1], self.sigma)
        y = self.head(self.body(torch.cat([pixels, level], 1)))
        return F.pixel_shuffle(y, _FACTOR)[..., :height, :width]
