"""Curves of how an answer changes as an image is occluded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import canvas
from pyattrx.report.arguments import checked_path, checked_title, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyattrx.questions import Faithfulness

__all__ = ["faithfulness_figure"]

# Okabe and Ito's colors, told apart by the color-blind; black and yellow are left out.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_DASHED = (0, (4, 2))
_WIDTH, _HEIGHT = 3.0, 2.7  # inches of a panel
_LEFT, _BOTTOM, _GAP, _HANDLE, _LINE = 0.62, 0.45, 0.72, 0.34, 0.19
_RANDOM = "random order"
_HEADS = {"distance": "distance of outputs", "scalar": "attributed number"}


def faithfulness_figure(
    results: Sequence[Faithfulness],
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw how far answers have moved over the part of the image that is occluded.

    A line in color for each result, and a band of two standard errors on either side of it. The
    random order is dashed: in grey where it is the same for all, else in the color of the result.

    Parameters
    ----------
    results : sequence of Faithfulness
        Of one network or several.
    title, path : optional
        As for `heatmap`; a title that is left out says how images were occluded.

    Returns
    -------
    matplotlib.figure.Figure
        As of `heatmap`.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    InvalidTypeError, InvalidValueError
        If there is no result, or an argument is not of the kind named above.

    Examples
    --------
    >>> import torch, pyattrx
    >>> _ = torch.manual_seed(0)
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 8, 8))
    >>> figure = faithfulness_figure([pyattrx.faithfulness(network, probes)])
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['distance of outputs', 'attributed number']
    """
    from pyattrx.questions import Faithfulness

    file = checked_path(path)
    given = checked_title(title)
    if isinstance(results, Faithfulness) or not isinstance(results, Sequence):
        raise InvalidTypeError("results", results, "a list of Faithfulness")
    if not results:
        raise InvalidValueError("results", list(results), "at least one")
    for one in results:
        if not isinstance(one, Faithfulness):
            raise InvalidTypeError("results", one, "Faithfulness, as of pyattrx.faithfulness")
    labels = [printable(label) for label in _labels(results)]
    with canvas.house_style():
        figure = _draw(results, labels, given or printable(_said(results)))
        canvas.save(figure, file)
    return figure


def _labels(results: Sequence[Faithfulness]) -> list[str]:
    """What tells results apart: the network, the method, or both."""
    networks = {one.network for one in results}
    methods = {one.method for one in results}
    if len(networks) == 1:
        return [one.method for one in results]
    if len(methods) == 1:
        return [one.network for one in results]
    return [f"{one.network}: {one.method}" for one in results]


def _said(results: Sequence[Faithfulness]) -> str:
    first = results[0]
    networks = list(dict.fromkeys(one.network for one in results))
    whose = f"{networks[0]}: " if len(networks) == 1 else ""
    fill = first.fill if isinstance(first.fill, str) else "a color"
    return f"{whose}{first.order} {first.patch} x {first.patch} pixels first, filled by {fill}"


def _draw(results: Sequence[Faithfulness], labels: Sequence[str], title: str) -> Figure:
    from matplotlib.lines import Line2D

    colors = [_COLORS[place % len(_COLORS)] for place in range(len(results))]
    texts = canvas.shortened([*labels, _RANDOM])
    legend = _HANDLE + 0.1 + max(canvas.text_widths(texts, canvas.LABEL_SIZE))
    panels = len(_HEADS) * _WIDTH + (len(_HEADS) - 1) * _GAP
    width = canvas.PAD + _LEFT + panels + 0.25 + legend + canvas.PAD
    heading, title_height = canvas.wrapped_title(title, width - 2 * canvas.PAD)
    tall = max(_HEIGHT, len(texts) * _LINE)
    height = canvas.PAD + _BOTTOM + tall + 0.25 + title_height + canvas.PAD
    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, heading)
    for place, measure in enumerate(_HEADS):
        left = canvas.PAD + _LEFT + place * (_WIDTH + _GAP)
        ax = canvas.add_axes(figure, left, canvas.PAD + _BOTTOM, _WIDTH, tall)
        _panel(ax, measure, results, colors)
    left = canvas.PAD + _LEFT + panels + 0.25
    for line, (text, color) in enumerate(zip(texts, [*colors, canvas.MUTED], strict=True)):
        up = (canvas.PAD + _BOTTOM + tall - (line + 0.5) * _LINE) / height
        style: Any = _DASHED if line == len(results) else "-"
        across = (left / width, (left + _HANDLE) / width)
        figure.add_artist(Line2D(across, (up, up), color=color, lw=1.6, linestyle=style))
        figure.text(
            (left + _HANDLE + 0.1) / width, up, text,
            va="center", size=canvas.LABEL_SIZE, color=canvas.INK, parse_math=False,
        )  # fmt: skip
    return figure


def _panel(ax: Axes, measure: str, results: Sequence[Faithfulness], colors: Sequence[str]) -> None:
    randoms = [one.mean_curve(measure, random=True)[:2] for one in results]
    same = all(np.array_equal(one, randoms[0]) for one in randoms)
    dashed: Any = _DASHED
    shown = (
        [(*randoms[0], canvas.MUTED)]
        if same
        else [(x, y, color) for (x, y), color in zip(randoms, colors, strict=True)]
    )
    for x, y, color in shown:
        ax.plot(x, y, color=color, lw=1.2, linestyle=dashed)
    for one, color in zip(results, colors, strict=True):
        x, y, error = one.mean_curve(measure)
        if not np.isnan(error).all():
            ax.fill_between(x, y - 2 * error, y + 2 * error, color=color, alpha=0.13, linewidth=0)
        ax.plot(x, y, color=color, lw=1.8)
    ax.set_xlim(0, 1)
    ax.set_title(_HEADS[measure], size=canvas.LABEL_SIZE, loc="left")
    ax.set_xlabel("part of the image that is occluded")
    ax.set_ylabel("change, of that when all is occluded")
    ax.xaxis.set_major_formatter(canvas.number)
    ax.yaxis.set_major_formatter(canvas.number)
    canvas.bare(ax)
    ax.grid(axis="y", color=canvas.HAIRLINE, linewidth=0.6, zorder=0)
    ax.set_axisbelow(True)
