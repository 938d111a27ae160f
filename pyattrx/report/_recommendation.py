"""Drawing of a recommendation: candidates with their intervals, and what they cost."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyattrx.report import canvas
from pyattrx.report.arguments import checked_path, checked_title, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyattrx.recommending import Recommendation, Standing

__all__ = ["recommendation_figure"]

_WIDTH = 4.6  # inches of the intervals
_COSTS_WIDTH = 1.5
_GAP = 0.25
_LARGEST_ROW, _SMALLEST_ROW = 0.27, 0.085
_USUAL_HEIGHT, _LARGEST_HEIGHT = 10.0, 26.0
_AXIS_HEIGHT = 0.42
_FIRST, _BEHIND = "#1f6fb2", canvas.MUTED


def recommendation_figure(
    result: Recommendation,
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw candidates from first to last, each with its interval, beside what it costs.

    Blue are the first and those that the images cannot tell apart from it; a filled cost means that
    everything that ranks higher costs more.

    Parameters
    ----------
    result : Recommendation
    title, path : optional
        As for `heatmap`; a title that is left out is the name of the task.

    Returns
    -------
    matplotlib.figure.Figure
        As of `heatmap`.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    InvalidTypeError
        If `title` is not a string or `path` not a path.
    InvalidValueError
        If `path` ends in neither .png nor .svg.
    """
    file = checked_path(path)
    title = checked_title(title) or f"Where to start from: {result.task['name']}"
    with canvas.house_style():
        figure = _draw(result, title)
        canvas.save(figure, file)
    return figure


def _draw(whole: Recommendation, title: str) -> Figure:
    # Those that dropped out of a race have no value to draw.
    result = [one for one in whole if not math.isnan(one.value)]
    best = whole.best
    count = len(result)
    row = min(_LARGEST_ROW, max(_USUAL_HEIGHT / count, _SMALLEST_ROW), _LARGEST_HEIGHT / count)
    size, stride = canvas.fitting_labels(row)
    labels = canvas.shortened([printable(one.name) for one in result])
    left = canvas.PAD + max(canvas.text_widths(labels, size)) + 0.1
    costs, unit = _costs(result)
    right = _GAP + _COSTS_WIDTH if costs else 0.0
    width = left + _WIDTH + right + canvas.PAD
    heading, title_height = canvas.wrapped_title(title, width - 2 * canvas.PAD)
    height = canvas.PAD + _AXIS_HEIGHT + row * count + title_height + canvas.PAD
    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, heading)
    bottom = canvas.PAD + _AXIS_HEIGHT

    ax = canvas.add_axes(figure, left, bottom, _WIDTH, row * count)
    for index, one in enumerate(result):
        together = one is best or best.name in one.ties
        colour = _FIRST if together else _BEHIND
        if not math.isnan(one.low):
            ax.plot([one.low, one.high], [index, index], color=colour, lw=1.2, zorder=2)
        ax.plot([one.value], [index], "o", color=colour, ms=4, zorder=3)
    _finish(ax, count, "value, with its interval")
    shown = range(0, count, stride)
    ax.set_yticks(shown, [labels[i] for i in shown], size=size, color=canvas.INK, parse_math=False)
    ax.tick_params(axis="y", pad=4, length=0)

    if costs:
        beside = canvas.add_axes(figure, left + _WIDTH + _GAP, bottom, _COSTS_WIDTH, row * count)
        for index, (one, cost) in enumerate(zip(result, costs, strict=True)):
            face = _FIRST if one.on_front else "none"
            beside.barh(index, cost, height=0.6, facecolor=face, edgecolor=_FIRST, lw=0.8, zorder=2)
        _finish(beside, count, unit)
        beside.set_xlim(left=0)
        beside.set_yticks([])
    return figure


def _finish(ax: Any, count: int, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_ylim(count - 0.5, -0.5)
    canvas.bare(ax)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(canvas.number)
    ax.tick_params(axis="x", labelsize=8, pad=3)
    ax.grid(axis="x", color=canvas.HAIRLINE, linewidth=0.6, zorder=0)
    ax.set_xlabel(label, size=8, labelpad=3)


def _costs(result: Sequence[Standing]) -> tuple[list[float], str]:
    """What every candidate costs, and in what; nothing where it is not known of all."""
    all_costs = [one.costs for one in result]
    times = [None if c is None else c.milliseconds for c in all_costs]
    counts = [None if c is None else c.multiply_adds for c in all_costs]
    if all(t is not None for t in times):
        return [float(t) for t in times if t is not None], "milliseconds an image"
    if all(c is not None for c in counts):
        return [c / 1e9 for c in counts if c is not None], "billion multiply-adds"
    return [], ""
