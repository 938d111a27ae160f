"""A recommendation as text that fits a terminal, and as HTML for a notebook."""

from __future__ import annotations

import html
import math
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyattrx._names import shortened
from pyattrx._wrapping import wrapped
from pyattrx.features import Costs
from pyattrx.recommending.agreement import MANY

if TYPE_CHECKING:
    from pyattrx.recommending.result import Recommendation, Standing

__all__ = ["as_html", "as_text"]

_SHORTEST_NAME = 24
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TITLES = {
    "place": "",
    "name": "network",
    "value": "value",
    "interval": "95 % interval",
    "accuracy": "accuracy",
    "imagenet_top1": "ImageNet",
    "parameters": "params",
    "multiply_adds": "mult-adds",
    "milliseconds": "ms/image",
    "width": "features",
    "input": "input",
    "front": "front",
}
_R_SQUARED = ("linear_probe", "knn", "label_ridge", "ridge_loo", "consensus", "target")
# What goes first where there is no room, before and after the places by other scores.
_DROPPED = ("width", "input", "multiply_adds", "imagenet_top1")
_DROPPED_LAST = ("front", "parameters", "milliseconds")


def as_text(result: Recommendation, width: int | None = None) -> str:
    """Return a table of at most `width` characters a line, and below it what to know about it.

    The width is the terminal's if left out; where there is none, 100 for the table and 80 for text.
    """
    table, shown = _table(result, width or shutil.get_terminal_size((100, 40)).columns)
    above = [_headline(result), f"Ranked by {result.score}."]
    below = _legend(result, shown)
    below += _remarks(result)
    below += [f"{name} failed: {' '.join(why.split())}" for name, why in result.failures.items()]
    below += result.notes
    said = [[wrapped(line, width) for line in lines] for lines in (above, below)]
    return "\n".join([*said[0], "", *table, "", *said[1]])


def as_html(result: Recommendation) -> str:
    """Return a table for a notebook."""
    titles, rows = _cells(result)
    keep = [key for key in titles if key != "front"]
    head = "".join(f"<th>{html.escape(titles[key])}</th>" for key in keep)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(row[key])}</td>" for key in keep) + "</tr>"
        for row in rows
    )
    said = [_headline(result), f"Ranked by {result.score}.", *_legend(result, keep), *result.notes]
    failed = [f"{name} failed: {why}" for name, why in result.failures.items()]
    below = "".join(f"<p>{html.escape(line)}</p>" for line in [*said, *failed] if line)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def _headline(result: Recommendation) -> str:
    task = result.task
    count = task["n"]
    said = f"Which network to start from: {task['name']}, {count} image{'s' * (count != 1)}"
    if task["n_labelled"]:
        said += f", {task['n_labelled']} labelled"
    if task["classes"] is not None:
        said += f", {len(task['classes'])} classes"
    return said


def _legend(result: Recommendation, shown: Sequence[str]) -> list[str]:
    lines = []
    if any(one is not result.best and result.best.name in one.ties for one in result):
        lines.append("= these images cannot tell it apart from the first.")
    if "front" in shown and sum(one.on_front for one in result) > 1:
        lines.append("* everything that ranks higher costs more.")
    others = [key.removeprefix("place of ") for key in shown if key.startswith("place of ")]
    if others:
        alone = "these scores" if len(others) > 1 else "this score"
        lines.append(f"{', '.join(others)}: places by {alone} alone.")
    return lines + _value(result)


def _value(result: Recommendation) -> list[str]:
    """What the value is, where it is one score and nothing else."""
    main, kind = result.provenance.get("main_score"), result.task.get("kind")
    if result.provenance.get("consensus_weight"):
        return []
    if main in ("linear_probe", "knn") and kind == "classification":
        what = "probability" if main == "linear_probe" else "share of neighbours"
        return [f"value: mean log {what} of an image's own class; 0 at best."]
    if main == "consensus" and len(result) >= MANY:
        return [
            "value: how much better than the rest it predicts each of the others, in standard "
            "deviations."
        ]
    if main in _R_SQUARED:
        return ["value: R^2; 1 at best, about 0 for what knows nothing."]
    return []


def _remarks(result: Recommendation) -> list[str]:
    """What is to be known of candidates: of several, once."""
    names: dict[str, list[str]] = {}
    for one in result:
        for remark in one.remarks:
            names.setdefault(remark, []).append(one.name)
    return [f"{', '.join(found)}: {remark}" for remark, found in names.items()]


def _is_place(result: Recommendation, name: str) -> bool:
    return name != result.provenance.get("main_score")


def _table(result: Recommendation, room: int) -> tuple[list[str], list[str]]:
    titles, rows = _cells(result)
    keys = list(titles)
    shortest = min(_SHORTEST_NAME, max(len(row["name"]) for row in rows))

    def widths() -> dict[str, int]:
        return {k: max(len(titles[k]), *(len(row[k]) for row in rows)) for k in keys}

    def over(found: dict[str, int]) -> int:
        return sum(found.values()) + 2 * (len(keys) - 1) - room

    found = widths()
    places = [key for key in keys if key.startswith("place of ")]
    places.sort(key="place of consensus".__eq__)  # the last one to go: no label says the same
    for key in (*_DROPPED, *reversed(places[:-1]), *_DROPPED_LAST, *places[-1:], "interval"):
        if over(found) - (found["name"] - shortest) > 0 and key in keys:
            keys.remove(key)
            found = widths()
    found["name"] = max(shortest, found["name"] - max(0, over(found)))
    names = shortened([row["name"] for row in rows], found["name"])
    if names is None:  # they differ in their middle
        names = [row["name"] for row in rows]
        found["name"] = max(map(len, names))
    for row, name in zip(rows, names, strict=True):
        row["name"] = name
    lines = [_line(keys, titles, found), "  ".join("-" * found[key] for key in keys)]
    lines += [_line(keys, row, found) for row in rows]
    return [line.rstrip() for line in lines], keys


def _line(keys: Sequence[str], row: dict[str, str], widths: dict[str, int]) -> str:
    return "  ".join(
        row[key].ljust(widths[key]) if key == "name" else row[key].rjust(widths[key])
        for key in keys
    )


def _cells(result: Recommendation) -> tuple[dict[str, str], list[dict[str, str]]]:
    others = [name for name in result.score_names if _is_place(result, name)]
    order = ["place", "name", "value", "interval", "accuracy"]
    order += [f"place of {name}" for name in others]
    order += [
        "imagenet_top1",
        "milliseconds",
        "parameters",
        "multiply_adds",
        "width",
        "input",
        "front",
    ]
    titles = {key: _TITLES.get(key, key.removeprefix("place of ")) for key in order}
    if "interval" in titles:
        titles["interval"] = f"{100 * result.provenance['level']:g} % interval"
    rows = [_row(result, one, others) for one in result]
    used = [key for key in order if any(row[key] for row in rows)]
    return {key: titles[key] for key in used}, rows


def _row(result: Recommendation, one: Standing, others: Sequence[str]) -> dict[str, str]:
    tied = one is not result.best and result.best.name in one.ties
    row = {
        "place": f"{one.place}{'=' if tied else ' '}",
        "name": one.name,
        "value": _number(one.value),
        "interval": "" if math.isnan(one.low) else f"{_number(one.low)} to {_number(one.high)}",
        "accuracy": f"{one.facts['accuracy']:.3f}" if "accuracy" in one.facts else "",
        "imagenet_top1": f"{one.facts['imagenet_top1']:.1f}"
        if "imagenet_top1" in one.facts
        else "",
        "front": "*" if one.on_front else "",
    }
    for name in others:
        row[f"place of {name}"] = str(one.places[name]) if name in one.places else "-"
    return row | _costs(one.costs)


def _costs(costs: Costs | None) -> dict[str, str]:
    if costs is None:
        return dict.fromkeys(("parameters", "multiply_adds", "milliseconds", "width", "input"), "")
    counted, taken = costs.multiply_adds, costs.milliseconds
    return {
        "parameters": _large(costs.parameters),
        "multiply_adds": "" if counted is None else _large(counted),
        "milliseconds": "" if taken is None else f"{taken:.3g}",
        "width": str(costs.width),
        "input": f"{costs.input_size[0]}x{costs.input_size[1]}",
    }


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _large(value: float) -> str:
    for unit, letter in _UNITS:
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.0f}"
