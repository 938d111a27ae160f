"""Drawing of a task similarity tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyattrx.errors import InvalidTypeError
from pyattrx.report import canvas
from pyattrx.report.arguments import checked_path, checked_title, printable
from pyattrx.tree import Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["tree_figure"]

_WIDTH = 4.6  # inches of the branches
_LARGEST_ROW, _SMALLEST_ROW = 0.27, 0.085
_USUAL_HEIGHT, _LARGEST_HEIGHT = 10.0, 26.0
_AXIS_HEIGHT = 0.42
_VISIBLE = 1e-280  # matplotlib makes up limits for smaller ranges


def tree_figure(
    tree: Tree, *, title: str | None = None, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw a task similarity tree, its leaves on the right from first to last.

    The axis shows the distance at which two groups join. It starts at 0, or close below the first
    merge where all merges lie far from 0.

    Parameters
    ----------
    tree : Tree
        From `pyattrx.tree.build_tree`.
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
    InvalidTypeError
        If `tree` is not a `Tree`, `title` not a string or `path` not a path.
    InvalidValueError
        If `path` ends in neither .png nor .svg.

    Examples
    --------
    >>> from pyattrx.tree import build_tree
    >>> tree = build_tree([[1, 0.1, 0.8], [0.1, 1, 0.2], [0.8, 0.2, 1]], ["a", "b", "c"])
    >>> [text.get_text() for text in tree_figure(tree).axes[0].get_yticklabels()]
    ['a', 'c', 'b']
    """
    if not isinstance(tree, Tree):
        raise InvalidTypeError("tree", tree, "a pyattrx.tree.Tree")
    file = checked_path(path)
    title = checked_title(title)
    with canvas.house_style():
        figure = _draw(tree, title)
        canvas.save(figure, file)
    return figure


def _draw(tree: Tree, title: str | None) -> Figure:
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    count = len(tree.names)
    row = min(_LARGEST_ROW, max(_USUAL_HEIGHT / count, _SMALLEST_ROW), _LARGEST_HEIGHT / count)
    size, stride = canvas.fitting_labels(row)
    labels = canvas.shortened([printable(name) for name in tree.leaves])
    width = canvas.PAD + _WIDTH + 0.08 + max(canvas.text_widths(labels, size)) + canvas.PAD
    heading, title_height = canvas.wrapped_title(title, width - 2 * canvas.PAD)
    axis = _AXIS_HEIGHT if count > 1 else 0.0
    height = canvas.PAD + axis + row * count + title_height + canvas.PAD

    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, heading)
    ax = canvas.add_axes(figure, canvas.PAD, canvas.PAD + axis, _WIDTH, row * count)
    low, high = _limits(tree)
    weight = 1.3 if row > 0.15 else 0.7
    lines = LineCollection(_branches(tree, low, high), colors=canvas.INK, linewidths=weight)
    lines.set(capstyle="projecting", clip_on=False, zorder=2)
    ax.add_collection(lines)
    ax.set(xlim=(high, low), ylim=(count - 0.5, -0.5))
    canvas.bare(ax)
    ax.yaxis.tick_right()
    shown = range(0, count, stride)
    ax.set_yticks(shown, [labels[i] for i in shown], size=size, color=canvas.INK, parse_math=False)
    ax.tick_params(axis="y", pad=4, length=0)
    if count > 1:
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        ax.xaxis.set_major_formatter(canvas.number)
        ax.tick_params(axis="x", labelsize=8, pad=3)
        ax.grid(axis="x", color=canvas.HAIRLINE, linewidth=0.6, zorder=0)
        ax.set_xlabel("distance at which groups join", size=8, labelpad=3)
    else:
        ax.set_xticks([])
    return figure


def _limits(tree: Tree) -> tuple[float, float]:
    """Return where the axis starts and ends."""
    heights = tree.linkage[:, 2]
    if not heights.size or heights[-1] < _VISIBLE:
        return 0.0, 1.0
    first, last = float(heights[0]), float(heights[-1])
    spread = last - first
    low = first - 0.12 * spread if 1e-3 * last < spread < 0.5 * last else 0.0
    return low, last + 0.04 * (last - low)


def _branches(tree: Tree, low: float, high: float) -> list[list[tuple[float, float]]]:
    """Return one bracket for every merge, and a stem from the root."""
    count = len(tree.names)
    y = [0.0] * count
    for place, leaf in enumerate(tree.order):
        y[leaf] = float(place)
    x = [low] * count
    brackets = []
    for a, b, distance, _ in tree.linkage:
        i, j, join = int(a), int(b), float(distance)
        brackets.append([(x[i], y[i]), (join, y[i]), (join, y[j]), (x[j], y[j])])
        x.append(join)
        y.append((y[i] + y[j]) / 2)
    return [*brackets, [(x[-1], y[-1]), (high, y[-1])]]
