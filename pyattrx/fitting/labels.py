"""Labels of the kinds that can be learnt, what a prediction costs, and what is trivial."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["Kind", "Labels"]

Kind = Literal["classification", "regression", "dense_classification", "dense_regression"]

_EXPECTED = {
    "classification": "[N], integers or strings",
    "regression": "[N] or [N, K], numbers",
    "dense_classification": "[N, h, w], integers",
    "dense_regression": "[N, C, h, w], numbers",
}


class Labels:
    """Checked labels of N images.

    Parameters
    ----------
    targets : Tensor or array_like
        See `fit_target`.
    count : int
        Number of images.
    task : str, optional
        One of `Kind`; told from type and shape if left out.
    largest : (int, int), optional
        Maps larger than this are reduced to it.

    Attributes
    ----------
    task : str
    values : Tensor
        Classes as int64 from 0, [N] or [N, h, w]; or numbers as float32, [N, K] or [N, C, h, w].
    channels : int
        Number of classes, of numbers or of channels.
    size : (int, int) or None
        Of maps.
    """

    def __init__(
        self, targets: Any, count: int, task: str | None, largest: tuple[int, int] | None
    ) -> None:
        array = _array(targets)
        if task is not None and task not in _EXPECTED:
            raise InvalidValueError("task", task, f"one of {', '.join(get_args(Kind))}")
        discrete = array.dtype.kind in "biuU"
        if task is None:
            shapes = {
                (True, 1): "classification",
                (False, 1): "regression",
                (False, 2): "regression",
                (True, 3): "dense_classification",
                (False, 4): "dense_regression",
            }
            task = shapes.get((discrete, array.ndim))
            if task is None:
                kinds = "; ".join(f"{name}: {shape}" for name, shape in _EXPECTED.items())
                raise InvalidValueError("targets", f"{array.dtype} {array.shape}", kinds)
        self.task = task
        self.is_dense = task.startswith("dense")
        self.is_discrete = task.endswith("classification")
        dimensions = {"regression": (1, 2), "classification": (1,)}.get(task)
        dimensions = dimensions or ((3,) if self.is_discrete else (4,))
        numeric = array.dtype.kind in "biuf"
        if array.ndim not in dimensions or not (discrete if self.is_discrete else numeric):
            raise InvalidValueError("targets", f"{array.dtype} {array.shape}", _EXPECTED[task])
        if len(array) != count:
            raise InvalidValueError(
                "targets", f"{len(array)} labels", f"{count}, one for every image"
            )
        if 0 in array.shape:
            raise InvalidValueError("targets", array.shape, _EXPECTED[task] + ", not empty")
        values = self._classes(array) if self.is_discrete else self._numbers(array)
        self.values = self._reduced(values, largest) if self.is_dense else values
        height, width = self.values.shape[-2:] if self.is_dense else (0, 0)
        self.size = (height, width) if self.is_dense else None

    def _classes(self, array: NDArray[Any]) -> Tensor:
        classes, values = np.unique(array, return_inverse=True)
        if len(classes) < 2:
            raise InvalidValueError("targets", f"one class, {classes[0]!r}", "two or more classes")
        self.channels = len(classes)
        return torch.from_numpy(values.reshape(array.shape).astype(np.int64))

    def _numbers(self, array: NDArray[Any]) -> Tensor:
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            where = ", ".join(str(int(i)) for i in bad[0])
            raise InvalidValueError(
                f"targets[{where}]", float(array[tuple(bad[0])]), "a finite number"
            )
        if array.min() == array.max():
            raise InvalidValueError(
                "targets", float(array.min()), "labels that are not all the same"
            )
        with np.errstate(over="ignore"):
            values = torch.from_numpy(array.astype(np.float32))
        if not torch.isfinite(values).all():
            raise InvalidValueError(
                "targets", float(np.abs(array).max()), "numbers that fit float32"
            )
        values = values[:, None] if values.ndim == 1 else values
        self.channels = values.shape[1]
        return values

    def _reduced(self, values: Tensor, largest: tuple[int, int] | None) -> Tensor:
        height, width = values.shape[-2:]
        size = (height, width) if largest is None else tuple(map(min, (height, width), largest))
        if size == (height, width):
            return values
        if self.is_discrete:
            rows = torch.arange(size[0]) * height // size[0]
            columns = torch.arange(size[1]) * width // size[1]
            return values[:, rows][:, :, columns]
        return F.interpolate(values, size, mode="area")

    def standardise(self, train: Tensor) -> None:
        """Give numbers mean 0 and variance 1 over the training images, channel by channel."""
        if self.is_discrete:
            return
        dimensions = [d for d in range(self.values.ndim) if d != 1]
        chosen = self.values[train].double()
        mean = chosen.mean(dimensions, keepdim=True)
        std = chosen.std(dimensions, keepdim=True, correction=0)
        std[std == 0] = 1  # a channel that never changes
        self.values = ((self.values.double() - mean) / std).float()

    def losses(self, predicted: Tensor, values: Tensor) -> Tensor:
        """Loss of every image: cross-entropy in nats, or squared error in variances."""
        if self.is_discrete:
            losses = F.cross_entropy(predicted, values, reduction="none")
        else:
            losses = (predicted - values) ** 2
        return losses.reshape(len(losses), -1).mean(1)

    def trivial_losses(self, train: Tensor, held_out: Tensor) -> Tensor:
        """Loss of every held-out image for the better of the predictors that see no image.

        One predicts the same for every place, what is the most likely over the training images; the
        other, for maps, does so at every pixel.
        """
        values, chosen = self.values[held_out], self.values[train]
        if self.is_discrete:
            counts = torch.stack([(chosen == c).sum(0) for c in range(self.channels)]).double()
            total = counts.flatten(1).sum(1) if self.is_dense else counts
            share = (total + 1) / (chosen.numel() + self.channels)
            share = share.reshape(-1, *(1,) * (counts.ndim - 1))
            predicted = [torch.log(share.expand_as(counts))]
            if self.is_dense:  # at every pixel, as if the share above had been seen once
                predicted.append(torch.log((counts + share) / (len(chosen) + 1)))
        else:
            predicted = [torch.zeros(self.values.shape[1:])]  # the mean, as they are standardised
            if self.is_dense:
                predicted.append(chosen.mean(0))
        losses = [
            self.losses(guess.float().expand(len(values), *guess.shape), values)
            for guess in predicted
        ]
        return min(losses, key=lambda loss: float(loss.mean()))


def _array(targets: Any) -> NDArray[Any]:
    expected = "a tensor or an array of labels"
    try:
        array = np.asarray(targets.detach().cpu() if isinstance(targets, Tensor) else targets)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError("targets", targets, f"{expected} ({error})") from error
    if array.dtype.kind not in "biufU":
        raise InvalidTypeError("targets", targets, f"{expected}, not {array.dtype}")
    return array
