"""How the tables of docs/evidence.md call rankings, and how they write numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..pages import number

__all__ = ["FEW", "LABELS", "MAIN", "RANKINGS", "apart", "cells_of", "pair", "took", "written"]

_Found = dict[str, Any]
LABELS = ("5", "20", "60")

# What is shown of all rankings, and what the page calls it.
RANKINGS = {
    "linear_probe@both": "linear probe, both (the default)",
    "linear_probe@pooled": "linear probe, pooled",
    "linear_probe@2x2": "linear probe, 2 x 2",
    "logme@pooled": "LogME, pooled",
    "logme@both": "LogME, both",
    "knn@pooled": "kNN, pooled",
    "label_ridge@2x2": "`label_ridge`, 2 x 2",
    "label_ridge@4x4": "`label_ridge`, 4 x 4",
    "nearest_mean@pooled": "nearest class mean",
    "ridge_loo@pooled": "leave-one-out ridge",
    "nleep@pooled": "NLEEP",
    "gbc@pooled": "GBC",
    "sfda@pooled": "SFDA",
    "parc@pooled": "PARC",
    "h_score@pooled": "H-score",
    "transrate@pooled": "TransRate",
    "mean of 4@pooled": "mean of probe, kNN, LogME, nearest mean, pooled",
    "linear_probe@both + .25 consensus": "linear probe, both + .25 consensus",
    "linear_probe@both + .5 consensus": "linear probe, both + .5 consensus",
    "mean of 4@pooled + .25 consensus": "mean of four + .25 consensus",
    "fitted@locations": "`fit_target`, then `recommended`",
    "fitted@4x4": "the same, output as one vector",
    "fitted@pooled": "the same, output pooled",
    "fitted@96 wide": "the same, the layer before, pooled",
    "fitted@longer": "the same, output pooled, four times as long",
    "consensus@pooled": "*consensus, no label*",
    "consensus@2x2": "*consensus of 2 x 2, no label*",
    "popularity": "*popularity: the other tasks' truth*",
    "parameters": "*number of parameters*",
    "multiply_adds": "*multiply-adds*",
    "width": "*number of features*",
    "input_size": "*input size*",
    "nearest by name": "*nearest by name*",
    "random": "*random*",
}
# Which of them stand in small tables.
FEW = (
    "linear_probe@both", "linear_probe@pooled", "logme@pooled", "knn@pooled", "parc@pooled",
    "label_ridge@2x2", "consensus@pooled", "popularity", "parameters", "random",
)  # fmt: skip
# Which of them stand on the page that is read first.
MAIN = (
    "linear_probe@both", "linear_probe@pooled", "logme@pooled", "knn@pooled", "parc@pooled",
    "nleep@pooled", "h_score@pooled", "label_ridge@2x2", "linear_probe@both + .25 consensus",
    "fitted@locations", "fitted@4x4", "consensus@pooled", "popularity", "parameters",
    "multiply_adds", "width", "input_size", "nearest by name", "random",
)  # fmt: skip


def written(value: float, points: bool = False) -> str:
    """Two digits behind the point; of accuracy points, one."""
    return f"{value:.1f}" if points else number(value)


def cells_of(row: _Found | None, measures: Sequence[str]) -> list[str]:
    """Write measures of a ranking; dashes where there is none."""
    if row is None:
        return ["–"] * len(measures)
    return [written(row[m][0], m.startswith("regret")) for m in measures]


def took(row: _Found | None, labels: str) -> str:
    """Seconds of the CPU, with two digits."""
    value = None if row is None else row[labels]
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.1g}" if value < 0.1 else f"{value:.2g}"


def apart(values: Sequence[float]) -> str:
    """Write a difference and its interval."""
    value, low, high = (written(v) for v in values)
    return f"{value} ({low} to {high})"


def pair(row: _Found | None) -> str:
    """Write weighted Kendall and regret@1 in one cell."""
    return ", ".join(cells_of(row, ("weighted_kendall", "regret@1"))) if row else "–"
