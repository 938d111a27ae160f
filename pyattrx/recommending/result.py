"""What `recommend` answers: candidates in order, and how far that order can be trusted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyattrx._saved import saved, write_saved
from pyattrx.errors import InvalidValueError, MissingDependencyError
from pyattrx.features import Costs
from pyattrx.recommending.racing import Dropped
from pyattrx.statistics import jsonable

__all__ = ["Recommendation", "Standing"]

_FORMAT = "pyattrx recommendation 1"
Situation = str  # "labels", "consensus" or "target"


@dataclass(frozen=True)
class Standing:
    """One candidate.

    Attributes
    ----------
    name : str
    place : int
        From 1.
    value : float
        What candidates are ranked by; larger is better. See `Recommendation.score`.
    stderr, low, high : float
        Its standard error, and the ends of its confidence interval; NaN where they are not known.
    ties : tuple of str
        Candidates that the images cannot tell apart from this one.
    scores, errors, places : dict of str to float or int
        Every score of it, the standard errors of these, and its place by each.
    costs : Costs
    on_front : bool
        Whether every candidate with a better value costs more time, or multiply-adds.
    read_at : str
        Where in the network features were read.
    facts : dict
        What else was found, as JSON types: the probe's ``accuracy``.
    remarks : tuple of str
        What to know before it is used: weights that look untrained, features that never change.
    """

    name: str
    place: int
    value: float
    stderr: float
    low: float
    high: float
    ties: tuple[str, ...]
    scores: dict[str, float]
    errors: dict[str, float]
    places: dict[str, int]
    costs: Costs | None
    on_front: bool
    read_at: str
    facts: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, None for NaN."""
        made = asdict(self)
        for key in ("value", "stderr", "low", "high"):
            made[key] = jsonable(made[key])
        for key in ("scores", "errors"):
            made[key] = {name: jsonable(value) for name, value in made[key].items()}
        made["costs"] = None if self.costs is None else self.costs.to_dict()
        return {**made, "ties": list(self.ties), "remarks": list(self.remarks)}

    @classmethod
    def _from_dict(cls, facts: dict[str, Any]) -> Standing:
        numbers = {
            key: float("nan") if facts[key] is None else float(facts[key])
            for key in ("value", "stderr", "low", "high")
        }
        by_score = {
            key: {n: float("nan") if v is None else float(v) for n, v in facts[key].items()}
            for key in ("scores", "errors")
        }
        costs = facts["costs"]
        if costs is not None:
            costs = Costs(**{**costs, "input_size": tuple(costs["input_size"])})
        lists = {key: tuple(facts[key]) for key in ("ties", "remarks")}
        return cls(**{**facts, **numbers, **by_score, **lists, "costs": costs})


@dataclass(frozen=True, eq=False)
class Recommendation:
    """Candidates for a task, best first.

    Attributes
    ----------
    standings : tuple of Standing
    score : str
        What they are ranked by, in words.
    situation : str
        "labels", "consensus" (no labels) or "target" (a network that does the task).
    notes : tuple of str
        What a reader should know: how many labels there were, how far such rankings were seen to
        be right, baselines that rank as well.
    failures : dict of str to str
        Candidates that could not be read, and why.
    p_values : ndarray [M, M]
        Of no difference between two candidates, in the order of `standings`, corrected. NaN where
        only `Standing.ties` say it: of those that dropped out of a race.
    task : dict
        What the task is; see `Task.as_dict`.
    provenance : dict
        What the answer depends on: options, versions, device.

    Examples
    --------
    >>> import torch, pyattrx
    >>> images = torch.rand(8, 3, 16, 16)
    >>> networks = [torch.nn.Conv2d(3, width, 5) for width in (2, 4)]
    >>> encoders = [pyattrx.Encoder(n, name=f"width {n.out_channels}") for n in networks]
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     result = pyattrx.recommend(encoders, images, cache=False)
    >>> result.situation, len(result)
    ('consensus', 2)
    """

    standings: tuple[Standing, ...]
    score: str
    situation: Situation
    notes: tuple[str, ...]
    failures: dict[str, str]
    p_values: np.ndarray
    task: dict[str, Any]
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.standings)

    def __iter__(self) -> Iterator[Standing]:
        return iter(self.standings)

    def __getitem__(self, which: int | str) -> Standing:
        """Return the candidate of a place, from 0, or of a name."""
        if isinstance(which, str):
            for one in self.standings:
                if one.name == which:
                    return one
            raise InvalidValueError("name", which, f"one of {list(self.names)}")
        return self.standings[which]

    @property
    def names(self) -> tuple[str, ...]:
        """Candidates, best first."""
        return tuple(one.name for one in self.standings)

    @property
    def best(self) -> Standing:
        """The first one. See its `ties` for those that may be as good."""
        return self.standings[0]

    @property
    def score_names(self) -> tuple[str, ...]:
        """Scores that any candidate has, in the order in which they were computed."""
        return tuple(dict.fromkeys(name for one in self.standings for name in one.scores))

    def with_dropped(self, dropped: Sequence[Dropped], facts: dict[str, Any]) -> Recommendation:
        """Return the same with candidates behind that dropped out of a race, last ones first.

        Parameters
        ----------
        dropped : sequence of Dropped
        facts : dict
            What is to be known of the race; it goes into the provenance.
        """
        nan = float("nan")
        behind = [
            Standing(
                one.name, place, nan, nan, nan, nan, (), {}, {}, {}, None, False, "",
                {"dropped_after": one.images, "value_then": one.value},
                (f"dropped after {one.images} images, behind {one.by}",),
            )
            for place, one in enumerate(dropped, len(self) + 1)
        ]  # fmt: skip
        count = len(self) + len(behind)
        p_values = np.full((count, count), nan)
        p_values[: len(self), : len(self)] = self.p_values
        share = facts["passes"] / facts["passes_without_race"]
        notes = [f"The race took {share:.0%} of the passes of a full run."]
        if not facts["rounds"]:
            notes = ["There were too few images for a race: all candidates saw all of them."]
        if facts["interrupted"]:
            notes.append("Interrupted: this is the standing so far.")
        return replace(
            self,
            standings=(*self.standings, *behind),
            p_values=p_values,
            notes=(*self.notes, *notes),
            provenance={**self.provenance, **facts},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types, None for NaN."""
        return {
            "format": _FORMAT,
            "score": self.score,
            "situation": self.situation,
            "standings": [one.to_dict() for one in self.standings],
            "notes": list(self.notes),
            "failures": dict(self.failures),
            "p_values": [jsonable(row) for row in self.p_values],
            "task": self.task,
            "provenance": self.provenance,
        }

    def to_frame(self) -> Any:
        """Return a pandas DataFrame: a row a candidate, a column a score and a cost.

        Raises
        ------
        MissingDependencyError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError(
                "pandas", "Recommendation.to_frame()", "'pyattrx[plot]'"
            ) from error
        return pd.DataFrame([self._row(one) for one in self.standings]).set_index("name")

    def _row(self, one: Standing) -> dict[str, Any]:
        row: dict[str, Any] = {"name": one.name, "place": one.place, "value": one.value}
        row |= {"stderr": one.stderr, "low": one.low, "high": one.high}
        row["tied_with_first"] = one is self.best or self.best.name in one.ties
        row |= {name: one.scores.get(name, float("nan")) for name in self.score_names}
        row |= one.facts
        if one.costs is not None:
            row |= {k: v for k, v in one.costs.to_dict().items() if k != "input_size"}
            row["input_height"], row["input_width"] = one.costs.input_size
        row["on_front"], row["read_at"] = one.on_front, one.read_at
        row["remarks"] = "; ".join(one.remarks)
        return row

    def as_csv(self) -> str:
        """Return the table as comma-separated values: a line a candidate."""
        rows = [self._row(one) for one in self.standings]
        text = io.StringIO()
        writer = csv.DictWriter(
            text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write everything to one ``.npz`` file; an existing one is replaced in one step.

        Raises
        ------
        InvalidValueError
            The suffix is not ``.npz``.
        OSError
            The folder does not exist or cannot be written.
        """
        return write_saved(path, self.to_dict(), {"p_values": self.p_values})

    @classmethod
    def load(cls, path: str | Path) -> Recommendation:
        """Read what `save` wrote; nothing in the file is executed.

        Raises
        ------
        PyattrxError
            The file is damaged, or not one of these.
        OSError
            The file cannot be opened.
        """
        with saved(path, "recommendation", _FORMAT) as (meta, arrays):
            return cls(
                tuple(Standing._from_dict(one) for one in meta["standings"]),
                meta["score"],
                meta["situation"],
                tuple(meta["notes"]),
                meta["failures"],
                np.array(arrays["p_values"], float),
                meta["task"],
                meta["provenance"],
            )

    def picture(self, path: str | Path | None = None) -> Any:
        """Draw candidates with their intervals, and what they cost.

        Parameters
        ----------
        path : path, optional
            A PNG, PDF or SVG file to write.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependencyError
            Matplotlib is not installed.
        """
        from pyattrx.report import recommendation_figure

        return recommendation_figure(self, path=path)

    def __str__(self) -> str:
        from pyattrx.recommending.table import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from pyattrx.recommending.table import as_html

        return as_html(self)

    def __repr__(self) -> str:
        return (
            f"Recommendation({len(self)} candidates for {self.task.get('name', 'task')!r}, "
            f"first {self.best.name!r}, by {self.score})"
        )
