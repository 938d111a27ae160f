"""The tables of docs/evidence.md and docs/evidence-details.md, made of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyattrx import methods

from ..pages import markdown, number

__all__ = ["TABLES"]

_Found = dict[str, Any]
_LABELS = ("5", "20", "60")

# What is shown of all rankings, and what the page calls it.
_RANKINGS = {
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
_FEW = (
    "linear_probe@both", "linear_probe@pooled", "logme@pooled", "knn@pooled", "parc@pooled",
    "label_ridge@2x2", "consensus@pooled", "popularity", "parameters", "random",
)  # fmt: skip
# Which of them stand on the page that is read first.
_MAIN = (
    "linear_probe@both", "linear_probe@pooled", "logme@pooled", "knn@pooled", "parc@pooled",
    "nleep@pooled", "h_score@pooled", "label_ridge@2x2", "linear_probe@both + .25 consensus",
    "fitted@locations", "fitted@4x4", "consensus@pooled", "popularity", "parameters",
    "multiply_adds", "width", "input_size", "nearest by name", "random",
)  # fmt: skip
_SETS = {
    "strangers": "17 networks as they are",
    "one size": "19 of one size, trained otherwise",
    "with half sizes": "4 more, input half as large",
    "with double sizes": "3 more, input twice as large",
    "with random ones": "3 more that nobody trained",
}


def _number(value: float, points: bool = False) -> str:
    return f"{value:.1f}" if points else number(value)


def _cells(row: _Found | None, measures: Sequence[str]) -> list[str]:
    if row is None:
        return ["–"] * len(measures)
    return [_number(row[m][0], m.startswith("regret")) for m in measures]


def _main(found: _Found) -> str:
    """Real images, rendered rooms and seconds side by side."""
    tables = found["sets"]["strangers"]["tables"]["all"]
    rooms, of = found["rendered rooms, scores"], found["seconds"].get("of", {})
    rows = []
    for name in _MAIN:
        if not any(name in tables[n] for n in _LABELS):
            continue
        cells = [
            cell
            for m in ("weighted_kendall", "regret@1")
            for n in _LABELS
            for cell in _cells(tables[n].get(name), (m,))
        ]
        there = rooms.get(name)
        kendall = [there[n]["weighted_kendall"] for n in ("5", "20", "all")] if there else []
        beside = [_number_or_not(value) for value in kendall] or ["–"] * 3
        rows.append([_RANKINGS[name], *cells, *beside, _took(of.get(name), "20")])
    heads = [f"{h}, {n}" for h in ("w. Kendall", "points lost") for n in _LABELS]
    beside = [f"rooms, {n}" for n in ("5", "20", "320")]
    return markdown(["", *heads, *beside, "seconds"], rows)


def _number_or_not(value: float | None) -> str:
    return "–" if value is None else _number(value)


def _took(row: _Found | None, labels: str) -> str:
    """Seconds of the CPU, with two digits."""
    value = None if row is None else row[labels]
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.1g}" if value < 0.1 else f"{value:.2g}"


def _short(found: _Found) -> str:
    """What a user needs: what the default costs, by what there is."""
    tables = found["sets"]["strangers"]["tables"]["all"]
    rows = []
    for what, n, name in (
        ("60 labelled images a class", "60", "linear_probe@both"),
        ("20", "20", "linear_probe@both"),
        ("5", "5", "linear_probe@both"),
        ("images without labels", "5", "consensus@pooled"),
        ("no images: what was good elsewhere", "5", "popularity"),
        ("no images: the largest network", "5", "parameters"),
    ):
        row = tables[n][name]
        _, low, high = row["weighted_kendall"]
        rows.append(
            [
                what,
                *_cells(row, ("weighted_kendall",)),
                f"{_number(low)} to {_number(high)}",
                *_cells(row, ("regret@1", "regret@3")),
            ]
        )
    head = ["you have", "w. Kendall", "95 %", "points lost by the first", "by the first three"]
    return markdown(head, rows)


def _rankings(found: _Found) -> str:
    tables = found["sets"]["strangers"]["tables"]["all"]
    measures = ("weighted_kendall", "regret@1", "regret@3")
    head = ["", *(f"{h}, {n}" for n in _LABELS for h in ("w. Kendall", "regret@1", "@3"))]
    rows = []
    for name, called in _RANKINGS.items():
        if any(name in tables[n] for n in _LABELS):
            cells = [cell for n in _LABELS for cell in _cells(tables[n].get(name), measures)]
            rows.append([called, *cells])
    return markdown(head, rows)


def _measures(found: _Found) -> str:
    """Everything that is measured of a ranking, with 20 labels a class, and its interval."""
    table = found["sets"]["strangers"]["tables"]["all"]["20"]
    heads = {"spearman": "Spearman", "weighted_kendall": "w. Kendall", "P@1": "P@1",
             "regret@1": "regret@1", "regret@3": "regret@3"}  # fmt: skip
    rows = []
    for name in _FEW:
        cells = []
        for m in heads:
            value, low, high = (_number(v, m.startswith("regret")) for v in table[name][m])
            cells.append(f"{value} ({low} to {high})")
        rows.append([_RANKINGS[name], *cells])
    return markdown(["20 labels a class", *heads.values()], rows)


def _aims(found: _Found) -> str:
    """The default task by task, and how near the best networks are to each other there."""
    rows = []
    for task, row in found["by task"].items():
        named = f"{task} (chose)" if task in ("scenes", "textures") else task
        cells = [
            cell
            for n in ("5", "20")
            for cell in _cells(row[n]["linear_probe@both"], ("weighted_kendall", "regret@1"))
        ]
        behind = ", ".join(f"{row['behind'][str(place)]:.1f}" for place in (2, 3, 4, 5))
        rows.append([named, *cells, behind])
    heads = [f"{h}, {n}" for n in ("5", "20") for h in ("w. Kendall", "points lost")]
    return markdown(["the default", *heads, "second to fifth best are behind by"], rows)


def _truths_judged(found: _Found) -> str:
    kinds = {
        "probe@pooled": "probe on pooled features",
        "probe@2x2": "probe on 2 x 2",
        "decoder@4x4": "small decoder",
        "fine-tuned": "fine-tuning",
    }
    there = {k: found["other truths"][k] for k in kinds if k in found["other truths"]}
    rows = [[_RANKINGS[name], *(_pair(t.get(name)) for t in there.values())] for name in _FEW]
    return markdown(["w. Kendall, regret@1", *(kinds[k] for k in there)], rows)


def _published(found: _Found) -> str:
    """Methods of the package by name, asked about fitted targets and about networks of the task."""
    fitted = found["sets"]["strangers"]["tables"]["all"]["20"]
    ahead = found["sets"]["strangers"]["ahead of the default"]["20"]
    asked = found["target networks"]
    ways = dict.fromkeys(n.partition("@")[2] for n in fitted if _method_of(n.partition("@")[2]))
    ways |= dict.fromkeys(way for way in asked if _method_of(way))
    rows = []
    for way in ways:
        name, _, place = way.partition(", ")
        mine = fitted.get(f"fitted@{way}")
        cells = _cells(mine, ("spearman", "weighted_kendall", "regret@1"))
        cells.append(_apart(ahead[f"fitted@{way}"]) if mine else "–")
        there = asked.get(way)
        cells += _cells(there, ("spearman", "weighted_kendall", "regret@1"))
        cells.append(_apart(there["ahead"]) if there and "ahead" in there else "–")
        rows.append([f"`{name}`, {place}", *cells])
    heads = [
        f"{what}: {h}"
        for what, against in (("fitted", "ahead of the probe"), ("network", "ahead of `recommend`"))
        for h in (*_SHORT, against)
    ]
    return markdown(["", *heads], rows)


def _method_of(way: str) -> bool:
    """Whether it is a method of the package at a place, and no penalty of ours."""
    name, _, place = way.partition(", ")
    return name in methods.list() and bool(place)


def _apart(values: Sequence[float]) -> str:
    value, low, high = (_number(v) for v in values)
    return f"{value} ({low} to {high})"


def _seconds(found: _Found) -> str:
    """Of scores by labels, and of passes."""
    of = found["seconds"].get("of", {})
    rows = []
    for name, row in of.items():
        if name in _RANKINGS:
            rows.append([_RANKINGS[name], *(_took(row, n) for n in _LABELS)])
        elif "@" not in name:
            rows.append([f"one image: `{name}`", *(_took(row, n) for n in _LABELS)])
    return markdown(["CPU seconds a candidate", *(f"{n} labels" for n in _LABELS)], rows)


def _intervals(found: _Found) -> str:
    tables = found["sets"]["strangers"]["tables"]["all"]
    rows = []
    for name in _FEW:
        cells = []
        for n in _LABELS:
            _, low, high = tables[n][name]["weighted_kendall"]
            cells.append(f"{_number(low)} to {_number(high)}")
        rows.append([_RANKINGS[name], *cells])
    return markdown(["weighted Kendall, 95 %", *(f"{n} labels" for n in _LABELS)], rows)


def _ahead(found: _Found) -> str:
    ahead = found["sets"]["strangers"]["ahead of the default"]
    rows = []
    for name, called in _RANKINGS.items():
        if name != "linear_probe@both" and all(name in ahead[n] for n in _LABELS):
            cells = [ahead[n][name] for n in _LABELS]
            rows.append(
                [called, *(f"{_number(v)} ({_number(a)} to {_number(b)})" for v, a, b in cells)]
            )
    return markdown(["ahead of the default", *(f"{n} labels" for n in _LABELS)], rows)


def _halves(found: _Found) -> str:
    parts = found["sets"]["strangers"]["tables"]
    measures = ("weighted_kendall", "regret@1")
    rows = []
    for name in _FEW:
        cells = [
            cell
            for part in ("chosen on", "reported on")
            for n in ("5", "20")
            for cell in _cells(parts[part][n].get(name), measures)
        ]
        rows.append([_RANKINGS[name], *cells])
    heads = [
        f"{part}, {n}: {h}"
        for part in ("scenes, textures", "groceries, objects")
        for n in ("5", "20")
        for h in ("w. Kendall", "regret@1")
    ]
    return markdown(["", *heads], rows)


def _traps(found: _Found) -> str:
    rows = []
    for title, called in _SETS.items():
        if title in found["sets"]:
            rows.append([called, *_trap(found["sets"][title]["tables"]["all"]["20"])])
        if title == "strangers":
            tables = found["sets"][title]["tables"]["all"]
            rows.append(["the same, 50 labelled images in all", *_trap(tables["5"])])
            # What others are asked is the same, whoever is there beside them.
            copies = found["consensus"]["all"]["copies"]["targets standardized"]
            beside = {**tables["20"], "consensus@pooled": copies}
            rows.append(["the same, beside nine copies of one of them", *_trap(beside)])
    if "many classes" in found:
        rows.append(["40 classes, 80 labelled images", *_trap(found["many classes"])])
    for n, one in found["seen images"].items():
        if n == "20":
            rows.append(["objects, without who has seen them", *_trap(one["without"])])
            rows.append(["objects, with ResNet-20 and -56 for CIFAR", *_trap(one["with"])])
    return markdown(["w. Kendall, regret@1", *(_RANKINGS[name] for name in _FEW)], rows)


def _trap(table: _Found) -> list[str]:
    return [_pair(table.get(name)) for name in _FEW]


def _pair(row: _Found | None) -> str:
    return ", ".join(_cells(row, ("weighted_kendall", "regret@1"))) if row else "–"


def _consensus(part: str) -> Callable[[_Found], str]:
    def made(found: _Found) -> str:
        rows = []
        for name, row in found["consensus"]["all"][part].items():
            _, low, high = row["weighted_kendall"]
            rows.append(
                [
                    name,
                    *_cells(row, ("spearman", "weighted_kendall")),
                    f"{_number(low)} to {_number(high)}",
                    *_cells(row, ("regret@1",)),
                ]
            )
        return markdown(["", "Spearman", "w. Kendall", "95 %", "regret@1"], rows)

    return made


def _rooms(found: _Found) -> str:
    measures = ("spearman", "weighted_kendall", "regret@1")
    rows = []
    for case, forms in found["rendered rooms"].items():
        for name, row in forms.items():
            values = [_number(row[m]) for m in measures]
            value, low, high = row["ahead"]
            ahead = f"{_number(value)} ({_number(low)} to {_number(high)})"
            rows.append([f"{name}, {case}", *values, "" if name == "mean@pooled" else ahead])
    return markdown(
        ["18 tasks, rendered rooms", "Spearman", "w. Kendall", "regret@1", "ahead of the mean"],
        rows,
    )


_SHORT = ("Spearman", "w. Kendall", "regret@1")


def _targets(found: _Found) -> str:
    """On objects alone, beside what labels and candidates say there."""
    measures = ("spearman", "weighted_kendall", "regret@1")
    rooms = found["targets, rendered rooms"]
    rows = []
    for way, row in found["target networks"].items():
        if _method_of(way):
            continue  # in a table of their own
        place, _, penalty = way.partition(", ")
        there = rooms.get(f"{place}, penalty {float(penalty):g}")
        cells = [_number(there[m]) for m in measures] if there else ["–"] * 3
        rows.append([f"{place}, penalty {float(penalty):g}", *_cells(row, measures), *cells])
    for n in _LABELS:
        table = found["seen images"][n]["without"]
        name = "linear_probe@both"
        cells = _cells(table[name], measures)
        rows.append([f"{_RANKINGS[name]}, {n} labels", *cells, "", "", ""])
    cells = _cells(table["consensus@pooled"], measures)
    rows.append([_RANKINGS["consensus@pooled"], *cells, "", "", ""])
    heads = [f"{what}: {m}" for what in ("objects", "rooms") for m in _SHORT]
    return markdown(["both read at", *heads], rows)


def _truths(found: _Found) -> str:
    one = found["sets"]["strangers"]
    rows = [
        [f"probe on pooled features, two draws of {n} a class", _number(value)]
        for n, value in one["retest"].items()
        if value is not None
    ]
    called = {
        "probe@2x2": "probe on 2 x 2",
        "decoder@4x4": "small decoder on 4 x 4",
        "fine-tuned": "fine-tuning",
    }
    rows += [
        [f"probe on pooled features, {called[kind]}", _number(value)]
        for kind, value in one["agreement of truths"].items()
        if value is not None
    ]
    return markdown(["Spearman of two truths", ""], rows)


TABLES: dict[str, Callable[[_Found], str]] = {
    "short": _short,
    "main": _main,
    "aims": _aims,
    "rankings": _rankings,
    "measures": _measures,
    "intervals": _intervals,
    "ahead": _ahead,
    "halves": _halves,
    "traps": _traps,
    "truths": _truths,
    "truths judged": _truths_judged,
    "published": _published,
    "seconds": _seconds,
    "targets": _targets,
    "consensus forms": _consensus("forms"),
    "consensus copies": _consensus("copies"),
    "consensus images": _consensus("images"),
    "consensus candidates": _consensus("candidates"),
    "consensus rooms": _rooms,
}
