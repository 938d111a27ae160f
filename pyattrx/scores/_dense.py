"""Labels for every location, and samples of them for scores that know images only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.scores._features import read_array
from pyattrx.scores._labels import Labels, as_they_come, dense_groups, digest_of
from pyattrx.scores._making import check_number

__all__ = ["dense_samples", "is_dense", "read_dense"]


def dense_samples(
    features: Any, label_maps: Any, *, per_image: int = 16, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw locations of images, so that scores of images can be used for dense tasks.

    Every drawn location is a sample, its image the sample's group. A location of the features has
    the label at its middle, or the mean of numbers over its area.

    Parameters
    ----------
    features : Tensor or ndarray [N, C, H, W], float16, float32 or float64
    label_maps : Tensor or ndarray
        Classes [N, h, w] (integers or booleans), or numbers [N, K, h, w] of a floating-point type.
    per_image : int
        Locations drawn of each image, without replacement; all where there are fewer.
    seed : int
        At least 0. An image's locations depend on the seed and on its place among the images.

    Returns
    -------
    samples : ndarray [M, C]
        Of the features' type.
    labels : ndarray [M] or [M, K]
    groups : ndarray [M], int64

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, or not of the same images.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.random.default_rng(0).standard_normal((20, 4, 8, 8))
    >>> maps = np.kron(features[:, 0] > 0, np.ones((2, 2), bool))  # twice as fine
    >>> samples, labels, groups = scores.dense_samples(features, maps, per_image=5)
    >>> samples.shape, scores.nearest_mean(samples, labels, groups=groups).value > 0.7
    ((100, 4), True)
    """
    check_number("per_image", per_image, whole=True, least=1)
    check_number("seed", seed, whole=True)
    shape = tuple(getattr(features, "shape", ()))
    if isinstance(features, (torch.Tensor, np.ndarray)) and (len(shape) != 4 or 0 in shape):
        raise InvalidValueError("features", list(shape), "[N, C, H, W]")
    array, _ = read_array("features", features)
    maps = _maps("label_maps", label_maps, len(array))
    height, width = array.shape[2:]
    if maps.ndim == 4:
        sized = F.adaptive_avg_pool2d(torch.from_numpy(maps.astype(np.float64)), (height, width))
        maps = np.moveaxis(sized.numpy(), 1, -1)
    else:
        rows, columns = (
            (2 * np.arange(out) + 1) * size // (2 * out)
            for out, size in ((height, maps.shape[1]), (width, maps.shape[2]))
        )
        maps = maps[:, rows[:, None], columns]
    count = min(int(per_image), height * width)
    samples, labels = [], []
    for image in range(len(array)):
        generator = np.random.default_rng([int(seed), image])
        drawn = np.sort(generator.choice(height * width, count, replace=False))
        samples.append(array[image].reshape(array.shape[1], -1)[:, drawn].T)
        labels.append(maps[image].reshape(height * width, *maps.shape[3:])[drawn])
    groups = np.repeat(np.arange(len(array)), count)
    return np.concatenate(samples), np.concatenate(labels), groups


def is_dense(labels: Any) -> bool:
    """Whether labels are maps."""
    return isinstance(labels, (torch.Tensor, np.ndarray)) and labels.ndim in (3, 4)


def read_dense(labels: Any, groups: Any, features: np.ndarray) -> tuple[Labels, np.ndarray]:
    """Check labels that are maps.

    Returns
    -------
    labels : Labels
        Sums over the locations of each image, for halves and blocks; the digest is of the maps.
    targets : ndarray [N, K, h, w], float64
        Classes one-hot.
    """
    maps = _maps("labels", labels, len(features))
    if features.ndim != 4:
        raise InvalidValueError(
            "features", list(features.shape), "maps [N, C, H, W] for labels of maps"
        )
    if maps.ndim == 4:
        kind = "dense_regression"
        targets = maps.astype(np.float64)
        exponent = int(np.frexp(np.abs(targets).max())[1])
        targets = kept = np.ldexp(targets, -exponent)
        if np.ptp(targets, axis=(0, 2, 3)).max() == 0:
            raise InvalidValueError(
                "labels", "constant maps", "labels that differ between locations"
            )
        sums = targets.mean((2, 3))
    else:
        kind = "dense_classification"
        kept = as_they_come(maps).reshape(maps.shape)
        classes = int(kept.max()) + 1
        if classes < 2:
            raise InvalidValueError("labels", f"all {maps.flat[0]!r}", "at least two classes")
        targets = (kept[:, None] == np.arange(classes)[:, None, None]).astype(np.float64)
        sums = targets.sum((2, 3))
    dense = np.arange(len(maps)) if groups is None else dense_groups(groups, len(maps))
    codes = np.zeros(len(maps), np.int64)
    digest = digest_of(kind, kept)
    return Labels(kind, codes, sums, dense, maps=digest), targets


def _maps(argument: str, maps: Any, count: int) -> np.ndarray:
    if isinstance(maps, torch.Tensor):
        maps = (maps.float() if maps.dtype == torch.bfloat16 else maps).detach().cpu().numpy()
    if not isinstance(maps, np.ndarray):
        raise InvalidTypeError(argument, maps, "a Tensor or an ndarray")
    expected = f"classes [{count}, h, w], integers, or numbers [{count}, K, h, w], floating point"
    kind = {3: "biu", 4: "f"}.get(maps.ndim, "")
    if maps.dtype.kind not in kind or len(maps) != count or 0 in maps.shape:
        raise InvalidValueError(argument, f"{maps.dtype} {list(maps.shape)}", expected)
    if maps.dtype.kind == "f" and not np.isfinite(maps).all():
        raise InvalidValueError(argument, "a NaN or an infinity", "finite values")
    return maps
