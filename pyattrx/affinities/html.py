"""Affinities as HTML for a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyattrx.affinities.result import Affinity

__all__ = ["as_html"]

_WIDEST = 16  # networks of which a matrix can still be read
_NEAREST, _TARGETS = 3, 100  # beyond that: sources of a target, and targets


def as_html(result: Affinity) -> str:
    """Return the matrix, or each network's nearest sources where it would be too large.

    Examples
    --------
    >>> import numpy as np, pyattrx
    >>> from pyattrx.affinities.html import as_html
    >>> one = pyattrx.Affinity(["<a>"], np.ones((1, 1)), np.ones((1, 1)), True, np.arange(1))
    >>> "<th>&lt;a&gt;</th>" in as_html(one)
    True
    """
    table = _matrix(result) if len(result) <= _WIDEST else _nearest(result)
    said = [repr(result), "Rows are targets, columns sources."]
    if len(result) > _WIDEST:
        said[1:] = ["nearest(name) tells more: intervals, and what cannot be told apart."]
    if len(result) > _TARGETS:
        said.append(f"{len(result) - _TARGETS} more targets are not shown.")
    said += [f"{name} failed: {why}" for name, why in result.failures.items()]
    return table + "".join(f"<p>{html.escape(line)}</p>" for line in said)


def _matrix(result: Affinity) -> str:
    rows = [
        ["-" if i == j else _number(value, stderr) for j, (value, stderr) in enumerate(pairs)]
        for i, pairs in enumerate(map(zip, result.values, result.stderr))
    ]
    return _table(["", *result.names], zip(result.names, rows, strict=True))


def _nearest(result: Affinity) -> str:
    rows = []
    for target, name in enumerate(result.names[:_TARGETS]):
        order = [int(j) for j in np.argsort(-result.values[target], kind="stable") if j != target]
        cells = []
        for j in order[:_NEAREST]:
            number = _number(result.values[target, j], result.stderr[target, j])
            cells.append(f"{result.names[j]} {number}")
        rows.append((name, cells))
    return _table(["target", *(f"source {place + 1}" for place in range(_NEAREST))], rows)


def _table(titles: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(f'<td style="white-space: nowrap">{html.escape(cell)}</td>' for cell in cells)
        + "</tr>"
        for name, cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float, stderr: float) -> str:
    return f"{value:.3f}" + ("" if math.isnan(stderr) else f" ± {stderr:.3f}")
