"""Taskonomy's affinities from measured transfers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["transfer_affinities"]

_LEAST, _MOST = 0.001, 0.999  # win rates are clipped to these


def transfer_affinities(losses: Any) -> NDArray[np.float64]:
    """Make affinities of the losses that transfers have on held-out images (Taskonomy's AHP).

    For one target, w[i, j] is the share of the images on which source i has a lower loss than
    source j (a tie counts half to each), clipped to [.001, .999]. The target's affinities are the
    principal eigenvector of w[i, j] / w[j, i], scaled to a sum of 1: the "ordinal normalisation"
    by the analytic hierarchy process of Zamir et al., "Taskonomy: Disentangling Task Transfer
    Learning" (CVPR 2018), section 3.3. They depend on the order of the losses alone, so targets
    with losses of different kinds become comparable.

    Parameters
    ----------
    losses : array_like, [T, S, N]
        Loss of target t, transferred from source s, on its held-out image n; smaller is better.
        NaN for all images of a source that was not transferred to a target.

    Returns
    -------
    ndarray, [T, S], float64
        Positive, rows summing to 1, larger is better; NaN for sources that were not transferred.

    Raises
    ------
    InvalidTypeError
        No real numbers.
    InvalidValueError
        Not three dimensions, no image, a NaN beside numbers, a target without transfers.

    Examples
    --------
    >>> losses = [[[1.0, 1.0, 3.0, 2.0], [2.0, 2.0, 1.0, 9.0]]]
    >>> transfer_affinities(losses)
    array([[0.75, 0.25]])
    """
    try:
        measured = np.asarray(losses)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError("losses", losses, f"an array of real numbers ({error})") from error
    if measured.dtype.kind not in "biuf":
        raise InvalidTypeError("losses", losses, f"an array of real numbers, not {measured.dtype}")
    if measured.ndim != 3 or measured.size == 0:
        raise InvalidValueError(
            "losses", measured.shape, "losses [targets, sources, images], not empty"
        )
    missing = np.isnan(measured)
    partly = np.argwhere(missing.any(2) & ~missing.all(2))
    if len(partly):
        target, source = (int(i) for i in partly[0])
        expected = f"a loss for every image or for none (target {target}, source {source})"
        raise InvalidValueError("losses", float("nan"), expected)
    affinities = np.full(measured.shape[:2], np.nan)
    for target, row in enumerate(measured):
        there = np.flatnonzero(~missing[target, :, 0])
        if not len(there):
            expected = f"at least one source of every target (target {target} has none)"
            raise InvalidValueError("losses", float("nan"), expected)
        affinities[target, there] = _principal(np.clip(_win_rates(row[there]), _LEAST, _MOST))
    return affinities


def _win_rates(losses: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the images on which one source beats another, [S, S], of losses [S, N]."""
    wins = [(loss < losses).mean(1) + 0.5 * (loss == losses).mean(1) for loss in losses]
    return np.array(wins)


def _principal(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvector of the largest eigenvalue, which is real and positive (Perron)."""
    values, vectors = np.linalg.eig(rates / rates.T)
    vector = np.abs(vectors[:, np.argmax(values.real)].real)
    scaled: NDArray[np.float64] = vector / vector.sum()
    return scaled
