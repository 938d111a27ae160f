"""The tables of docs/faithfulness.md, made of what the command finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..pages import markdown, number
from .measuring import FILLS, MEASURES, PATCHES, settings

__all__ = ["TABLES"]

_Found = dict[str, Any]
_CALLED = {"distance": "distance of outputs", "scalar": "attributed number"}


def _judged(found: _Found) -> str:
    rows = []
    for what, fill, patch in settings():
        one = found["settings"][f"{what}, {fill}, {patch}"]
        between = f"{number(one['low'], '+')} to {number(one['high'], '+')}"
        rows.append(
            [
                _CALLED[what],
                fill,
                f"{patch} x {patch}",
                f"{number(one['spearman'], '+')} ({between})",
                f"{one['positive'] * found['targets']:.0f} of {found['targets']}",
            ]
        )
    head = ["followed", "fill", "patch", "Spearman, faithful against ranks well", "above 0"]
    return markdown(head, rows)


def _by_method(found: _Found) -> str:
    of = found["by method"]
    order = sorted(of, key=lambda name: -of[name]["rank quality"])
    shown = [f"{what}, {fill}, {patch}" for what in MEASURES for fill in FILLS for patch in PATCHES]
    rows = [
        [
            f"`{name}`",
            number(of[name]["rank quality"]),
            *(number(of[name][label], "+") for label in shown),
        ]
        for name in order
    ]
    return markdown(["method", "rank quality", *shown], rows)


def _orders(found: _Found) -> str:
    rows = [
        [
            f"{one['patch']} x {one['patch']}",
            *(number(one[name]) for name in ("strongest", "weakest", "random")),
            f"{number(one['between'], '+')} ({number(one['low'], '+')} to "
            f"{number(one['high'], '+')})",
        ]
        for one in found["orders"]
    ]
    head = ["patch", "strongest", "weakest", "random", "strongest less weakest"]
    return markdown(head, rows)


TABLES: dict[str, Callable[[_Found], str]] = {
    "orders": _orders,
    "faithful": _judged,
    "faithful by method": _by_method,
}
