"""What `layers` answers: a score for every layer, and how far they can be told apart."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pyattrx.errors import InvalidValueError, MissingDependencyError
from pyattrx.statistics import jsonable

__all__ = ["Layer", "Layers"]


@dataclass(frozen=True)
class Layer:
    """One layer of a source.

    Attributes
    ----------
    name : str
        Of the submodule: what ``Encoder(..., features=name)`` takes.
    depth : int
        Its place among the layers that were compared, from 1, first to last.
    shape : tuple of int
        Of what it says of an image.
    score, stderr, low, high : float
        What it is worth, the standard error, and the ends of the confidence interval; NaN where
        they cannot be known.
    ties : tuple of str
        Layers that the images cannot tell apart from this one.
    """

    name: str
    depth: int
    shape: tuple[int, ...]
    score: float
    stderr: float
    low: float
    high: float
    ties: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, None for NaN."""
        numbers = {k: jsonable(getattr(self, k)) for k in ("score", "stderr", "low", "high")}
        return {**asdict(self), **numbers, "shape": list(self.shape), "ties": list(self.ties)}


@dataclass(frozen=True, eq=False)
class Layers:
    """Layers of a source, scored; made by `pyattrx.layers`.

    Attributes
    ----------
    layers : tuple of Layer
        First to last, as the network calls them.
    source : str
        Name of the network.
    target : str
        Name of the target network, or of the task.
    score : str
        What layers are scored by.
    failures : dict of str to str
        Layers that cannot be scored, and why.
    notes : tuple of str
        What a reader should know.
    provenance : dict
        Method, images, device, versions and times, as JSON types.
    """

    layers: tuple[Layer, ...]
    source: str
    target: str
    score: str
    failures: dict[str, str]
    notes: tuple[str, ...]
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, which: int | str) -> Layer:
        """Return the layer of a place, from 0, or of a name.

        Raises
        ------
        InvalidValueError
            No layer has this name.
        """
        if isinstance(which, str):
            for one in self.layers:
                if one.name == which:
                    return one
            raise InvalidValueError("name", which, f"one of {', '.join(map(repr, self.names))}")
        return self.layers[which]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers, first to last."""
        return tuple(one.name for one in self.layers)

    @property
    def scores(self) -> np.ndarray:
        """Score of each layer, [L], float64."""
        return np.array([one.score for one in self.layers])

    @property
    def stderr(self) -> np.ndarray:
        """Standard error of each score, [L], float64; NaN where it cannot be known."""
        return np.array([one.stderr for one in self.layers])

    @property
    def best(self) -> str:
        """Name of the layer with the best score; of equal ones, of the last."""
        return max(self.layers, key=lambda one: (one.score, one.depth)).name

    @property
    def ties(self) -> tuple[str, ...]:
        """Layers that the images cannot tell apart from the best one."""
        return self[self.best].ties

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types, None for NaN."""
        return {
            "source": self.source,
            "target": self.target,
            "score": self.score,
            "best": self.best,
            "ties": list(self.ties),
            "layers": [one.to_dict() for one in self.layers],
            "failures": dict(self.failures),
            "notes": list(self.notes),
            "provenance": self.provenance,
        }

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, a row a layer.

        Raises
        ------
        MissingDependencyError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError(
                "pandas", "Layers.to_frame()", "'pyattrx[plot]'"
            ) from error
        return pd.DataFrame([asdict(one) for one in self.layers]).set_index("name")

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the score of every layer against its depth.

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
        """
        from pyattrx.report import depth_figure

        return depth_figure(
            self.names,
            self.scores,
            [one.low for one in self.layers],
            [one.high for one in self.layers],
            marked=[self.best, *self.ties],
            label=self.score,
            title=f"Which layer of {self.source} for {self.target}?",
            path=path,
        )

    def rows(self) -> list[tuple[str, ...]]:
        """Cells of a table of the layers: layer, shape, score, interval, and what stands out."""
        return [
            (
                one.name,
                " x ".join(map(str, one.shape)),
                _shown(one.score),
                "" if np.isnan(one.low) else f"{_shown(one.low)} to {_shown(one.high)}",
                "best" if one.name == self.best else "as good" if one.name in self.ties else "",
            )
            for one in self.layers
        ]

    def __str__(self) -> str:
        cells = [("layer", "shape", "score", "interval", ""), *self.rows()]
        widths = [max(len(row[column]) for row in cells) for column in range(5)]
        lines = [f"{self.source} for {self.target}, by {self.score}"]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        lines += [f"{name}: {why}" for name, why in self.failures.items()]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        head = _html_row("th", ("layer", "shape", "score", "interval", ""))
        body = "".join(_html_row("td", row) for row in self.rows())
        said = [repr(self), *(f"{k}: {v}" for k, v in self.failures.items()), *self.notes]
        below = "".join(f"<p>{html.escape(line)}</p>" for line in said)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{below}"

    def __repr__(self) -> str:
        return (
            f"Layers({len(self)} of {self.source!r} for {self.target!r}, best {self.best!r}, "
            f"by {self.score})"
        )


def _html_row(kind: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{html.escape(cell)}</{kind}>' for cell in cells)}</tr>"


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
