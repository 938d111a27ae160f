"""LEEP and NCE: how well the classes that a candidate was trained on tell the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.scores._blocks import deal
from pyattrx.scores._features import read_array
from pyattrx.scores._labels import Labels, read_labels
from pyattrx.scores._making import from_blocks
from pyattrx.scores._result import Score
from pyattrx.statistics import jackknife_residuals

__all__ = ["leep", "likelihood", "nce"]

# Probabilities of an image may miss a sum of 1 by so much: float16 rounds a thousand of them.
_SLACK = 2e-2
_CHUNK = 1024


def leep(probabilities: Any, labels: Any, *, groups: Any = None) -> Score:
    """Score a classifier by its probabilities of its own classes: LEEP.

    ``mean over images of log sum_z P(y | z) p(z | x)``, with ``P(y | z)`` from the joint table of
    all images, ``P(y, z) = mean of 1(y_i = y) p(z | x_i)``.

    Parameters
    ----------
    probabilities : Tensor or ndarray [N, S], float16, float32 or float64
        Of the S classes that the candidate was trained on, after softmax.
    labels : Tensor or array_like [N], integers, strings or booleans
    groups : array_like [N], optional
        Images that belong together, for the standard error.

    Returns
    -------
    Score
        In (-inf, 0], at least minus the entropy of the labels.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Labels that are none or of one class; probabilities that are none: negative, or not of sum 1
        within 0.02 for every image (logits, say, or arguments that were swapped).

    Notes
    -----
    Nguyen, Hassner, Seeger, Archambeau, LEEP: a new measure to evaluate transferability of learned
    representations, ICML 2020. Published codes take labels and probabilities in either
    order, and some divide the table along the wrong axis: here ``P(y | z)`` sums to 1 over labels.
    Probabilities are divided by their sum. With more source classes than images each image has a
    column of its own, and the value says little.

    The standard error is that of a jackknife over at most 16 blocks (`blocks`).

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> certain = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> scores.leep(certain, ["a", "a", "b", "b"]).value
    0.0
    >>> round(scores.leep(certain, ["a", "b", "a", "b"]).value, 4)  # log(1 / 2)
    -0.6931
    """
    read = read_labels(labels, groups, ("classification",))
    theta = _probabilities(probabilities, len(read))
    return likelihood("leep", theta, read)


def nce(predictions: Any, labels: Any, *, groups: Any = None) -> Score:
    """Score a classifier by its predictions: negative conditional entropy.

    ``-H(Y | Z)`` of labels y and predicted classes z.

    Parameters
    ----------
    predictions : Tensor or array_like [N], integers or strings
        The class, of those that the candidate was trained on, that it predicts for each image.
    labels : Tensor or array_like [N], integers, strings or booleans
    groups : array_like [N], optional
        Images that belong together, for the standard error.

    Returns
    -------
    Score
        In (-inf, 0], at least minus the entropy of the labels.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Labels or predictions that are none, or labels of one class.

    Notes
    -----
    Tran, Nguyen, Hassner, Transferability and hardness of supervised classification tasks, ICCV
    2019. Published codes that swap the arguments compute ``-H(Z | Y)``. It is `leep`
    of probabilities 0 and 1. It rewards many predicted classes: where each image has one of its own
    the value is 0.

    The standard error is that of a jackknife over at most 16 blocks (`blocks`).

    Examples
    --------
    >>> from pyattrx import scores
    >>> round(scores.nce([0, 0, 1, 1], ["a", "b", "c", "c"]).value, 4)  # log(2) / 2, negated
    -0.3466
    """
    read = read_labels(labels, groups, ("classification",))
    codes = _predictions(predictions, len(read))
    blocks = deal(read, 16)
    whole = np.zeros((read.width, int(codes.max()) + 1))
    np.add.at(whole, (read.codes, codes), 1)
    value = _negative_entropy(whole)
    without = np.empty(int(blocks.max()) + 1)
    for block in range(len(without)):
        chosen = blocks == block
        left = whole.copy()
        np.subtract.at(left, (read.codes[chosen], codes[chosen]), 1)
        without[block] = _negative_entropy(left) if left.any() else np.nan
    residuals = jackknife_residuals(np.array(value), without, blocks)
    return from_blocks("nce", value, residuals, blocks, read)


def likelihood(
    name: str,
    theta: np.ndarray,
    labels: Labels,
    options: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
) -> Score:
    """LEEP of probabilities [N, S], with a jackknife over blocks."""
    blocks = deal(labels, 16)
    count = int(blocks.max()) + 1
    order = np.argsort(blocks, kind="stable")
    table = np.zeros((labels.width, theta.shape[1]))
    for some in _chunks(order):
        table += labels.columns(some).T @ theta[some]
    value = _expected(table, theta, labels, order)
    without = np.empty(count)
    for block in range(count):
        chosen = blocks[order] == block
        left = table.copy()
        for some in _chunks(order[chosen]):
            left -= labels.columns(some).T @ theta[some]
        # What rounding leaves of zero may be negative.
        left[left < 1e-12 * table] = 0
        kept = order[~chosen]
        without[block] = _expected(left, theta, labels, kept) if len(kept) else np.nan
    residuals = jackknife_residuals(np.array(value), without, blocks)
    return from_blocks(name, value, residuals, blocks, labels, options, facts)


def _expected(table: np.ndarray, theta: np.ndarray, labels: Labels, chosen: np.ndarray) -> float:
    """Mean log probability of the labels of some images, by a joint table [K, S]."""
    sums = table.sum(0)
    given = table / np.where(sums > 0, sums, 1.0)  # P(y | z), [K, S]
    total = 0.0
    for some in _chunks(chosen):
        own = np.einsum("ns,ns->n", theta[some], given[labels.codes[some]])
        total += float(np.log(np.clip(own, np.finfo(np.float64).tiny, 1.0)).sum())
    return total / len(chosen)


def _negative_entropy(table: np.ndarray) -> float:
    given = table / np.maximum(table.sum(0), 1)
    logs = np.log(np.where(table > 0, given, 1.0))
    return float((table * logs).sum() / table.sum())


def _chunks(chosen: np.ndarray) -> list[np.ndarray]:
    return [chosen[first : first + _CHUNK] for first in range(0, len(chosen), _CHUNK)]


def _probabilities(value: Any, count: int) -> np.ndarray:
    shape = tuple(getattr(value, "shape", ()))
    if isinstance(value, (torch.Tensor, np.ndarray)) and (
        len(shape) != 2 or shape[0] != count or shape[1] == 0
    ):
        raise InvalidValueError(
            "probabilities", list(shape), f"[{count}, S], a row for every label"
        )
    array = read_array("probabilities", value)[0].astype(np.float64)
    low = array.min(1)
    sums = array.sum(1)
    wrong = np.flatnonzero((low < 0) | (np.abs(sums - 1) > _SLACK))
    if len(wrong):
        row = wrong[0]
        raise InvalidValueError(
            "probabilities",
            f"of image {row}: least {low[row]:g}, sum {sums[row]:g}",
            "none negative, of sum 1 for every image (apply softmax to logits)",
        )
    array /= sums[:, None]
    return np.asarray(array)


def _predictions(value: Any, count: int) -> np.ndarray:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuU":
        raise InvalidTypeError("predictions", str(array.dtype), "classes: integers or strings")
    if array.shape != (count,):
        raise InvalidValueError("predictions", list(array.shape), f"[{count}], one for every label")
    codes = np.unique(array, return_inverse=True)[1]
    return np.asarray(codes.reshape(-1))
