"""Task similarity trees: hierarchical clustering of networks by their affinities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from pyattrx._checks import integer
from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["Tree", "TreeForm", "build_tree"]

TreeForm = Literal["published", "affinity"]

_PLAIN_LABEL = re.compile(r"[A-Za-z0-9.+-]+")
_ROUNDING = 1e-6  # how far above 1 rounding may push the affinity of two equal networks


@dataclass(frozen=True, eq=False)
class Tree:
    """A hierarchical clustering of networks.

    Parameters
    ----------
    names : tuple of str
        Names of the M networks, all different, in the order that `linkage` refers to.
    linkage : array_like, [M - 1, 4], float64
        Merges in SciPy's form (the two clusters, their distance, the number of networks), in
        order of distance. M = 1 has a linkage of shape [0, 4]. Kept read-only.

    Raises
    ------
    InvalidTypeError
        If `names` is not a sequence of strings, or `linkage` holds no numbers.
    InvalidValueError
        If there is no name, if two names are equal, or if `linkage` is not a valid linkage of
        M networks with finite, non-negative, ascending distances.

    Examples
    --------
    >>> tree = Tree(("a", "b", "c"), [[0, 2, 0.5, 2], [1, 3, 2.0, 3]])
    >>> tree.leaves
    ('a', 'c', 'b')
    >>> tree.cut(2)
    {'a': 0, 'c': 0, 'b': 1}
    >>> tree.newick()
    '((a:0.25,c:0.25):0.75,b:1.0);'
    """

    names: tuple[str, ...]
    linkage: NDArray[np.float64]

    def __post_init__(self) -> None:
        names = _checked_names(self.names)
        linkage = _numbers("linkage", self.linkage)
        _check_linkage(linkage, len(names))
        linkage.setflags(write=False)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "linkage", linkage)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tree):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.linkage, other.linkage)

    def __hash__(self) -> int:
        return hash((self.names, self.linkage.tobytes()))

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Positions in `names` from the first leaf to the last.

        At every merge the larger side comes first; of two equal sides, the one with the
        alphabetically first name. So the order does not depend on that of `names`.
        """
        count = len(self.names)
        ranks = [(-1, name) for name in self.names]
        sides: list[tuple[int, int]] = []
        for a, b in self._merges():
            first, second = sorted((a, b), key=lambda node: ranks[node])
            sides.append((first, second))
            size = ranks[a][0] + ranks[b][0]
            ranks.append((size, min(ranks[a][1], ranks[b][1])))
        order = []
        pending = [len(ranks) - 1]
        while pending:  # single linkage makes chains, too deep for recursion
            node = pending.pop()
            if node < count:
                order.append(node)
            else:
                pending.extend(reversed(sides[node - count]))
        return tuple(order)

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names from the first leaf to the last: `names` in the order of `order`."""
        return tuple(self.names[i] for i in self.order)

    def cut(self, k: int) -> dict[str, int]:
        """Cut the tree into exactly `k` groups by undoing its last `k` - 1 merges.

        Parameters
        ----------
        k : int
            Number of groups, from 1 to the number of networks.

        Returns
        -------
        dict of str to int
            Group of every network, 0 to `k` - 1, numbered and listed in leaf order.

        Raises
        ------
        InvalidTypeError
            If `k` is not an integer.
        InvalidValueError
            If `k` is out of range.

        Examples
        --------
        >>> Tree(("a", "b", "c"), [[1, 2, 0.5, 2], [0, 3, 2.0, 3]]).cut(2)
        {'b': 0, 'c': 0, 'a': 1}
        """
        count = len(self.names)
        integer("k", k, 1, count, ", the number of networks")
        members = {i: [i] for i in range(count)}
        for step, (a, b) in enumerate(self._merges()[: count - int(k)]):
            members[count + step] = members.pop(a) + members.pop(b)
        cluster_of = {leaf: node for node, leaves in members.items() for leaf in leaves}
        numbers: dict[int, int] = {}
        return {
            self.names[leaf]: numbers.setdefault(cluster_of[leaf], len(numbers))
            for leaf in self.order
        }

    def newick(self) -> str:
        """Write the tree in the Newick format, children in leaf order.

        Returns
        -------
        str
            Branch lengths are such that the way from one leaf to another is as long as their
            `cophenetic` distance. Names other than letters, digits, ``.``, ``+`` and ``-`` are
            quoted, quotes in them doubled.

        Examples
        --------
        >>> Tree(("res_net", "it's"), [[0, 1, 0.5, 2]]).newick()
        "('it''s':0.25,'res_net':0.25);"
        """
        count = len(self.names)
        position = {leaf: i for i, leaf in enumerate(self.order)}
        # Every open subtree: its text, the height of its root, the position of its first leaf.
        subtrees = {i: (_newick_label(name), 0.0, position[i]) for i, name in enumerate(self.names)}
        for step, (a, b) in enumerate(self._merges()):
            height = float(self.linkage[step, 2])
            sides = sorted((subtrees.pop(a), subtrees.pop(b)), key=lambda side: side[2])
            inner = ",".join(f"{text}:{(height - below) / 2!r}" for text, below, _ in sides)
            subtrees[count + step] = (f"({inner})", height, sides[0][2])
        ((text, _, _),) = subtrees.values()
        return f"{text};"

    def cophenetic(self) -> NDArray[np.float64]:
        """Distances at which two networks first share a cluster.

        Returns
        -------
        ndarray, [M, M], float64
            In the order of `names`; symmetric, zeros on the diagonal.

        Examples
        --------
        >>> Tree(("a", "b"), [[0, 1, 0.5, 2]]).cophenetic()
        array([[0. , 0.5],
               [0.5, 0. ]])
        """
        if len(self.names) == 1:
            return np.zeros((1, 1))
        distances: NDArray[np.float64] = squareform(hierarchy.cophenet(self.linkage))
        return distances

    def _merges(self) -> list[tuple[int, int]]:
        return [(int(a), int(b)) for a, b in self.linkage[:, :2]]


def build_tree(values: ArrayLike, names: Sequence[str], *, form: TreeForm = "published") -> Tree:
    """Cluster networks by their affinities.

    Parameters
    ----------
    values : array_like, [M, M]
        Affinities, larger is nearer; rows are targets, columns are sources.
    names : sequence of str
        Names of the M networks, all different.
    form : {"published", "affinity"}
        ``"published"``: single linkage on the Euclidean distances between the rows of `values`,
        diagonal included. This is what MATLAB's `linkage` does by default with the affinity
        matrix, and so the task similarity tree of Song et al., "Deep Model Transferability from
        Attribution Maps" (NeurIPS 2019).
        ``"affinity"``: average linkage on the distances 1 - affinity, the mean of both directions
        where they differ. Needs affinities of at most 1; the diagonal is not used.

    Returns
    -------
    Tree
        Its linkage refers to `names` in the order given. The same networks in another order give
        the same tree to the last bit, ties included: they are clustered in the order of their
        names. One network gives a single leaf.

    Raises
    ------
    InvalidTypeError
        If `values` holds no real numbers or `names` is not a sequence of strings.
    InvalidValueError
        If `values` is not square, has a NaN or an infinity, is too large for float64 distances or
        (``"affinity"``) exceeds 1 off the diagonal; if there is no network, two names are equal or
        their number differs from M; if `form` is unknown.

    Examples
    --------
    >>> affinity = [[1.0, 0.1, 0.8], [0.1, 1.0, 0.2], [0.8, 0.2, 1.0]]
    >>> build_tree(affinity, ["depth", "edges", "normals"]).leaves
    ('depth', 'normals', 'edges')
    >>> build_tree(affinity, ["depth", "edges", "normals"], form="affinity").linkage.round(3)
    array([[0.  , 2.  , 0.2 , 2.  ],
           [1.  , 3.  , 0.85, 3.  ]])
    """
    if form not in ("published", "affinity"):
        raise InvalidValueError("form", form, "'published' or 'affinity'")
    names = _checked_names(names)
    matrix = _checked_affinity(values, names)
    count = len(names)
    if count == 1:
        return Tree(names, np.empty((0, 4)))
    by_name = np.array(sorted(range(count), key=lambda i: names[i]))
    matrix = matrix[np.ix_(by_name, by_name)]
    if form == "published":
        method, distances = "single", pdist(matrix)
    else:
        method, distances = "average", _affinity_distances(matrix)
    if not np.isfinite(distances).all():
        raise InvalidValueError("values", float(np.abs(matrix).max()), "distances that fit float64")
    linkage = hierarchy.linkage(distances, method)
    children = linkage[:, :2].astype(int)
    is_leaf = children < count
    children[is_leaf] = by_name[children[is_leaf]]
    linkage[:, :2] = np.sort(children, axis=1)  # SciPy's convention: the smaller number first
    return Tree(names, linkage)


def _affinity_distances(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    affinity = squareform(matrix / 2 + matrix.T / 2, checks=False)
    if affinity.max() > 1 + _ROUNDING:
        expected = "affinities of at most 1 for form='affinity', whose distance is 1 - affinity"
        raise InvalidValueError("values", float(affinity.max()), expected)
    distances: NDArray[np.float64] = np.maximum(1 - affinity, 0)
    return distances


def _checked_names(names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, (Sequence, np.ndarray)):
        raise InvalidTypeError("names", names, "a sequence of strings")
    for name in names:
        if not isinstance(name, str):
            raise InvalidTypeError("names", name, "strings only")
    checked = tuple(str(name) for name in names)
    if not checked:
        raise InvalidValueError("names", names, "at least one network")
    repeated = next((name for name in checked if checked.count(name) > 1), None)
    if repeated is not None:
        raise InvalidValueError("names", repeated, "every name only once")
    return checked


def _numbers(argument: str, values: Any) -> NDArray[np.float64]:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(argument, values, f"an array of real numbers ({error})") from error
    if array.dtype.kind not in "biuf":
        raise InvalidTypeError(argument, values, f"an array of real numbers, not {array.dtype}")
    return array.astype(np.float64)


def _checked_affinity(values: Any, names: tuple[str, ...]) -> NDArray[np.float64]:
    matrix = _numbers("values", values)
    if matrix.shape != (len(names), len(names)):
        expected = f"shape ({len(names)}, {len(names)}), as there are {len(names)} names"
        raise InvalidValueError("values", matrix.shape, expected)
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        target, source = bad[0]
        where = f"target {names[target]!r}, source {names[source]!r}"
        raise InvalidValueError(
            "values", float(matrix[target, source]), f"finite affinities ({where})"
        )
    return matrix


def _check_linkage(linkage: NDArray[np.float64], count: int) -> None:
    if linkage.shape != (count - 1, 4):
        expected = f"shape ({count - 1}, 4), as there are {count} names"
        raise InvalidValueError("linkage", linkage.shape, expected)
    if count == 1:
        return
    try:
        hierarchy.is_valid_linkage(linkage, throw=True)
    except ValueError as error:
        raise InvalidValueError("linkage", linkage, f"a valid SciPy linkage ({error})") from error
    heights = linkage[:, 2]
    if not np.isfinite(heights).all() or (np.diff(heights) < 0).any():
        raise InvalidValueError("linkage", heights, "finite distances in ascending order")


def _newick_label(name: str) -> str:
    return name if _PLAIN_LABEL.fullmatch(name) else "'" + name.replace("'", "''") + "'"
