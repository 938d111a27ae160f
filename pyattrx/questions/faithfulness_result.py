"""What `faithfulness` answers: curves over what is occluded, and the areas under them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyattrx._files import atomic_write
from pyattrx.errors import InvalidValueError
from pyattrx.questions.occluding import ORDERS, Fill
from pyattrx.statistics import clustered_stderr, degrees_of_freedom, interval, jsonable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MEASURES", "Faithfulness", "FaithfulnessArea"]

MEASURES = ("distance", "scalar")
_LEVEL = 0.95


@dataclass(frozen=True)
class FaithfulnessArea:
    """Areas under a curve of the map's order and of a random one, and what lies between them.

    Attributes
    ----------
    area, stderr : float
        Of the map's order, and the standard error over the probes (groups count as one), NaN where
        it cannot be known.
    random, random_stderr : float
        Of a random order.
    gain, gain_stderr : float
        By how much the map's order is ahead of the random one, paired by probe: above 0 the answer
        changes sooner where what the map calls important goes first, later where it goes last.
    low, high : float
        Ends of the gain's 95 % interval.
    """

    area: float
    stderr: float
    random: float
    random_stderr: float
    gain: float
    gain_stderr: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, None for NaN."""
        return {name: jsonable(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """How an answer changes as an image is occluded in the order of its map.

    Attributes
    ----------
    network, method : str
    order : str
        Which patches go first.
    fill : str or tuple of float
        What stands in their place.
    patch : int
        Side of a patch in pixels.
    fractions, random_fractions : ndarray [N, S]
        Part of each probe's pixels that is occluded, from 0 to 1, by the map's order and by a
        random one. Probes differ only where patches at the edge are smaller.
    curves, random_curves : dict of str to ndarray [N, S]
        How far the answer has moved there: "distance", of the output from that for the whole probe;
        "scalar", the number that is attributed, by its magnitude where the order goes by magnitude,
        else by how much it fell. In `units`.
    units : dict of str to float
        What both are divided by: the mean, over the probes, of how far all that is occluded has
        moved the answer. 0 where nothing moves; curves are 0 then.
    groups : ndarray [N], int64
    probes : tuple of str
        Names of the images.
    zero_maps : int
        Probes whose map is zero: their order is the random one.
    provenance : dict
    """

    network: str
    method: str
    order: str
    fill: Fill
    patch: int
    fractions: NDArray[np.float64]
    random_fractions: NDArray[np.float64]
    curves: dict[str, NDArray[np.float64]]
    random_curves: dict[str, NDArray[np.float64]]
    units: dict[str, float]
    groups: NDArray[np.int64]
    probes: tuple[str, ...]
    zero_maps: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of probes."""
        return len(self.groups)

    def gains(self, measure: str = "distance") -> NDArray[np.float64]:
        """By how much the map's order is ahead of a random one on each probe, [N].

        Raises
        ------
        InvalidValueError
            Nothing of this name is measured.
        """
        between = self._areas(measure, False) - self._areas(measure, True)
        return between if ORDERS[self.order].falling else -between

    @property
    def areas(self) -> dict[str, FaithfulnessArea]:
        """Areas under the curves of each measure, means over the probes."""
        return {measure: self._area(measure) for measure in MEASURES}

    def _areas(self, measure: str, random: bool) -> NDArray[np.float64]:
        if measure not in MEASURES:
            raise InvalidValueError("measure", measure, f"one of {', '.join(map(repr, MEASURES))}")
        x = self.random_fractions if random else self.fractions
        y = (self.random_curves if random else self.curves)[measure]
        found: NDArray[np.float64] = (np.diff(x, axis=1) * (y[:, 1:] + y[:, :-1]) / 2).sum(1)
        return found

    def _area(self, measure: str) -> FaithfulnessArea:
        samples = self._areas(measure, False), self._areas(measure, True), self.gains(measure)
        means = [float(one.mean()) for one in samples]
        errors = [float(clustered_stderr(one, self.groups)) for one in samples]
        bounds = float("-inf"), float("inf")
        df = degrees_of_freedom(self.groups)
        low, high = interval(means[2], errors[2], _LEVEL, df, bounds)
        return FaithfulnessArea(
            means[0], errors[0], means[1], errors[1], means[2], errors[2], low, high
        )

    def mean_curve(
        self, measure: str = "distance", *, random: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean fractions, mean curve and its standard error, [S] each.

        Raises
        ------
        InvalidValueError
            Nothing of this name is measured.
        """
        if measure not in MEASURES:
            raise InvalidValueError("measure", measure, f"one of {', '.join(map(repr, MEASURES))}")
        x = self.random_fractions if random else self.fractions
        y = (self.random_curves if random else self.curves)[measure]
        return x.mean(0), y.mean(0), clustered_stderr(y, self.groups)

    def summary(self) -> str:
        """Say in a few lines how far the maps are ahead of a random order."""
        fill = self.fill if isinstance(self.fill, str) else "a color"
        lines = [
            f"{self.network}, {self.method}: {self.order} first, {self.patch} x {self.patch} "
            f"pixels by {fill}, {len(self)} probes"
        ]
        for measure, one in self.areas.items():
            text = f"{measure}: area {one.area:.3f}, random {one.random:.3f}, gain {one.gain:+.3f}"
            known = not np.isnan(one.low)
            lines.append(text + (f" ({one.low:+.3f} to {one.high:+.3f})" if known else ""))
        if self.zero_maps:
            lines.append(f"{self.zero_maps} of {len(self)} probes: the map is all zero")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, None for NaN: everything but the curves of single probes."""
        curves = {}
        for measure in MEASURES:
            own, random = (self.mean_curve(measure, random=one) for one in (False, True))
            names = ("fractions", "values", "stderr")
            curves[measure] = {
                **{name: jsonable(one) for name, one in zip(names, own, strict=True)},
                "random": {name: jsonable(one) for name, one in zip(names, random, strict=True)},
            }
        return {
            "network": self.network,
            "method": self.method,
            "order": self.order,
            "fill": self.fill if isinstance(self.fill, str) else list(self.fill),
            "patch": self.patch,
            "areas": {measure: one.to_dict() for measure, one in self.areas.items()},
            "curves": curves,
            "gains": {measure: jsonable(self.gains(measure)) for measure in MEASURES},
            "units": {name: jsonable(value) for name, value in self.units.items()},
            "n_probes": len(self),
            "n_groups": int(self.groups.max()) + 1,
            "zero_maps": self.zero_maps,
            "provenance": self.provenance,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write what `to_dict` returns to one ``.json`` file; an existing one is replaced.

        Raises
        ------
        InvalidValueError
            The suffix is not ``.json``.
        OSError
            The folder does not exist or cannot be written.
        """
        file = Path(path)
        if file.suffix != ".json":
            raise InvalidValueError("path", str(path), "a file name that ends in .json")
        with atomic_write(file) as out:
            out.write((json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n").encode())
        return file

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the curves over the part of the image that is occluded.

        Parameters
        ----------
        path : path, optional
            A PNG or SVG file to write.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependencyError
            Matplotlib is not installed.
        InvalidValueError
            `path` has another suffix.
        """
        from pyattrx.report import faithfulness_figure

        return faithfulness_figure([self], path=path)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        gain = self.areas["distance"].gain
        return (
            f"Faithfulness({self.network!r}, {self.method}, {self.order!r} first: "
            f"distance gains {gain:+.3f} over a random order)"
        )
