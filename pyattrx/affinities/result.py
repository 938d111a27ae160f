"""The affinities of a set of networks, with what is needed to judge them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyattrx._saved import saved, write_saved
from pyattrx.affinities.html import as_html
from pyattrx.errors import InvalidTypeError, InvalidValueError, MissingDependencyError
from pyattrx.statistics import (
    Match,
    Residuals,
    check_ranking,
    degrees_of_freedom,
    jackknife_residuals,
    jsonable,
    paired_p_values,
    rank,
)

if TYPE_CHECKING:
    from pyattrx.tree import Tree, TreeForm

__all__ = ["Affinity", "Match"]

_FORMAT = "pyattrx-affinity-1"


@dataclass(frozen=True, eq=False)
class Affinity:
    """Affinities between networks: rows are targets, columns are sources.

    Made by `pyattrx.affinity`.

    Attributes
    ----------
    names : list of str
    values : ndarray [M, M], float64
        Mean over probes of the cosine of two networks' maps, or the score of another method:
        ``values[i, j]`` says how well source j suits target i.
    stderr : ndarray [M, M], float64
        Standard error of each value, cluster-robust over the probes' groups; NaN with one group.
    symmetric : bool
        Whether ``values[i, j] == values[j, i]`` by construction; False for a directional method.
    groups : ndarray [N], int64
        Group of each probe.
    cosines : ndarray [N, M, M], float64, or None
        The per-probe cosines, where they fit in memory. Without them the paired test of `nearest`
        is conservative: it bounds what it cannot compute.
    zero_maps : dict of str to int
        On how many probes there was nothing to compare (an all-zero map, features that are all
        alike), for networks that have any.
    provenance : dict
        Probes, method, networks, grid, versions, device and times, as JSON types.
    bounds : (float, float)
        Least and largest value that there can be.
    blocks : ndarray [N], int64, or None
        Block of each probe, for methods that are no mean over probes.
    without : ndarray [K, M, M], float64, or None
        Values without each block: what standard errors and the paired test are made of.
    failures : dict of str to str
        What went wrong, by the name of the network, with those that ``on_error="skip"`` left out.
    """

    names: list[str]
    values: np.ndarray
    stderr: np.ndarray
    symmetric: bool
    groups: np.ndarray
    cosines: np.ndarray | None = None
    zero_maps: dict[str, int] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    bounds: tuple[float, float] = (-1.0, 1.0)
    blocks: np.ndarray | None = None
    without: np.ndarray | None = None
    failures: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_probes(self) -> int:
        """Number of probes."""
        return len(self.groups)

    @property
    def n_groups(self) -> int:
        """Number of independent groups of probes."""
        return int(self.groups.max()) + 1 if len(self.groups) else 0

    def index(self, name: str) -> int:
        """Row and column of a network.

        Raises
        ------
        InvalidValueError
            No network has this name.
        """
        if name not in self.names:
            known = ", ".join(repr(n) for n in self.names[:12])
            more = ", ..." if len(self.names) > 12 else ""
            raise InvalidValueError("name", name, f"one of {known}{more}")
        return self.names.index(name)

    def distance(self) -> np.ndarray:
        """Distances of Song et al. 2019: N over the sum of the cosines.

        Of any other method one over the value; of a directional one, rows are targets here, too.

        Returns
        -------
        ndarray [M, M], float64
            Infinite where the value is not positive.
        """
        with np.errstate(divide="ignore"):
            return np.where(self.values > 0, 1 / np.maximum(self.values, 0), np.inf)

    def nearest(self, name: str, k: int = 5, *, level: float = 0.95) -> list[Match]:
        """Rank the sources for a target, nearest first.

        Parameters
        ----------
        name : str
            The target.
        k : int
            How many sources at most, at least 1.
        level : float
            Confidence of the intervals and of the paired test, in (0, 1).

        Returns
        -------
        list of Match

        Raises
        ------
        InvalidValueError
            For any argument.
        """
        target = self.index(name)
        check_ranking(k, level)
        others = np.array([j for j in range(len(self)) if j != target], dtype=int)
        values = self.values[target, others]
        residuals = None
        if self.cosines is not None:
            residuals = Residuals.of(self.cosines[:, target, others], self.groups)
        elif self.without is not None and self.blocks is not None:
            residuals = jackknife_residuals(values, self.without[:, target, others], self.blocks)
        return rank(
            [self.names[j] for j in others],
            values,
            self.stderr[target, others],
            residuals,
            self._degrees_of_freedom(),
            k=k,
            level=level,
            bounds=self.bounds,
        )

    def _degrees_of_freedom(self) -> float:
        return degrees_of_freedom(self.groups if self.blocks is None else self.blocks)

    def differing_pairs(self, *, level: float = 0.95) -> tuple[int, int]:
        """Count the pairs of networks whose affinity differs from zero.

        Of a directional method, both ways count.

        Parameters
        ----------
        level : float
            Confidence, in (0, 1), of each of the (Holm-corrected) tests.

        Returns
        -------
        (int, int)
            Pairs that differ, and all pairs.
        """
        if not 0 < level < 1:
            raise InvalidValueError("level", level, "a number between 0 and 1")
        pairs = np.ones((len(self), len(self)), bool)
        np.fill_diagonal(pairs, False)
        if self.symmetric:
            pairs = np.triu(pairs)
        p = paired_p_values(self.values[pairs], self.stderr[pairs], self._degrees_of_freedom())
        return int((p < 1 - level).sum()), len(p)

    def tree(self, form: TreeForm = "published") -> Tree:
        """Cluster the networks; see `pyattrx.tree.build_tree` for the forms.

        A tree has no direction: of a directional method, the mean of both ways is clustered.

        Returns
        -------
        Tree
            With ``linkage`` as in scipy.
        """
        from pyattrx.tree import build_tree  # scipy.cluster takes a tenth of a second

        values = self.values if self.symmetric else (self.values + self.values.T) / 2
        return build_tree(values, self.names, form=form)

    def to_frame(self) -> Any:
        """Return the values as a pandas DataFrame, rows targets and columns sources.

        Raises
        ------
        MissingDependencyError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError(
                "pandas", "Affinity.to_frame()", "'pyattrx[plot]'"
            ) from error
        return pd.DataFrame(self.values, index=self.names, columns=self.names)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the per-probe cosines as JSON types, None for NaN."""
        return {
            "names": list(self.names),
            "values": jsonable(self.values),
            "stderr": jsonable(self.stderr),
            "symmetric": self.symmetric,
            "bounds": [jsonable(bound) for bound in self.bounds],
            "n_probes": self.n_probes,
            "n_groups": self.n_groups,
            "zero_maps": dict(self.zero_maps),
            "failures": dict(self.failures),
            "provenance": self.provenance,
        }

    def save(self, path: str | Path) -> Path:
        """Write everything to one ``.npz`` file; an existing one is replaced in one step.

        Raises
        ------
        InvalidValueError
            The suffix is not ``.npz``.
        OSError
            The folder does not exist or cannot be written.
        """
        meta = {
            "format": _FORMAT,
            "names": list(self.names),
            "symmetric": self.symmetric,
            "bounds": [jsonable(bound) for bound in self.bounds],
            "zero_maps": self.zero_maps,
            "failures": self.failures,
            "provenance": self.provenance,
        }
        arrays = {"values": self.values, "stderr": self.stderr, "groups": self.groups}
        for name in ("cosines", "blocks", "without"):
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        return write_saved(path, meta, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Affinity:
        """Read what `save` wrote; nothing in the file is executed.

        Raises
        ------
        PyattrxError
            The file is damaged, or not one of these.
        OSError
            The file cannot be opened.
        """
        with saved(path, "affinity", _FORMAT) as (meta, arrays):
            low, high = meta.get("bounds", (-1.0, 1.0))
            return cls(
                names=meta["names"],
                values=arrays["values"],
                stderr=arrays["stderr"],
                symmetric=meta["symmetric"],
                groups=arrays["groups"],
                cosines=arrays.get("cosines"),
                zero_maps=meta["zero_maps"],
                provenance=meta["provenance"],
                bounds=(
                    float("-inf") if low is None else low,
                    float("inf") if high is None else high,
                ),
                blocks=arrays.get("blocks"),
                without=arrays.get("without"),
                failures=meta.get("failures", {}),
            )

    def __post_init__(self) -> None:
        if not isinstance(self.names, list):
            raise InvalidTypeError("names", self.names, "a list of str")
        m = len(self.names)
        n = len(self.groups)
        if self.cosines is not None and np.shape(self.cosines) != (n, m, m):
            raise InvalidValueError("cosines.shape", np.shape(self.cosines), f"{(n, m, m)}")
        for name in ("values", "stderr"):
            if np.shape(getattr(self, name)) != (m, m):
                shape = np.shape(getattr(self, name))
                raise InvalidValueError(f"{name}.shape", shape, f"{(m, m)}, one row a name")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __repr__(self) -> str:
        return (
            f"Affinity({len(self)} networks, {self.n_probes} probes in {self.n_groups} groups, "
            f"method: {self.provenance.get('method_name', 'unknown')})"
        )
