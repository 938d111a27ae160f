"""Truth of the third kind: the accuracy of a network that was trained on, all of it."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pyattrx import Encoder
from pyattrx.features import FeatureReader, find_place

from .tasks import RealTask

__all__ = ["fine_tuned_accuracy"]

_EPOCHS, _BATCH = 4, 16
_RATES = (1e-3, 1e-4)
_DECAY = 1e-4
_FOLDS = 5
_SEEN = 32  # images by which features are scaled
_LARGEST = 128  # pixels a side: what is larger would take hours


def fine_tuned_accuracy(
    encoder: Encoder, task: RealTask, learn: NDArray[np.int64], test: NDArray[np.int64]
) -> float:
    """Train a network and a new linear layer on some images, and test them on others.

    Four epochs of AdamW, mirrored images among them, at a rate that falls to zero; batch norms keep
    their statistics, which so few images would spoil. Of two rates the better one on a fifth of the
    groups, which are kept out. The network sees images at its own size, at most 128 x 128.

    Parameters
    ----------
    encoder : Encoder
        Left as it is.
    task : RealTask
    learn, test : ndarray
        Numbers of images.

    Returns
    -------
    float
        Share of the test images that are right.
    """
    images = _Images(encoder, task)
    numbers = np.unique(task.task.groups[learn], return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(int(numbers.max()) + 1)
    out = order[numbers] % _FOLDS == 0
    found = []
    for rate in _RATES:
        tuned = _train(encoder, images, task.labels, learn[~out], rate)
        found.append((_share(tuned, images, task.labels, learn[out]), tuned))
    best = max(found, key=lambda pair: pair[0])[1]
    return _share(best, images, task.labels, test)


class _Images:
    """What a network sees of a task."""

    def __init__(self, encoder: Encoder, task: RealTask) -> None:
        size = encoder.input_size or task.task.probes.size
        height, width = (size, size) if isinstance(size, int) else size
        shrink = min(1.0, _LARGEST / max(height, width))
        self._size = (round(height * shrink), round(width * shrink))
        self._transform, self._probes = encoder.transform, task.task.probes

    def __call__(self, numbers: NDArray[np.int64]) -> Tensor:
        x = torch.cat([self._probes.images(int(i), int(i) + 1) for i in numbers])
        x = F.interpolate(x, self._size, mode="bilinear", antialias=True, align_corners=False)
        return x if self._transform is None else self._transform(x)


class _Tuned(nn.Module):
    """A network up to its features, and a new layer."""

    def __init__(self, encoder: Encoder, example: Tensor, classes: int) -> None:
        super().__init__()
        self.body = copy.deepcopy(encoder.module).eval()
        for parameter in self.body.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        self._reader = FeatureReader(find_place(self.body, example), 1)
        with torch.no_grad():
            seen = self._features(example)
        # A rate means the same whatever the size of the features is.
        self.mean = seen.mean(0)
        self.size = (seen - self.mean).square().mean().sqrt().clamp_min(1e-12)
        self.head = nn.Linear(seen.shape[1], classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _features(self, x: Tensor) -> Tensor:
        numbers = self._reader(self.body, x)
        return numbers[:, : self._reader.width]

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head((self._features(x) - self.mean) / self.size)
        return scores


def _train(
    encoder: Encoder, images: _Images, y: NDArray[np.int64], learn: NDArray[np.int64], rate: float
) -> _Tuned:
    torch.manual_seed(0)
    tuned = _Tuned(encoder, images(learn[:: max(1, len(learn) // _SEEN)]), int(y.max()) + 1)
    optimiser = torch.optim.AdamW(tuned.parameters(), rate, weight_decay=_DECAY)
    steps = _EPOCHS * -(-len(learn) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = np.random.default_rng(0)
    for _ in range(_EPOCHS):
        for some in np.array_split(generator.permutation(learn), -(-len(learn) // _BATCH)):
            x = images(some)
            mirrored = torch.from_numpy(generator.random(len(some)) < 0.5)
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
            optimiser.zero_grad()
            F.cross_entropy(tuned(x), torch.from_numpy(y[some])).backward()
            optimiser.step()
            schedule.step()
    return tuned


def _share(
    tuned: _Tuned, images: _Images, y: NDArray[np.int64], numbers: NDArray[np.int64]
) -> float:
    right = 0
    with torch.no_grad():
        for some in np.array_split(numbers, -(-len(numbers) // _BATCH)):
            right += int((tuned(images(some)).argmax(1).numpy() == y[some]).sum())
    return right / len(numbers)
