"""Scores that know no network: what a method has to beat, and what none can.

Every function returns a `Table` of the truth's targets and sources, to be judged as an affinity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate.tables import Table, as_table, mean_ranks

__all__ = [
    "baseline_scores",
    "family_scores",
    "popularity_scores",
    "random_scores",
    "retest_scores",
    "static_scores",
    "symmetrised_scores",
]


def random_scores(truth: Any, *, seed: int = 0) -> Table:
    """Score every source by chance, uniformly in [0, 1).

    Examples
    --------
    >>> random_scores([[0, 2, 1], [1, 0, 2]], seed=1).values.shape
    (2, 3)
    """
    table = as_table(truth, "truth")
    return table.with_values(np.random.default_rng(seed).random(table.values.shape))


def family_scores(truth: Any, families: Mapping[str, str]) -> Table:
    """Score 1 for sources of the target's family and 0 for the others.

    Within both there is no order: judge this with ``ties="mean"``.

    Parameters
    ----------
    truth : table, [T, S]
        With names; its values are not used.
    families : mapping of str to str
        Family of every target and source.

    Raises
    ------
    InvalidTypeError
        `families` is not a mapping.
    InvalidValueError
        It lacks a name of the truth.

    Examples
    --------
    >>> truth = Table([[0, 2, 1]], ["depth"], ["depth", "normals", "edges"])
    >>> family_scores(truth, {"depth": "3D", "normals": "3D", "edges": "2D"}).values
    array([[1., 1., 0.]])
    """
    table = as_table(truth, "truth")
    if not isinstance(families, Mapping):
        raise InvalidTypeError("families", families, "a mapping of names to families")
    for name in (*table.targets, *table.sources):
        if name not in families:
            raise InvalidValueError("families", sorted(families), f"a family for {name!r}")
    same = [[families[t] == families[s] for s in table.sources] for t in table.targets]
    return table.with_values(np.array(same, dtype=np.float64))


def popularity_scores(truth: Any) -> Table:
    """Score a source by its mean standing among the sources of all other targets.

    It uses the truth, though never the target's own row: what can be known without looking at the
    target. A standing is the share of a target's candidates that a source beats (ties count half,
    itself included). A source that no other target has gets 0.5.

    Parameters
    ----------
    truth : table, [T, S]
        With names, or square.

    Examples
    --------
    >>> truth = [[0, 3, 2, 1], [3, 0, 2, 1], [3, 2, 0, 1], [1, 3, 2, 0]]
    >>> popularity_scores(truth).values[0].round(2)
    array([0.61, 0.67, 0.5 , 0.17])
    """
    table = as_table(truth, "truth")
    standing = _standing(table)
    known = ~np.isnan(standing)
    total, count = np.where(known, standing, 0).sum(0), known.sum(0)
    others = total - np.where(known, standing, 0)
    counts = count - known
    return table.with_values(np.where(counts, others / np.maximum(counts, 1), 0.5))


def static_scores(truth: Any) -> Table:
    """Score a source by its mean z-score among the sources of all other targets.

    As `popularity_scores`, of values in place of standings: how far a source is ahead counts. One
    ranking for all targets, but for what each must not see; which is why it is called static.

    Parameters
    ----------
    truth : table, [T, S]
        With names, or square. Finite, or NaN where there is none.

    Returns
    -------
    Table
        0 for a source that no other target has, and for all sources where every other target has
        them equally good.

    Raises
    ------
    InvalidValueError
        A value is infinite.

    Examples
    --------
    >>> truth = [[0, 3, 2, 1], [3, 0, 2, 1], [3, 2, 0, 1], [1, 3, 2, 0]]
    >>> static_scores(truth).values[0].round(2)
    array([ 0.41,  0.61,  0.  , -1.22])
    """
    table = as_table(truth, "truth")
    if np.isinf(table.values).any():
        raise InvalidValueError("truth", table.values, "finite numbers, or NaN where there is none")
    known = ~(table.missing | table.own)
    standard = np.zeros(table.values.shape)
    for row, candidates in enumerate(known):
        values = table.values[row, candidates]
        if values.size and np.ptp(values) > 0:
            # Near one, exactly: no square over- or underflows.
            values = np.ldexp(values, -int(np.frexp(np.abs(values).max())[1]))
            standard[row, candidates] = (values - values.mean()) / values.std()
    counts = known.sum(0) - known
    return table.with_values((standard.sum(0) - standard) / np.maximum(counts, 1))


def symmetrised_scores(truth: Any) -> Table:
    """Give the truth the same score in both directions: a ceiling of symmetric affinities.

    Scores are the mean of two standings (see `popularity_scores`), that of the source for the
    target and that of the target, as a source, for the source. Where only one was measured, it
    counts alone. Another symmetric score can be better by a little: no search is made.

    Parameters
    ----------
    truth : table, [T, S]
        With names, or square.

    Examples
    --------
    >>> truth = [[0, 3, 2, 1], [3, 0, 2, 1], [3, 2, 0, 1], [1, 3, 2, 0]]
    >>> symmetrised_scores(truth).values[0].round(2)
    array([ nan, 0.83, 0.67, 0.17])
    """
    table = as_table(truth, "truth")
    standing = _standing(table)
    back = np.full_like(standing, np.nan)
    for i, target in enumerate(table.targets):
        for j, source in enumerate(table.sources):
            if source in table.targets and target in table.sources:
                row, column = table.targets.index(source), table.sources.index(target)
                back[i, j] = standing[row, column]
    one = np.where(np.isnan(standing), back, standing)
    return table.with_values(np.where(np.isnan(back), one, (one + back) / 2))


def retest_scores(truth: Any, other: Any) -> Table:
    """Take another measurement of the transfers as scores: how well the truth repeats itself.

    Parameters
    ----------
    truth, other : table, [T, S]
        Two measurements, such as two seeds; `other` may hold more, in any order.

    Raises
    ------
    InvalidValueError
        `other` lacks a target or a source.

    Examples
    --------
    >>> truth = Table([[0, 2]], ["a"], ["a", "b"])
    >>> retest_scores(truth, Table([[3, 0]], ["a"], ["b", "a"])).values
    array([[0., 3.]])
    """
    table = as_table(truth, "truth")
    return as_table(other, "other").select(table.targets, table.sources)


def baseline_scores(
    truth: Any, *, families: Mapping[str, str] | None = None, retest: Any = None
) -> dict[str, Table]:
    """Make the usual baselines and ceilings, by name; judge them with ``ties="mean"``.

    Parameters
    ----------
    truth : table, [T, S]
    families : mapping of str to str, optional
        Adds ``family only``.
    retest : table, optional
        Adds ``retest (ceiling)``.

    Returns
    -------
    dict of str to Table
        ``random`` has one score for all sources, which is chance exactly when ties count their
        mean.

    Examples
    --------
    >>> list(baseline_scores([[0, 2, 1], [1, 0, 2], [2, 1, 0]]))
    ['random', 'source popularity', 'symmetrised truth (ceiling)']
    """
    table = as_table(truth, "truth")
    scores = {"random": table.with_values(np.zeros(table.values.shape))}
    if families is not None:
        scores["family only"] = family_scores(table, families)
    scores["source popularity"] = popularity_scores(table)
    scores["symmetrised truth (ceiling)"] = symmetrised_scores(table)
    if retest is not None:
        scores["retest (ceiling)"] = retest_scores(table, retest)
    return scores


def _standing(table: Table) -> NDArray[np.float64]:
    """Share of a target's candidates that a source beats, NaN where it is no candidate."""
    standing = np.full(table.values.shape, np.nan)
    for row, candidates in enumerate(~(table.missing | table.own)):
        if candidates.any():
            ranks = mean_ranks(table.values[row, candidates])
            standing[row, candidates] = (ranks - 0.5) / candidates.sum()
    return standing
