"""The tables of docs/layers.md, made of what the command finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..pages import markdown, number
from .judging import RULES
from .truth import IMAGES, STAGES

__all__ = ["TABLES"]

_Found = dict[str, Any]
_CALLED = {
    "recommended": "**`recommended`**",
    "depth": "*the last; depth alone*",
    "middle": "*the middle*",
    "others": "*best for the other tasks*",
    "chance": "*drawn by chance*",
}


def _judged(found: _Found) -> str:
    rows = []
    order = sorted(
        found["judged"], key=lambda name: found["judged"][name][str(IMAGES[0])]["regret"]
    )
    for name in order:
        cells = [_CALLED.get(name, f"`{name}`")]
        for count in IMAGES:
            of = found["judged"][name][str(count)]
            regret = f"{number(of['regret'])} ({number(of['low'])} to {number(of['high'])})"
            cells += [regret, f"{of['best']:.0%}".replace("%", " %"), number(of["spearman"])]
        rows.append(cells)
    head = [f"{n} images: {what}" for n in IMAGES for what in ("regret", "best named", "Spearman")]
    return markdown(["", *head], rows)


def _differences(found: _Found) -> str:
    rows = []
    for rule in RULES:
        cells = [_CALLED[rule]]
        for count in IMAGES:
            of = found["differences"][rule][str(count)]
            between = f"{number(of['low'], '+')} to {number(of['high'], '+')}"
            cells.append(f"{number(of['regret'], '+')} ({between})")
        rows.append(cells)
    return markdown(["regret of `recommended`, less that of", *_heads()], rows)


def _stages(found: _Found) -> str:
    rows = [
        [
            f"`{stage}`",
            *(number(found["losses"][str(n)][stage]) for n in IMAGES),
            *(str(found["best stages"][str(n)][stage]) for n in IMAGES),
        ]
        for stage in STAGES
    ]
    head = [f"loss, {n} images" for n in IMAGES] + [f"best, of {found['pairs']}" for _ in IMAGES]
    return markdown(["", *head], rows)


def _heads() -> list[str]:
    return [f"{n} images" for n in IMAGES]


TABLES: dict[str, Callable[[_Found], str]] = {
    "judged": _judged,
    "differences": _differences,
    "stages": _stages,
}
