"""How well each candidate's features predict what all the other candidates see.

It needs no labels: a network whose features hold what many others have learned to see is a good
place to start from. It favours generalists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pyattrx._progress import progress
from pyattrx.errors import InvalidValueError
from pyattrx.methods import NormalizedRidge, Summary, narrowed, standardized, unit_length
from pyattrx.scores import Score
from pyattrx.statistics import Residuals, jackknife_blocks, jackknife_residuals

__all__ = [
    "MANY",
    "Consensus",
    "Predictions",
    "as_scores",
    "by_every_target",
    "consensus",
    "predict",
]

_MOST_IMAGES = 256
_LEAST_GROUPS = 4  # two in each half
# A standard deviation over fewer is too uncertain to divide by.
MANY = 10


@dataclass(frozen=True, eq=False)
class Consensus:
    """What the candidates say of each other.

    Attributes
    ----------
    values : ndarray [M]
        How well each candidate predicts features of the others, by `by_every_target`.
    residuals : Residuals [G, M]
        Of a jackknife over images.
    between : ndarray [M, M]
        R^2 of the features of the first by those of the second; on the diagonal by its own, which
        counts for nothing.
    blocks : ndarray [N], int64
        Block of the jackknife that each image belongs to, of those that were used.
    """

    values: np.ndarray
    residuals: Residuals
    between: np.ndarray
    blocks: np.ndarray

    @property
    def images(self) -> int:
        """How many were used."""
        return len(self.blocks)

    @property
    def stderr(self) -> np.ndarray:
        """Standard errors, [M]."""
        return self.residuals.stderr()

    def scores(self) -> list[Score]:
        """Return one score a candidate, to stand beside those of labels; they compare pairwise."""
        # Who the others are is part of what is asked.
        asked = self.between.tobytes()
        return as_scores("consensus", self.values, self.residuals, self.blocks, asked)


def as_scores(
    name: str, values: np.ndarray, residuals: Residuals, blocks: np.ndarray, asked: bytes
) -> list[Score]:
    """Make one score a candidate of values [M] and the residuals of their jackknife [G, M].

    `asked` tells the question, and the images, from others: scores compare where it is the same.
    """
    sample = hashlib.sha256(asked + blocks.tobytes()).hexdigest()
    return [
        Score(
            name,
            float(value),
            float(stderr),
            replace(residuals, sums=residuals.sums[:, index]),
            blocks,
            sample,
            facts={"images": len(blocks)},
        )
        for index, (value, stderr) in enumerate(zip(values, residuals.stderr(), strict=True))
    ]


def consensus(
    features: Sequence[np.ndarray],
    groups: np.ndarray,
    *,
    most: int = _MOST_IMAGES,
    penalty: float = 0.1,
) -> Consensus:
    """Score candidates by what they know of each other.

    Parameters
    ----------
    features : sequence of ndarray [N, D] or [N, C, H, W]
        Of every candidate, for the same images.
    groups : ndarray [N], int64
        Images that belong together; halves and blocks are of whole groups.
    most : int
        Use the first images up to about so many: the cost grows with their third power.
    penalty : float
        Of the regressions; positive.

    Returns
    -------
    Consensus

    Raises
    ------
    InvalidValueError
        Fewer than two candidates, or fewer than four groups.

    Notes
    -----
    The score is that of ``methods.NormalizedRidge(penalty=0.1)``: ridge regression from
    features of unit length, on one half of the images and tested on the other, both ways. Features
    are of unit length on both sides, so that no image counts for more than another.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.recommending import consensus
    >>> seen = np.random.default_rng(0).standard_normal((64, 6))
    >>> found = consensus([seen, seen[:, :4], seen[:, :1]], np.arange(64))
    >>> found.values.argsort().tolist()
    [2, 1, 0]
    """
    if len(features) < 2:
        raise InvalidValueError("features", len(features), "those of at least two candidates")
    found = predict(features, features, groups, most=most, penalty=penalty)
    values = by_every_target(found.values)
    residuals = jackknife_residuals(values, by_every_target(found.without), found.blocks)
    return Consensus(values, residuals, found.values, found.blocks)


@dataclass(frozen=True, eq=False)
class Predictions:
    """How well features of sources predict those of targets.

    Attributes
    ----------
    values : ndarray [T, S]
        R^2.
    without : ndarray [K, T, S]
        The same without each block of images.
    blocks : ndarray [N], int64
        Block of each image that was used.
    """

    values: np.ndarray
    without: np.ndarray
    blocks: np.ndarray


def predict(
    targets: Sequence[np.ndarray],
    sources: Sequence[np.ndarray],
    groups: np.ndarray,
    *,
    most: int = _MOST_IMAGES,
    penalty: float = 0.1,
) -> Predictions:
    """Predict features of targets from those of sources; parameters as of `consensus`.

    Raises
    ------
    InvalidValueError
        Fewer than four groups.
    """
    groups = np.unique(np.asarray(groups), return_inverse=True)[1]
    chosen = _first_groups(groups, most)
    groups = np.unique(groups[chosen], return_inverse=True)[1]
    if int(groups.max(initial=-1)) + 1 < _LEAST_GROUPS:
        raise InvalidValueError(
            "groups", int(groups.max(initial=-1)) + 1, "at least four groups of images"
        )
    method = NormalizedRidge(penalty=penalty)
    known = [_summary(method, values[chosen]) for values in sources]
    same = targets is sources
    asked = known if same else [_summary(method, values[chosen]) for values in targets]
    blocks = jackknife_blocks(groups)
    values = np.empty((len(asked), len(known)))
    without = np.empty((int(blocks.max()) + 1, *values.shape))
    with progress("consensus" if same else "predictions of the target", len(known)) as step:
        for column, source in enumerate(known):
            found, left_out = method.compare(asked, [source], groups, blocks)
            values[:, column], without[:, :, column] = found[:, 0], left_out[:, :, 0]
            step(1)
    for block in range(len(without)):
        if len(np.unique(groups[blocks != block])) < _LEAST_GROUPS:
            without[block] = np.nan  # too few to say anything: there is no error then
    return Predictions(values, without, blocks)


def by_every_target(between: np.ndarray) -> np.ndarray:
    """Rate sources by what every target says of them.

    Parameters
    ----------
    between : ndarray [..., M, M]
        A score of every source (columns) for every target (rows). The diagonal counts for nothing.

    Returns
    -------
    ndarray [..., M]
        The mean over the other targets of a source's score. Of `MANY` networks or more, scores are
        taken in standard deviations from the mean of their target's, so that all targets count
        alike; one whose scores are all alike says nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.recommending.agreement import by_every_target
    >>> by_every_target(np.array([[1, 0.25, 0.5], [0.5, 1, 0.5], [0.5, 0.75, 1]])).tolist()
    [0.5, 0.5, 0.5]
    """
    count = between.shape[-1]
    said = standardized(between) if count >= MANY else between
    return np.asarray(np.where(np.eye(count, dtype=bool), 0.0, said).sum(-2) / (count - 1))


def _first_groups(groups: np.ndarray, most: int) -> np.ndarray:
    """Images of the first groups, whole, as long as there is room; at least of four groups."""
    if len(groups) <= most:
        return np.arange(len(groups))
    first: dict[int, list[int]] = {}
    for index, group in enumerate(groups.tolist()):
        first.setdefault(group, []).append(index)
    chosen: list[int] = []
    for taken, members in enumerate(first.values()):
        if taken >= 4 and len(chosen) + len(members) > most:
            break
        chosen += members
    return np.sort(np.array(chosen, np.int64))


def _summary(method: NormalizedRidge, values: np.ndarray) -> Summary:
    unit = unit_length(torch.from_numpy(np.asarray(values, np.float64)))
    if unit.dim() == 2 and unit.shape[1] > len(unit):
        unit = torch.from_numpy(narrowed(unit.numpy()))  # here, once, and not for every other
    unit = unit.float()[:, None]
    return method.summarize({"output": unit, "features": unit.clone()})
