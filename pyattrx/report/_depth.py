"""Scores of layers against their depth."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidValueError
from pyattrx.report import canvas
from pyattrx.report.arguments import checked_labels, checked_numbers, checked_path, checked_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["depth_figure"]

_HEIGHT, _PITCH, _LEAST_WIDTH = 2.9, 0.42, 3.4  # inches of the axes, and of a layer
_LEFT = 0.62
_FIRST, _BEHIND = "#1f6fb2", canvas.MUTED


def depth_figure(
    names: Sequence[str],
    scores: Any,
    low: Any,
    high: Any,
    *,
    marked: Collection[str] = (),
    label: str = "score",
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the scores of layers from the first to the last, each with its interval.

    Blue is the best one and what the images cannot tell apart from it.

    Parameters
    ----------
    names : sequence of str
        Layers, first to last.
    scores, low, high : sequence of float
        The score of each, and the ends of its interval; NaN where there is none.
    marked : collection of str
        Those that are blue; the first of them is the best one, which is larger.
    label : str
        What the scores are.
    title, path : optional
        As for `heatmap`.

    Returns
    -------
    matplotlib.figure.Figure
        As of `heatmap`.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    InvalidTypeError, InvalidValueError
        If there is no layer, or not as many numbers as layers, or an argument is not of the kind
        named above.

    Examples
    --------
    >>> from pyattrx.report import depth_figure
    >>> figure = depth_figure(["layer1", "layer2"], [0.2, 0.4], [0.1, 0.3], [0.3, 0.5])
    >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
    ['layer1', 'layer2']
    """
    file = checked_path(path)
    title = checked_title(title)
    values = checked_numbers("scores", scores, "one number for every layer")
    labels = checked_labels("names", names, len(values), "score")
    if not labels:
        raise InvalidValueError("names", list(names), "at least one layer")
    ends = [
        checked_numbers(argument, given, "one number for every layer")
        for argument, given in (("low", low), ("high", high))
    ]
    for argument, given in zip(("low", "high"), ends, strict=True):
        if given.shape != values.shape:
            raise InvalidValueError(argument, given, f"{len(values)} numbers, one for every layer")
    colours = [_FIRST if name in marked else _BEHIND for name in names]
    best = next(iter(marked), None)
    sizes = [6.5 if name == best else 4.0 for name in names]
    with canvas.house_style():
        figure = _draw(labels, values, ends, colours, sizes, label, title)
        canvas.save(figure, file)
    return figure


def _draw(
    names: Sequence[str],
    values: NDArray[Any],
    ends: Sequence[NDArray[Any]],
    colours: Sequence[str],
    sizes: Sequence[float],
    label: str,
    title: str | None,
) -> Figure:
    count = len(names)
    labels = canvas.shortened(names)
    widths = canvas.text_widths(labels, canvas.LABEL_SIZE)
    across = max(_LEAST_WIDTH, count * _PITCH)
    flat = max(widths) < 0.9 * across / count
    below = 0.3 if flat else max(widths) / math.sqrt(2) + 0.25
    # A slanted label reaches to the left of its layer.
    left = canvas.PAD + max(_LEFT, 0.0 if flat else widths[0] / math.sqrt(2) - across / count / 2)
    width = left + across + canvas.PAD
    heading, title_height = canvas.wrapped_title(title, width - 2 * canvas.PAD)
    height = canvas.PAD + below + _HEIGHT + title_height + canvas.PAD
    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, heading)
    ax = canvas.add_axes(figure, left, canvas.PAD + below, across, _HEIGHT)
    places = np.arange(count)
    ax.plot(places, values, color=canvas.MUTED, lw=0.8, zorder=1)
    for place, value, low, high, colour, size in zip(
        places, values, *ends, colours, sizes, strict=True
    ):
        if not math.isnan(low):
            ax.plot([place, place], [low, high], color=colour, lw=1.4, zorder=2)
        ax.plot([place], [value], "o", color=colour, ms=size, zorder=3, clip_on=False)
    canvas.bare(ax)
    ax.set_xlim(-0.5, count - 0.5)
    ax.set_xticks(places, labels, size=canvas.LABEL_SIZE, color=canvas.INK, parse_math=False)
    if not flat:
        for text in ax.get_xticklabels():
            text.set(rotation=45, rotation_mode="anchor", ha="right", va="center")
    ax.yaxis.set_major_formatter(canvas.number)
    ax.grid(axis="y", color=canvas.HAIRLINE, linewidth=0.6, zorder=0)
    ax.set_axisbelow(True)
    ax.set_ylabel(canvas.shortened([label])[0], parse_math=False)
    return figure
