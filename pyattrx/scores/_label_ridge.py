"""The directional score `normalized_ridge`, with labels in the target's place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pyattrx.errors import InvalidValueError
from pyattrx.methods import ROUNDINGS, Moments, cross_fitted_r2, narrowed
from pyattrx.scores._blocks import in_order
from pyattrx.scores._dense import is_dense, read_dense
from pyattrx.scores._features import read_array
from pyattrx.scores._labels import read_labels
from pyattrx.scores._making import check_groups, check_number, from_blocks
from pyattrx.scores._result import Score
from pyattrx.statistics import jackknife_blocks, jackknife_residuals

__all__ = ["label_ridge"]

_CHUNK_ELEMENTS = 1 << 20


def label_ridge(
    features: Any,
    labels: Any,
    *,
    groups: Any = None,
    penalty: float = 0.1,
    largest_grid: int = 16,
    pool: int | None = None,
) -> Score:
    """Score features by how well they predict labels, as `normalized_ridge` predicts networks.

    Features of unit length at every location predict the labels (classes one-hot) by ridge
    regression, fitted on one half of the groups and tested on the other, and the other way round;
    the value is the mean R^2, pooled over columns.

    Parameters
    ----------
    features : Tensor or ndarray [N, D] or [N, C, H, W], float16, float32 or float64
    labels : Tensor or array_like
        Of images: classes [N] (integers, strings or booleans), or numbers [N] or [N, K] (of a
        floating-point type; booleans, or integers 0 and 1, where they are [N, K]); features are
        flattened then. Or maps, for features that are maps: classes [N, h, w] (integers) or numbers
        [N, K, h, w]; both are area-resampled to the smaller height and width then, and samples are
        locations of images.
    groups : array_like [N], optional
        Images that are in one half together.
    penalty : float, positive
        Of the squared weights, in units of the mean diagonal of the smaller Gram matrix, of samples
        or of features.
    largest_grid : int
        Features with more rows or columns than this are area-resampled to it.
    pool : int, optional
        Area-resample features, of unit length, to so many rows and columns; 2 keeps coarse places
        at a small cost.

    Returns
    -------
    Score
        In (-inf, 1]. ``facts["grid"]``, where labels are maps: the height and width that they were
        predicted at.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all the same; fewer than two
        groups; options that are none.

    Notes
    -----
    The numbers are those of ``methods.NormalizedRidge(penalty=0.1)``, with labels as the
    target's output, but for the halves: those have every class evenly (or large and small numbers),
    in whatever order the images come. Maps of classes are dealt out by the class that has most of
    an image, and by its share. Each image's own scale does not matter, nor does a rotation
    of the channels; the origin does. The standard error is that of a jackknife over at most 16
    blocks with groups of both halves, whose moments are subtracted from those of all.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.random.default_rng(0).standard_normal((64, 4, 3, 3))
    >>> maps = features[:, 0] > 0  # a class for every location
    >>> 0.2 < scores.label_ridge(features, maps.astype(int)).value < 1
    True
    """
    check_number("penalty", penalty)
    check_number("largest_grid", largest_grid, whole=True, least=1)
    if pool is not None:
        check_number("pool", pool, whole=True, least=1)
    array, eps = _read(features, pool)
    if is_dense(labels):
        read, targets = read_dense(labels, groups, array)
    else:
        read = read_labels(labels, groups, ("classification", "regression", "multilabel"))
        targets = read.columns(slice(None))[:, None]
    check_groups(read, 2)
    if len(array) != len(read):
        raise InvalidValueError(
            "features", list(array.shape), f"{len(read)} images, one for each label"
        )
    most = int(largest_grid)
    grid = None
    if targets.ndim == 4:
        # The target's maps first shrink to the largest grid, as those of a network do.
        targets = _pooled(targets, most)
        sizes = [min(most if pool is None else pool, size) for size in array.shape[2:]]
        height, width = np.minimum(sizes, targets.shape[2:])
        grid = int(height), int(width)
    samples = _Samples(array, eps, most, pool, grid)
    if targets.ndim == 4:
        assert grid is not None
        resampled = F.adaptive_avg_pool2d(torch.from_numpy(targets), grid).numpy()
        targets = np.moveaxis(resampled, 1, -1).reshape(len(targets), -1, targets.shape[1])
    targets = targets - targets.mean((0, 1))
    places = in_order(read)
    blocks = jackknife_blocks(places)

    def moments(chosen: np.ndarray) -> Moments:
        sums = Moments(samples.columns, targets.shape[2])
        for some in samples.slices(chosen):
            rows, aims = samples.rows(some), targets[some]
            sums.add(rows.reshape(-1, rows.shape[2]), aims.reshape(-1, aims.shape[2]))
        return sums

    values, without = cross_fitted_r2(
        moments, places % 2, blocks, float(penalty), width=samples.width
    )
    value, residuals = values[0], jackknife_residuals(values[0], without[:, 0], blocks)
    options = {"penalty": float(penalty), "largest_grid": most, "pool": pool}
    facts = {} if grid is None else {"grid": list(grid)}
    return from_blocks("label_ridge", float(value), residuals, blocks, read, options, facts)


class _Samples:
    """Features of unit length at every location, [N, L, C], computed some images at a time."""

    def __init__(
        self, array: np.ndarray, eps: float, most: int, pool: int | None, grid: Any
    ) -> None:
        self._array = array
        self._most = most
        self._pool = pool
        self._grid = grid
        self._step = max(1, _CHUNK_ELEMENTS // max(1, array[0].size))
        # Features become float32 as a network's would, so that the numbers are the same.
        self._dtype = np.float64 if array.dtype == np.float64 else np.float32
        self._eps = max(eps, float(np.finfo(self._dtype).eps))
        self._still = np.zeros(array.shape[1], bool)
        low, high = np.inf, -np.inf
        for some in self.slices(np.arange(len(array))):
            x = np.moveaxis(self._unit(some), 1, 0).reshape(array.shape[1], -1)
            low, high = np.minimum(low, x.min(1)), np.maximum(high, x.max(1))
        self._still = np.asarray(
            high - low <= ROUNDINGS * self._eps * np.maximum(high, -np.asarray(low))
        )
        self._turned: np.ndarray | None = None
        _, self.places, self.width = self.rows(np.arange(1)).shape
        if self.width > len(array) * self.places:
            self._turned = self._narrow()

    def __len__(self) -> int:
        return len(self._array)

    @property
    def columns(self) -> int:
        """Columns of what `rows` gives."""
        return self.width if self._turned is None else int(self._turned.shape[2])

    def slices(self, chosen: np.ndarray) -> list[np.ndarray]:
        """Deal images to pieces that are taken at once."""
        return [chosen[at : at + self._step] for at in range(0, len(chosen), self._step)]

    def rows(self, some: np.ndarray) -> np.ndarray:
        """Some images, [n, L, C] float64."""
        if self._turned is not None:
            return np.asarray(self._turned[some])
        x = self._unit(some).astype(np.float64)
        x[:, self._still] = 0
        if self._grid is None:
            return np.asarray(x.reshape(len(x), 1, -1))
        if x.shape[2:] != self._grid:
            x = F.adaptive_avg_pool2d(torch.from_numpy(x), self._grid).numpy()
        return np.moveaxis(x, 1, -1).reshape(len(x), -1, x.shape[1])

    def _unit(self, some: np.ndarray) -> np.ndarray:
        x = self._array[some].astype(np.float64)
        largest = np.abs(x).max(1, keepdims=True)
        x /= np.where(largest == 0, 1.0, largest)
        norm = np.sqrt(np.square(x).sum(1, keepdims=True))
        x /= np.where(norm == 0, 1.0, norm)
        x = np.asarray(x.astype(self._dtype))
        if x.ndim == 4:
            x = _pooled(x, self._most)
            if self._pool is not None:
                x = _pooled(x, self._pool)
        return np.asarray(x)

    def _narrow(self) -> np.ndarray:
        """All samples, turned, in no more dimensions than there are samples."""
        flat = self.rows(np.arange(len(self))).reshape(-1, self.width)
        return narrowed(flat).reshape(len(self), self.places, len(flat))


def _pooled(maps: np.ndarray, most: int) -> np.ndarray:
    height, width = maps.shape[2:]
    if max(height, width) <= most:
        return maps
    size = (min(height, most), min(width, most))
    return np.asarray(F.adaptive_avg_pool2d(torch.from_numpy(maps), size).numpy())


def _read(features: Any, pool: int | None) -> tuple[np.ndarray, float]:
    shape = tuple(getattr(features, "shape", ()))
    expected = "[N, C, H, W]" if pool is not None else "[N, D] or [N, C, H, W]"
    if isinstance(features, (torch.Tensor, np.ndarray)) and (
        len(shape) not in ((4,) if pool is not None else (2, 4)) or 0 in shape
    ):
        raise InvalidValueError("features", list(shape), expected)
    return read_array("features", features)
