"""Truth of the second kind: the accuracy of a small convolutional network on frozen maps."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["decoder_accuracy"]

_WIDTH = 32
_STEPS, _BATCH = 300, 64
_RATES = (3e-3, 3e-4)
_DECAY = 1e-4
_FOLDS = 5


def decoder_accuracy(
    maps: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64],
    test_maps: NDArray[np.float32], test_y: NDArray[np.int64],
) -> float:  # fmt: skip
    """Train a decoder on some images, and test it on others.

    A 1 x 1 and a 3 x 3 convolution of 32 channels, their mean over locations, and a linear layer,
    by AdamW, 300 steps of 64 images at a rate that falls to zero. Of two rates the better one on a
    fifth of the groups, which were kept out, is taken for all.

    Parameters
    ----------
    maps, test_maps : ndarray [N, C, H, W], [M, C, H, W]
    y, test_y : ndarray [N], [M]
        Classes, numbered from 0; all of them in `y`.
    groups : ndarray [N]

    Returns
    -------
    float
        Share of `test_y` that is right.
    """
    x, labels = _scaled(maps, maps), torch.from_numpy(np.asarray(y))
    test, classes = _scaled(test_maps, maps), int(y.max()) + 1
    numbers = np.unique(groups, return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(int(numbers.max()) + 1)
    out = torch.from_numpy(order[numbers] % _FOLDS == 0)
    right = []
    for rate in _RATES:
        trained = _train(x[~out], labels[~out], classes, rate)
        right.append(_share(trained, x[out], labels[out].numpy()))
    best = _train(x, labels, classes, _RATES[int(np.argmax(right))])
    return _share(best, test, test_y)


def _scaled(maps: NDArray[np.float32], by: NDArray[np.float32]) -> Tensor:
    """Channels centred, all together of mean square 1, by those that are learnt from."""
    mean = by.mean((0, 2, 3), keepdims=True)
    size = float(np.sqrt(np.square(by - mean).mean())) or 1.0
    return torch.from_numpy(np.ascontiguousarray((maps - mean) / size, np.float32))


def _train(x: Tensor, y: Tensor, classes: int, rate: float) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(x.shape[1], _WIDTH, 1), nn.ReLU(), nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_WIDTH, classes),
    )  # fmt: skip
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    generator = torch.Generator().manual_seed(0)
    for _ in range(_STEPS):
        some = torch.randint(len(x), (min(_BATCH, len(x)),), generator=generator)
        optimiser.zero_grad()
        F.cross_entropy(network(x[some]), y[some]).backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def _share(network: nn.Module, x: Tensor, y: NDArray[np.int64]) -> float:
    with torch.no_grad():
        return float((network(x).argmax(1).numpy() == y).mean())
