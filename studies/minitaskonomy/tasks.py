"""The twenty tasks of Taskonomy (Zamir et al. 2018) on rendered rooms, under the names it uses.

Eighteen are targets; colorization and inpainting are sources only, as there. ``rgb2mist`` is the
distance along the ray and ``rgb2depth`` that along the axis of view: within a narrow angle of view
they are nearly the same task, here as in the original. Occlusion edges and other maps that are zero
nearly everywhere are learnt by squares: under absolute errors their best constant, the median, is a
trap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pyattrx.errors import InvalidValueError

from .furniture import FURNITURE
from .labels import LABEL_SIZE, PAIRS
from .rooms import ROOMS
from .scenes import CLASSES

__all__ = ["TARGETS", "TASKS", "Scale", "Task", "find_task"]

Corrupt = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Task:
    """What a network is trained for.

    Parameters
    ----------
    name : str
        As in Taskonomy.
    channels : int
        Of the prediction: maps are [N, channels, 32, 32], all else [N, channels].
    loss : {"l1", "l2", "bce", "cross_entropy"}
        How predictions are judged.
    family : {"2D", "3D", "semantic", "geometric"}
        The paper's grouping, by what the task is about.
    dense : bool
        Whether the prediction is a map.
    from_image : callable, optional
        Makes the labels from clean images [N, 3, 64, 64]; they are stored otherwise.
    corrupt : callable, optional
        Makes the input from clean images.
    signs, order : tuple of int
        What the channels of a mirrored image's label are: their signs, and where they come from.
    grey : bool
        Whether the network sees no colour.
    target : bool
        Whether transfers to the task are measured.
    """

    name: str
    channels: int
    loss: str
    family: str
    dense: bool = True
    from_image: Callable[[Tensor], Tensor] | None = None
    corrupt: Corrupt | None = None
    signs: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    grey: bool = False
    target: bool = True

    def mirrored(self, labels: Tensor) -> Tensor:
        """Return the labels of the images mirrored left to right."""
        if labels.ndim >= 3:
            labels = labels.flip(-1)
        if self.order:
            labels = labels[:, list(self.order)]
        if self.signs:
            signs = labels.new_tensor(self.signs)
            labels = labels * signs.view(-1, *[1] * (labels.ndim - 2))
        return labels

    def losses(self, predictions: Tensor, labels: Tensor) -> Tensor:
        """Judge each image on its own.

        Parameters
        ----------
        predictions : Tensor, float, [N, channels, ...]
            Scaled as the labels are, or logits.
        labels : Tensor, [N, ...]
            Floating point for maps and numbers, int64 for classes.

        Returns
        -------
        Tensor, float, [N]
            Mean loss over pixels and channels.
        """
        if self.loss == "cross_entropy":
            loss = F.cross_entropy(predictions, labels, reduction="none")
        elif self.loss == "bce":
            loss = F.binary_cross_entropy_with_logits(predictions, labels, reduction="none")
        elif self.loss == "l1":
            loss = (predictions - labels).abs()
        else:
            loss = (predictions - labels).square()
        return loss if loss.ndim == 1 else loss.flatten(1).mean(1)


@dataclass(frozen=True)
class Scale:
    """Makes labels comparable, and knows the best constant prediction.

    Attributes
    ----------
    center, spread : Tensor, float32, [channels] or empty
        Mean and standard deviation of the training labels; empty where the loss needs none.
    constant : Tensor, float32, [channels, ...]
        What the trivial predictor says of every image: per pixel the mean (median for ``l1``) of
        scaled training labels, or the logits of their frequencies.
    """

    center: Tensor
    spread: Tensor
    constant: Tensor

    @classmethod
    def fit(cls, task: Task, labels: Tensor) -> Scale:
        """Take the statistics of training labels, scaled by nothing yet."""
        if task.loss == "cross_entropy":
            hot = [(labels == c).float().mean(0) for c in range(task.channels)]
            logits = (torch.stack(hot) + 1e-4).log()  # never seen at a pixel costs much, not all
            return cls(torch.empty(0), torch.empty(0), logits)
        if task.loss == "bce":
            mean = labels.float().mean(0).clamp(1e-4, 1 - 1e-4)
            return cls(torch.empty(0), torch.empty(0), mean.logit())
        channels = labels.float().transpose(0, 1).flatten(1)
        center, spread = channels.mean(1), channels.std(1).clamp_min(1e-6)
        scale = cls(center, spread, torch.empty(0))
        scaled = scale(labels)
        constant = scaled.median(0).values if task.loss == "l1" else scaled.mean(0)
        return cls(center, spread, constant)

    def __call__(self, labels: Tensor) -> Tensor:
        """Scale labels; classes and affinities stay as they are, but for half precision."""
        if not labels.is_floating_point():
            return labels
        if not len(self.center):
            return labels.float()
        shape = (-1, *[1] * (labels.ndim - 2))
        return (labels.float() - self.center.view(shape)) / self.spread.view(shape)

    def trivial(self, task: Task, labels: Tensor) -> Tensor:
        """Losses [N] of the constant prediction for scaled labels."""
        return task.losses(self.constant.expand(len(labels), *self.constant.shape), labels)


def _small(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, images.shape[-1] // LABEL_SIZE)


def _chroma(images: Tensor) -> Tensor:
    """Red against green, and both against blue."""
    r, g, b = _small(images).unbind(1)
    return torch.stack([r - g, (r + g) / 2 - b], dim=1)


def _noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    return images + 0.2 * torch.randn(images.shape, generator=generator)


def _holed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Grey out one square of 20 to 28 pixels an image."""
    n, side = len(images), images.shape[-1]
    size = torch.randint(20, 29, (n, 1), generator=generator)
    start = (torch.rand(2, n, 1, generator=generator) * (side - size)).long()
    at = torch.arange(side)
    rows, columns = ((s <= at) & (at < s + size) for s in start)
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(hole, images.new_tensor(0.5), images)


def _swapped(pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Where each pair comes from when left and right change places; a pair has no direction."""
    same = {(y, x): i for i, (y, x) in enumerate(pairs)} | {
        (-y, -x): i for i, (y, x) in enumerate(pairs)
    }
    return tuple(same[y, -x] for y, x in pairs)


_SEGMENTS = len(PAIRS)
_ALL = (
    Task("autoencoder", 3, "l1", "2D", from_image=_small),
    Task("class_1000", len(FURNITURE), "cross_entropy", "semantic", dense=False),
    Task("class_places", len(ROOMS), "cross_entropy", "semantic", dense=False),
    Task("colorization", 2, "l2", "2D", from_image=_chroma, grey=True, target=False),
    Task("curvature", 2, "l2", "3D"),
    Task("denoise", 3, "l1", "2D", from_image=_small, corrupt=_noisy),
    Task("edge2d", 1, "l2", "2D"),
    Task("edge3d", 1, "l2", "3D"),
    Task("inpainting_whole", 3, "l1", "2D", from_image=_small, corrupt=_holed, target=False),
    Task("keypoint2d", 1, "l2", "2D"),
    Task("keypoint3d", 1, "l2", "3D"),
    Task("reshade", 1, "l1", "3D"),
    Task("rgb2depth", 1, "l1", "3D"),
    Task("rgb2mist", 1, "l1", "3D"),
    Task("rgb2sfnorm", 3, "l1", "3D", signs=(-1, 1, 1)),
    Task("room_layout", 6, "l1", "geometric", dense=False,
         order=(0, 2, 1, 3, 4, 5), signs=(1, 1, 1, 1, 1, -1)),
    Task("segment25d", _SEGMENTS, "bce", "3D", order=_swapped(PAIRS)),
    Task("segment2d", _SEGMENTS, "bce", "2D", order=_swapped(PAIRS)),
    Task("segmentsemantic", len(CLASSES), "cross_entropy", "semantic"),
    Task("vanishing_point", 4, "l1", "geometric", dense=False, signs=(1, -1, -1, 1)),
)  # fmt: skip

TASKS: dict[str, Task] = {task.name: task for task in _ALL}
TARGETS: tuple[str, ...] = tuple(task.name for task in _ALL if task.target)


def find_task(name: str) -> Task:
    """Return a task by name; `InvalidValueError` if there is none."""
    if name not in TASKS:
        raise InvalidValueError("task", name, f"one of {', '.join(TASKS)}")
    return TASKS[name]
