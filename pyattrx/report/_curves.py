"""Curves of a measure over the number of sources taken, several methods in one picture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import canvas
from pyattrx.report.arguments import checked_numbers, checked_path, checked_title, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "curves_figure"]

Kind = Literal["method", "baseline", "published"]

# Okabe and Ito's colours, told apart by the colour-blind; black and yellow are left out.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_GREYS = ("#9a9a9a", "#5c5c5c", "#c4c4c4", "#7c7c7c", "#3c3c3c")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_WIDTH, _HEIGHT = 3.4, 2.9  # inches of a panel
_LEFT, _BOTTOM, _GAP, _HANDLE = 0.5, 0.42, 0.62, 0.34
_LINE = 0.19  # of the legend


@dataclass(frozen=True)
class Curve:
    """One method's curve.

    Parameters
    ----------
    label : str
        What the legend calls it; the same label has the same colour in every panel.
    k : sequence of int
        Numbers of sources taken, ascending.
    values : sequence of float
        The measure for each.
    low, high : sequence of float, optional
        Ends of the intervals, drawn as a band; NaN where there is none.
    kind : {"method", "baseline", "published"}
        Drawn as a line in colour, a dashed grey line, or thin with marks.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Lengths that differ, numbers of sources that do not ascend, an unknown kind.

    Examples
    --------
    >>> Curve("saliency", [1, 3, 5], [0.9, 0.8, 0.7]).kind
    'method'
    """

    label: str
    k: Sequence[int]
    values: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    kind: Kind = "method"

    def __post_init__(self) -> None:
        if not isinstance(self.label, str):
            raise InvalidTypeError("label", self.label, "a string")
        if self.kind not in ("method", "baseline", "published"):
            raise InvalidValueError("kind", self.kind, "'method', 'baseline' or 'published'")
        k = checked_numbers("k", self.k, "numbers of sources")
        if k.ndim != 1 or not len(k) or k[0] < 1 or (np.diff(k) <= 0).any():
            raise InvalidValueError("k", self.k, "ascending numbers of sources, from 1")
        if (self.low is None) != (self.high is None):
            raise InvalidValueError("low", self.low, "both ends of the intervals, or none")
        for argument in ("values", "low", "high"):
            given = getattr(self, argument)
            if given is not None:
                numbers = checked_numbers(argument, given, "one number for every k")
                if numbers.shape != k.shape:
                    raise InvalidValueError(argument, given, f"{len(k)} numbers, one for every k")


def curves_figure(
    panels: Mapping[str, Sequence[Curve]],
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw curves over the number of sources taken, panels side by side, from 0 to 1.

    Parameters
    ----------
    panels : mapping of str to sequences of Curve
        What is measured, such as ``"P@K"``, and its curves.
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
        If there is no panel or an empty one, or an argument is not of the kind named above.

    Examples
    --------
    >>> curve = Curve("saliency", [1, 3, 5], [0.9, 0.8, 0.7])
    >>> [axes.get_ylabel() for axes in curves_figure({"P@K": [curve]}).axes]
    ['P@K']
    """
    file = checked_path(path)
    title = checked_title(title)
    if not isinstance(panels, Mapping):
        raise InvalidTypeError("panels", panels, "a mapping of measures to curves")
    if not panels or not all(panels.values()):
        raise InvalidValueError("panels", panels, "at least one panel, and a curve in each")
    for curves in panels.values():
        for curve in curves:
            if not isinstance(curve, Curve):
                raise InvalidTypeError("panels", curve, "curves (pyattrx.report.Curve)")
    with canvas.house_style():
        figure = _draw(panels, title)
        canvas.save(figure, file)
    return figure


def _draw(panels: Mapping[str, Sequence[Curve]], title: str | None) -> Figure:
    from matplotlib.lines import Line2D

    styles = _styles([curve for curves in panels.values() for curve in curves])
    texts = canvas.shortened([printable(label) for label in styles])
    legend = _HANDLE + 0.1 + max(canvas.text_widths(texts, canvas.LABEL_SIZE))
    panels_width = len(panels) * _WIDTH + (len(panels) - 1) * _GAP
    width = canvas.PAD + _LEFT + panels_width + 0.25 + legend + canvas.PAD
    heading, title_height = canvas.wrapped_title(title, width - 2 * canvas.PAD)
    tall = max(_HEIGHT, len(styles) * _LINE)
    height = canvas.PAD + _BOTTOM + tall + title_height + 0.1 + canvas.PAD

    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, heading)
    for place, (measure, curves) in enumerate(panels.items()):
        left = canvas.PAD + _LEFT + place * (_WIDTH + _GAP)
        ax = canvas.add_axes(figure, left, canvas.PAD + _BOTTOM, _WIDTH, tall)
        _panel(ax, printable(measure), curves, styles)
    for line, (style, text) in enumerate(zip(styles.values(), texts, strict=True)):
        up = (canvas.PAD + _BOTTOM + tall - (line + 0.5) * _LINE) / height
        left = canvas.PAD + _LEFT + panels_width + 0.25
        across = (left / width, (left + _HANDLE) / width)
        middle = (across[0] + across[1]) / 2
        figure.add_artist(Line2D(across, (up, up), **{**style, "marker": ""}))
        if style["marker"]:
            figure.add_artist(Line2D([middle], [up], **style))
        figure.text(
            (left + _HANDLE + 0.1) / width,
            up,
            text,
            va="center",
            color=canvas.INK,
            parse_math=False,
        )
    return figure


def _panel(
    ax: Axes, measure: str, curves: Sequence[Curve], styles: dict[str, dict[str, Any]]
) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in curves:
        style = styles[curve.label]
        if curve.low is not None and curve.high is not None and curve.kind == "method":
            ax.fill_between(
                curve.k, curve.low, curve.high, color=style["color"], alpha=0.13, linewidth=0
            )
        ax.plot(curve.k, curve.values, clip_on=False, **style)
    last = max(max(curve.k) for curve in curves)
    ax.set(ylim=(0, 1), xlim=(0.75, last + 0.25), ylabel=measure)
    ax.set_xlabel("sources taken, K")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.yaxis.set_major_formatter(canvas.number)
    canvas.bare(ax)
    ax.grid(axis="y", color=canvas.HAIRLINE, linewidth=0.6, zorder=0)
    ax.set_axisbelow(True)


def _styles(curves: Sequence[Curve]) -> dict[str, dict[str, Any]]:
    """How every label is drawn, in the order of the legend."""
    styles: dict[str, dict[str, Any]] = {}
    seen = {"method": 0, "baseline": 0, "published": 0}
    for curve in curves:
        if curve.label in styles:
            continue
        number, kind = seen[curve.kind], curve.kind
        seen[kind] += 1
        if kind == "baseline":
            look = {"color": _GREYS[number % len(_GREYS)], "linestyle": (0, (4, 2)), "marker": ""}
        elif kind == "published":
            colour = _COLOURS[-1 - number % len(_COLOURS)]
            mark = _MARKS[number % len(_MARKS)]
            look = {"color": colour, "linestyle": "-", "marker": mark}
        else:
            look = {"color": _COLOURS[number % len(_COLOURS)], "linestyle": "-", "marker": ""}
        weight = {"method": 2.0, "baseline": 1.2, "published": 0.9}[kind]
        styles[curve.label] = {**look, "linewidth": weight, "markersize": 3.5}
    return styles
