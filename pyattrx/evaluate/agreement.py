"""How much two trees, or two groupings, agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.tree import Tree

__all__ = ["adjusted_rand_index", "cophenetic_correlation"]


def cophenetic_correlation(first: Tree, second: Tree) -> float:
    """Correlate the distances at which two trees first join every two networks.

    Pearson's correlation over all pairs of networks (Sokal and Rohlf, "The comparison of
    dendrograms by objective methods", Taxon 1962).

    Parameters
    ----------
    first, second : Tree
        Of the same networks, in any order.

    Returns
    -------
    float
        In [-1, 1]; NaN where a tree has all its joins at one distance.

    Raises
    ------
    InvalidTypeError
        An argument is no tree.
    InvalidValueError
        The trees are of different networks.

    Examples
    --------
    >>> from pyattrx.tree import build_tree
    >>> tree = build_tree([[1, 0.1, 0.8], [0.1, 1, 0.2], [0.8, 0.2, 1]], ["a", "b", "c"])
    >>> round(cophenetic_correlation(tree, tree), 6)
    1.0
    """
    for argument, tree in (("first", first), ("second", second)):
        if not isinstance(tree, Tree):
            raise InvalidTypeError(argument, tree, "a pyattrx.Tree")
    if set(first.names) != set(second.names):
        raise InvalidValueError("second", second.names, f"a tree of {list(first.names)}")
    order = [second.names.index(name) for name in first.names]
    pairs = np.triu_indices(len(order), 1)
    a = first.cophenetic()[pairs]
    b = second.cophenetic()[np.ix_(order, order)][pairs]
    if not len(a) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))


def adjusted_rand_index(first: Mapping[str, Hashable], second: Mapping[str, Hashable]) -> float:
    """Share of pairs that two groupings treat alike, corrected for chance.

    Hubert and Arabie, "Comparing partitions" (Journal of Classification 1985).

    Parameters
    ----------
    first, second : mapping of str to hashable
        Group of every network, such as `Tree.cut` gives; the groups' own names do not matter.

    Returns
    -------
    float
        1 for the same grouping, 0 on average by chance, at least -0.5.

    Raises
    ------
    InvalidTypeError
        An argument is no mapping.
    InvalidValueError
        The groupings are of different networks, or of none.

    Examples
    --------
    >>> families = {"depth": "3D", "normals": "3D", "edges": "2D", "corners": "2D"}
    >>> adjusted_rand_index(families, {"depth": 0, "normals": 0, "edges": 1, "corners": 1})
    1.0
    >>> adjusted_rand_index(families, {"depth": 0, "normals": 1, "edges": 0, "corners": 1})
    -0.5
    """
    for argument, groups in (("first", first), ("second", second)):
        if not isinstance(groups, Mapping):
            raise InvalidTypeError(argument, groups, "a mapping of names to groups")
    if set(first) != set(second) or not first:
        raise InvalidValueError("second", sorted(second), f"a group for each of {sorted(first)}")

    def pairs(labels: Any) -> int:
        return sum(math.comb(count, 2) for count in Counter(labels).values())

    both = pairs((first[name], second[name]) for name in first)
    a, b = pairs(first.values()), pairs(second.values())
    possible = math.comb(len(first), 2)
    # Whole numbers, so that equal groupings give 1 exactly.
    excess, most = 2 * (both * possible - a * b), (a + b) * possible - 2 * a * b
    return excess / most if most else 1.0
