"""How many sources are taken, and how many are relevant, where nobody says."""

from __future__ import annotations

from pyattrx._checks import integer

__all__ = ["random_precision", "usual_counts", "usual_relevant"]

_COUNTS = (1, 3, 5)
_RELEVANT = 5  # of Song et al. 2019


def usual_counts(candidates: int) -> list[int]:
    """Return 1, 3 and 5 sources to take, of those that there are.

    Examples
    --------
    >>> from pyattrx.evaluate.usual import usual_counts
    >>> usual_counts(4)
    [1, 3]
    """
    return [count for count in _COUNTS if count <= candidates]


def usual_relevant(candidates: int) -> int:
    """Return 5 relevant sources, or half of the candidates where there are 5 or fewer.

    If all were relevant, every ranking would be perfect.

    Examples
    --------
    >>> from pyattrx.evaluate.usual import usual_relevant
    >>> [usual_relevant(candidates) for candidates in (1, 4, 5, 6, 20)]
    [1, 2, 2, 5, 5]
    """
    return _RELEVANT if candidates > _RELEVANT else max(1, candidates // 2)


def random_precision(n_sources: int, relevant: int | None = None) -> float:
    """Precision to be expected, at any K, of a ranking by chance.

    Parameters
    ----------
    n_sources : int
        Number of candidate sources, the target itself not counted.
    relevant : int, optional
        How many of them are relevant, from 1 to `n_sources`; if left out as for `precision_at_k`.

    Returns
    -------
    float
        `relevant` / `n_sources`, in (0, 1].

    Raises
    ------
    InvalidTypeError
        If an argument is not an integer.
    InvalidValueError
        If an argument is out of range.

    Examples
    --------
    >>> from pyattrx.evaluate import random_precision
    >>> round(random_precision(19), 3)
    0.263
    """
    count = integer("n_sources", n_sources, least=1)
    if relevant is None:
        return usual_relevant(count) / count
    return integer("relevant", relevant, least=1, most=count) / count
