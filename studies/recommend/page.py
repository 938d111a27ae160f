"""The tables of docs/recommend.md, made of what the command finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..pages import markdown, number

__all__ = ["TABLES"]

_Found = dict[str, Any]
_IMAGES, _MAPS = "one label an image", "a label a location"
_TARGETS = {_IMAGES: "Four targets with a label an image", _MAPS: "Fourteen with label maps"}
_COUNTS = {"5": "5 labels", "20": "20", "all": "all 320"}
_MEASURES = {"spearman": "Spearman", "weighted_kendall": "w. Kendall", "regret@1": "regret@1"}
_UNLABELLED = {
    "consensus@pooled": "*consensus, no label*",
    "popularity": "*source popularity*",
    "random": "*random*",
}
# What is shown of all rankings, and what the page calls it.
_OF_IMAGES = {
    "linear_probe@both": "**linear probe, both (the default)**",
    "linear_probe@2x2": "linear probe, 2 x 2",
    "linear_probe@pooled": "linear probe, pooled",
    "logme@both": "LogME, both",
    "logme@pooled": "LogME, pooled",
    "knn@both": "kNN, both",
    "parc@2x2": "PARC, 2 x 2",
    "label_ridge@2x2": "`label_ridge`, 2 x 2",
    "ridge_loo@2x2": "leave-one-out ridge, 2 x 2",
    "linear_probe@both + .5 consensus": "linear probe, both + .5 consensus",
    "linear_probe@both + w consensus": "linear probe, both + consensus at min(.5, 1.1/√n)",
    **_UNLABELLED,
}
_OF_MAPS = {
    "label_ridge@locations": "**`label_ridge` (the default)**",
    "linear_probe@locations": "linear probe",
    "knn@locations": "kNN",
    "logme@locations": "LogME",
    "label_ridge@locations + .25 consensus": "`label_ridge` + .25 consensus",
    "label_ridge@locations + w consensus": "`label_ridge` + consensus at min(.5, 1.1/√n)",
    **_UNLABELLED,
}
_BETWEEN = {
    (_IMAGES, "linear_probe@both"): "linear probe, both",
    (_IMAGES, "logme@both"): "LogME, both",
    (_IMAGES, "consensus@pooled"): "consensus, label an image",
    (_MAPS, "label_ridge@locations"): "`label_ridge`, label maps",
    (_MAPS, "linear_probe@locations"): "linear probe, label maps",
    (_MAPS, "consensus@pooled"): "consensus, label maps",
}


def _rankings(kind: str, called: Mapping[str, str]) -> Callable[[_Found], str]:
    def made(found: _Found) -> str:
        of = {row["name"]: row for row in found["kinds"][kind]}
        rows = [
            [shown, *(number(of[name][n][m]) for n in _COUNTS for m in _MEASURES)]
            for name, shown in called.items()
        ]
        head = [f"{n}: {m}" for n in _COUNTS.values() for m in _MEASURES.values()]
        return markdown(["", *head], rows)

    return made


def _intervals(found: _Found) -> str:
    rows = []
    for (kind, name), called in _BETWEEN.items():
        (of,) = (row["intervals"] for row in found["kinds"][kind] if row["name"] == name)
        within = [of[n]["weighted_kendall"] for n in _COUNTS]
        rows.append([called, *(f"{number(low)} to {number(high)}" for low, high in within)])
    return markdown(["", *_COUNTS.values()], rows)


def _races(found: _Found) -> str:
    rows = []
    for kind, title in _TARGETS.items():
        row = found["races"]["kinds"][kind]
        passes = f"{row['passes']:.0%} ({row['least']:.0%} to {row['most']:.0%})"
        regrets = [number(row[key]) for key in ("regret", "regret of all")]
        cells = [str(row["races"]), passes.replace("%", " %"), str(row["lost"]), *regrets]
        rows.append([title, *cells])
    head = ["races", "passes", "first of the full run dropped", "regret@1 of the race"]
    return markdown(["", *head, "of the full run"], rows)


def _seeds(found: _Found) -> str:
    cells = [number(value) for value in found["other seeds"].values()]
    return markdown(["share of figures within .05 of those of seed 0", "furthest"], [cells])


TABLES: dict[str, Callable[[_Found], str]] = {
    "images": _rankings(_IMAGES, _OF_IMAGES),
    "maps": _rankings(_MAPS, _OF_MAPS),
    "intervals": _intervals,
    "races": _races,
    "seeds": _seeds,
}
