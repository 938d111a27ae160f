"""The tables of docs/evidence.md and docs/evidence-details.md, made of the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyattrx import methods

from ..pages import markdown, number
from .shown import FEW, LABELS, MAIN, RANKINGS, apart, cells_of, pair, took, written

__all__ = ["TABLES"]

_Found = dict[str, Any]
_SETS = {
    "strangers": "17 networks as they are",
    "one size": "19 of one size, trained otherwise",
    "with half sizes": "4 more, input half as large",
    "with double sizes": "3 more, input twice as large",
    "with random ones": "3 more that nobody trained",
}


def _main(found: _Found) -> str:
    """Real images, rendered rooms and seconds side by side."""
    tables = found["sets"]["strangers"]["tables"]["all"]
    rooms, of = found["rendered rooms, scores"], found["seconds"].get("of", {})
    rows = []
    for name in MAIN:
        if not any(name in tables[n] for n in LABELS):
            continue
        cells = [
            cell
            for m in ("weighted_kendall", "regret@1")
            for n in LABELS
            for cell in cells_of(tables[n].get(name), (m,))
        ]
        there = rooms.get(name)
        kendall = [there[n]["weighted_kendall"] for n in ("5", "20", "all")] if there else []
        beside = [_number_or_not(value) for value in kendall] or ["–"] * 3
        rows.append([RANKINGS[name], *cells, *beside, took(of.get(name), "20")])
    heads = [f"{h}, {n}" for h in ("w. Kendall", "points lost") for n in LABELS]
    beside = [f"rooms, {n}" for n in ("5", "20", "320")]
    return markdown(["", *heads, *beside, "seconds"], rows)


def _number_or_not(value: float | None) -> str:
    return "–" if value is None else written(value)


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
                *cells_of(row, ("weighted_kendall",)),
                f"{written(low)} to {written(high)}",
                *cells_of(row, ("regret@1", "regret@3")),
            ]
        )
    head = ["you have", "w. Kendall", "95 %", "points lost by the first", "by the first three"]
    return markdown(head, rows)


def _rankings(found: _Found) -> str:
    tables = found["sets"]["strangers"]["tables"]["all"]
    measures = ("weighted_kendall", "regret@1", "regret@3")
    head = ["", *(f"{h}, {n}" for n in LABELS for h in ("w. Kendall", "regret@1", "@3"))]
    rows = []
    for name, called in RANKINGS.items():
        if any(name in tables[n] for n in LABELS):
            cells = [cell for n in LABELS for cell in cells_of(tables[n].get(name), measures)]
            rows.append([called, *cells])
    return markdown(head, rows)


def _measures(found: _Found) -> str:
    """Everything that is measured of a ranking, with 20 labels a class, and its interval."""
    table = found["sets"]["strangers"]["tables"]["all"]["20"]
    heads = {"spearman": "Spearman", "weighted_kendall": "w. Kendall", "P@1": "P@1",
             "regret@1": "regret@1", "regret@3": "regret@3"}  # fmt: skip
    rows = []
    for name in FEW:
        cells = []
        for m in heads:
            value, low, high = (written(v, m.startswith("regret")) for v in table[name][m])
            cells.append(f"{value} ({low} to {high})")
        rows.append([RANKINGS[name], *cells])
    return markdown(["20 labels a class", *heads.values()], rows)


def _aims(found: _Found) -> str:
    """The default task by task, and how near the best networks are to each other there."""
    rows = []
    for task, row in found["by task"].items():
        named = f"{task} (chose)" if task in ("scenes", "textures") else task
        cells = [
            cell
            for n in ("5", "20")
            for cell in cells_of(row[n]["linear_probe@both"], ("weighted_kendall", "regret@1"))
        ]
        behind = ", ".join(f"{row['behind'][str(place)]:.1f}" for place in (2, 3, 4, 5))
        rows.append([named, *cells, behind])
    heads = [f"{h}, {n}" for n in ("5", "20") for h in ("w. Kendall", "points lost")]
    return markdown(["the default", *heads, "second to fifth best are behind by"], rows)


def _reached(found: _Found) -> str:
    """Every aim, and what the default and the consensus reach on tasks that had no say."""
    tables = found["sets"]["strangers"]["tables"]["reported on"]

    def value(name: str, n: str, m: str = "weighted_kendall") -> float:
        return float(tables[n][name][m][0])

    default, free = "linear_probe@both", "consensus@pooled"
    rivals = ("linear_probe@pooled", "logme@pooled", "knn@pooled")
    rows = []
    for n, kendall, points in (("20", 0.85, 1.0), ("5", 0.72, 2.0)):
        for what, m, aim in (
            ("weighted Kendall", "weighted_kendall", kendall),
            ("points lost by the first", "regret@1", points),
        ):
            got, of_points = value(default, n, m), m == "regret@1"
            held = got <= aim if of_points else got >= aim
            rows.append([f"{what}, {n} labels a class", written(aim, of_points),
                         written(got, of_points), "held" if held else "missed"])  # fmt: skip
    for rival in rivals:
        got, other = value(default, "5"), value(rival, "5")
        rows.append([f"5 labels, ahead of {RANKINGS[rival]}", "beyond the noise",
                     number(got - other, "+"), "within the noise"])  # fmt: skip
    got = value(free, "5")
    rows.append(["weighted Kendall, no label", ".60", written(got),
                 "held" if got >= 0.6 else "missed"])  # fmt: skip
    for rival in ("parameters", "popularity"):
        less = got - value(rival, "5")
        rows.append([f"no label, ahead of {RANKINGS[rival].strip('*')}", "above 0",
                     number(less, "+"), "ahead" if less > 0 else "missed"])  # fmt: skip
    return markdown(["the aim", "", "reached", ""], rows)


def _truths_judged(found: _Found) -> str:
    kinds = {
        "probe@pooled": "probe on pooled features",
        "probe@2x2": "probe on 2 x 2",
        "decoder@4x4": "small decoder",
        "fine-tuned": "fine-tuning",
    }
    there = {k: found["other truths"][k] for k in kinds if k in found["other truths"]}
    rows = [[RANKINGS[name], *(pair(t.get(name)) for t in there.values())] for name in FEW]
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
        cells = cells_of(mine, ("spearman", "weighted_kendall", "regret@1"))
        cells.append(apart(ahead[f"fitted@{way}"]) if mine else "–")
        there = asked.get(way)
        cells += cells_of(there, ("spearman", "weighted_kendall", "regret@1"))
        cells.append(apart(there["ahead"]) if there and "ahead" in there else "–")
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


def _seconds(found: _Found) -> str:
    """Of scores by labels, and of passes."""
    of = found["seconds"].get("of", {})
    rows = []
    for name, row in of.items():
        if name in RANKINGS:
            rows.append([RANKINGS[name], *(took(row, n) for n in LABELS)])
        elif "@" not in name:
            rows.append([f"one image: `{name}`", *(took(row, n) for n in LABELS)])
    return markdown(["CPU seconds a candidate", *(f"{n} labels" for n in LABELS)], rows)


def _intervals(found: _Found) -> str:
    tables = found["sets"]["strangers"]["tables"]["all"]
    rows = []
    for name in FEW:
        cells = []
        for n in LABELS:
            _, low, high = tables[n][name]["weighted_kendall"]
            cells.append(f"{written(low)} to {written(high)}")
        rows.append([RANKINGS[name], *cells])
    return markdown(["weighted Kendall, 95 %", *(f"{n} labels" for n in LABELS)], rows)


def _ahead(found: _Found) -> str:
    ahead = found["sets"]["strangers"]["ahead of the default"]
    rows = []
    for name, called in RANKINGS.items():
        if name != "linear_probe@both" and all(name in ahead[n] for n in LABELS):
            cells = [ahead[n][name] for n in LABELS]
            rows.append(
                [called, *(f"{written(v)} ({written(a)} to {written(b)})" for v, a, b in cells)]
            )
    return markdown(["ahead of the default", *(f"{n} labels" for n in LABELS)], rows)


def _halves(found: _Found) -> str:
    parts = found["sets"]["strangers"]["tables"]
    measures = ("weighted_kendall", "regret@1")
    rows = []
    for name in FEW:
        cells = [
            cell
            for part in ("chosen on", "reported on")
            for n in ("5", "20")
            for cell in cells_of(parts[part][n].get(name), measures)
        ]
        rows.append([RANKINGS[name], *cells])
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
    return markdown(["w. Kendall, regret@1", *(RANKINGS[name] for name in FEW)], rows)


def _trap(table: _Found) -> list[str]:
    return [pair(table.get(name)) for name in FEW]


def _consensus(part: str) -> Callable[[_Found], str]:
    def made(found: _Found) -> str:
        rows = []
        for name, row in found["consensus"]["all"][part].items():
            _, low, high = row["weighted_kendall"]
            rows.append(
                [
                    name,
                    *cells_of(row, ("spearman", "weighted_kendall")),
                    f"{written(low)} to {written(high)}",
                    *cells_of(row, ("regret@1",)),
                ]
            )
        return markdown(["", "Spearman", "w. Kendall", "95 %", "regret@1"], rows)

    return made


def _rooms(found: _Found) -> str:
    measures = ("spearman", "weighted_kendall", "regret@1")
    rows = []
    for case, forms in found["rendered rooms"].items():
        for name, row in forms.items():
            values = [written(row[m]) for m in measures]
            value, low, high = row["ahead"]
            ahead = f"{written(value)} ({written(low)} to {written(high)})"
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
        cells = [written(there[m]) for m in measures] if there else ["–"] * 3
        rows.append([f"{place}, penalty {float(penalty):g}", *cells_of(row, measures), *cells])
    for n in LABELS:
        table = found["seen images"][n]["without"]
        name = "linear_probe@both"
        cells = cells_of(table[name], measures)
        rows.append([f"{RANKINGS[name]}, {n} labels", *cells, "", "", ""])
    cells = cells_of(table["consensus@pooled"], measures)
    rows.append([RANKINGS["consensus@pooled"], *cells, "", "", ""])
    heads = [f"{what}: {m}" for what in ("objects", "rooms") for m in _SHORT]
    return markdown(["both read at", *heads], rows)


def _truths(found: _Found) -> str:
    one = found["sets"]["strangers"]
    rows = [
        [f"probe on pooled features, two draws of {n} a class", written(value)]
        for n, value in one["retest"].items()
        if value is not None
    ]
    called = {
        "probe@2x2": "probe on 2 x 2",
        "decoder@4x4": "small decoder on 4 x 4",
        "fine-tuned": "fine-tuning",
    }
    rows += [
        [f"probe on pooled features, {called[kind]}", written(value)]
        for kind, value in one["agreement of truths"].items()
        if value is not None
    ]
    return markdown(["Spearman of two truths", ""], rows)


TABLES: dict[str, Callable[[_Found], str]] = {
    "short": _short,
    "main": _main,
    "aims": _aims,
    "reached": _reached,
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
