"""Heat map of an affinity matrix."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyattrx.affinities import Affinity
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import canvas
from pyattrx.report.arguments import (
    checked_labels,
    checked_numbers,
    checked_path,
    checked_title,
    printable,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["heatmap"]

_LARGEST_CELL, _SMALLEST_CELL = 0.62, 0.09  # inches
_USUAL_SIDE, _LARGEST_SIDE = 8.8, 20.0
_MOST_NUMBERED = 20  # networks whose cells have numbers
_LARGEST_NUMBER, _SMALLEST_NUMBER = 8.0, 5.0  # points
_MOST_RULED = 60  # networks with white lines between the cells
_BAR_WIDTH, _BAR_GAP, _LONGEST_BAR, _BAR_SIZE = 0.11, 0.2, 3.2, 8.0
_GREY = "#e9e9e9"
_SAME = 1e-9  # relative differences up to here are rounding
_LARGEST_VALUE = 1e100  # differences of larger ones overflow


def heatmap(
    values: ArrayLike | Affinity,
    names: Sequence[str] | None = None,
    *,
    stderr: ArrayLike | None = None,
    order: Sequence[int] | None = None,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
    symmetric: bool | None = None,
    label: str = "affinity",
) -> Figure:
    """Draw an affinity matrix with the names of its networks.

    Rows are targets, columns are sources. The diagonal is grey and does not count for the colour
    scale, which runs over the other values; it is centred on 0 where there are negative ones. Up
    to 20 networks have their values in the cells, as far as they fit; the diagonal shows those
    that are not 1. Where there are too many names to be legible, every n-th is shown.

    Parameters
    ----------
    values : array_like, [M, M], or Affinity
        Affinities; finite.
    names : sequence of str, optional
        Names of the M networks. Very long ones are shortened in the middle. Of an `Affinity`: left
        out, as are `stderr` and `symmetric`.
    stderr : array_like, [M, M], optional
        Standard errors, not negative; NaN where there is none.
    order : sequence of int, optional
        Positions of the networks from the first row to the last, such as `Tree.order`.
    title : str, optional
        Title of the figure.
    path : path, optional
        Where to write it as well, PNG or SVG by the suffix. Folders are made; a file that is there
        is replaced only by a complete one.
    symmetric : bool, optional
        Whether targets and sources are the same thing: they are if left out. If not, the axes say
        which are which.
    label : str
        What the colours stand for.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot; show it with ``display(figure)`` in a notebook.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    InvalidTypeError
        If an argument is not of the kind named above.
    InvalidValueError
        If `values` is not square, not finite, or not symmetric although `symmetric` says so; if
        `stderr` has another shape, a negative or an infinite value; if `names` has not M strings;
        if `order` is not a permutation; if `path` ends in neither .png nor .svg.

    Examples
    --------
    >>> figure = heatmap([[1.0, 0.4], [0.4, 1.0]], ["depth", "normals"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.40', '0.40']
    """
    if isinstance(values, Affinity):
        for argument, given in (("names", names), ("stderr", stderr), ("symmetric", symmetric)):
            if given is not None:
                raise InvalidValueError(argument, given, "None: an Affinity has its own")
        names, stderr, symmetric = values.names, values.stderr, values.symmetric
        values = values.values
    file = checked_path(path)
    title = checked_title(title)
    symmetric = symmetric is None or symmetric
    affinity = _checked_values(values, symmetric)
    count = len(affinity)
    labels = checked_labels("names", names, count, "network")
    errors = None if stderr is None else _checked_stderr(stderr, count)
    if not isinstance(label, str):
        raise InvalidTypeError("label", label, "a string")
    if order is not None:
        chosen = _checked_order(order, count)
        affinity = affinity[np.ix_(chosen, chosen)]
        errors = None if errors is None else errors[np.ix_(chosen, chosen)]
        labels = [labels[i] for i in chosen]
    with canvas.house_style():
        figure = _draw(
            affinity,
            errors,
            canvas.shortened(labels),
            title=title,
            symmetric=symmetric,
            label=printable(label),
        )
        canvas.save(figure, file)
    return figure


def _draw(
    affinity: NDArray[np.float64],
    errors: NDArray[np.float64] | None,
    labels: list[str],
    *,
    title: str | None,
    symmetric: bool,
    label: str,
) -> Figure:
    count = len(labels)
    cell = min(_LARGEST_CELL, max(_USUAL_SIDE / count, _SMALLEST_CELL), _LARGEST_SIDE / count)
    side = cell * count
    size, stride = canvas.fitting_labels(cell)
    widths = canvas.text_widths(labels, size)
    angle, head, overhang = canvas.slant(widths, cell, size)
    role = 0.0 if symmetric else 0.26
    left = canvas.PAD + role + max(widths) + 0.08
    colours, norm = _scale(affinity)
    length = min(side, _LONGEST_BAR)
    ticks = _ticks(norm, length) if _differ(_off_diagonal(affinity)) else {}
    bar = 0.0
    if ticks:  # without differences a bar would say nothing
        numbers = canvas.text_widths(list(ticks.values()), _BAR_SIZE)
        bar = _BAR_GAP + _BAR_WIDTH + max(numbers) + 0.3
    width = max(left + side + max(bar, overhang) + canvas.PAD, 3.2)
    heading, title_height = canvas.wrapped_title(title, width - 2 * canvas.PAD)
    height = canvas.PAD + side + 0.08 + head + role + title_height + canvas.PAD

    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, heading)
    ax = canvas.add_axes(figure, left, canvas.PAD, side, side)
    image = _paint(ax, affinity, colours, norm)
    shown = np.arange(0, count, stride)
    ax.set_yticks(shown, [labels[i] for i in shown], size=size, color=canvas.INK, parse_math=False)
    canvas.label_columns(ax, shown, [labels[i] for i in shown], size, angle)
    if not symmetric:
        up, across = height, width
        figure.text(
            (left + side / 2) / across,
            (canvas.PAD + side + 0.08 + head + 0.1) / up,
            "source",
            color=canvas.MUTED,
            ha="center",
        )
        figure.text(
            (canvas.PAD + 0.02) / across,
            (canvas.PAD + side / 2) / up,
            "target",
            color=canvas.MUTED,
            rotation=90,
            va="center",
        )
    if ticks:
        bar_left, bar_bottom = left + side + _BAR_GAP, canvas.PAD + side - length
        bar_ax = canvas.add_axes(figure, bar_left, bar_bottom, _BAR_WIDTH, length)
        _add_bar(figure, bar_ax, image, label, ticks)
    if count <= _MOST_NUMBERED:
        _print_numbers(ax, affinity, errors, image, cell)
    return figure


def _paint(
    ax: Axes, affinity: NDArray[np.float64], colours: Colormap, norm: Normalize
) -> AxesImage:
    from matplotlib.ticker import NullFormatter

    count = len(affinity)
    masked = np.ma.masked_array(affinity, np.eye(count, dtype=bool))
    image = ax.imshow(masked, cmap=colours, norm=norm, interpolation="nearest", aspect="auto")
    canvas.bare(ax)
    if count <= _MOST_RULED:
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(np.arange(0.5, count - 1), minor=True)
            axis.set_minor_formatter(NullFormatter())
        ax.grid(which="minor", color="white", linewidth=1.2 if count <= _MOST_NUMBERED else 0.5)
    ax.tick_params(axis="both", pad=4)
    return image


def _scale(affinity: NDArray[np.float64]) -> tuple[Colormap, Normalize]:
    """Choose colours for the values off the diagonal: dark is large, or blue is negative."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, Normalize

    others = _off_diagonal(affinity)
    low, high = (float(others.min()), float(others.max())) if others.size else (0.0, 1.0)
    if low < -_SAME * high:
        reach = max(-low, high)
        return colormaps["RdBu_r"].with_extremes(bad=_GREY), Normalize(-reach, reach)
    if not _differ(others):  # a scale would blow rounding up to full contrast
        low, high = low - 1, low + 1
    shades = colormaps["magma_r"](np.linspace(0, 0.82, 256))  # without the near-black end
    return ListedColormap(shades).with_extremes(bad=_GREY), Normalize(low, high)


def _off_diagonal(affinity: NDArray[np.float64]) -> NDArray[np.float64]:
    return affinity[~np.eye(len(affinity), dtype=bool)]


def _differ(others: NDArray[np.float64]) -> bool:
    return bool(others.size and np.ptp(others) > _SAME * np.abs(others).max())


def _ticks(norm: Normalize, length: float) -> dict[float, str]:
    """Return the values to be marked on a colour bar and how they are written."""
    from matplotlib.ticker import MaxNLocator

    low, high = norm.vmin or 0.0, norm.vmax or 0.0
    locator = MaxNLocator(max(2, min(6, int(length / 0.4))), steps=[1, 2, 2.5, 5, 10])
    values = [float(value) for value in locator.tick_values(low, high) if low <= value <= high]
    return {value: canvas.number(value) for value in values or [low, high]}


def _add_bar(
    figure: Figure, ax: Axes, image: AxesImage, label: str, ticks: dict[float, str]
) -> None:
    bar = figure.colorbar(image, cax=ax)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.outline.set_visible(False)
    ax.tick_params(length=0, labelsize=_BAR_SIZE, pad=4)
    ax.set_ylabel(label, size=_BAR_SIZE, parse_math=False)


def _print_numbers(
    ax: Axes,
    affinity: NDArray[np.float64],
    errors: NDArray[np.float64] | None,
    image: AxesImage,
    cell: float,
) -> None:
    count = len(affinity)
    others = _off_diagonal(affinity)
    span = float(np.ptp(others)) if _differ(others) else 1.0
    decimals = min(max(math.ceil(1.3 - math.log10(span)), 0), 4)
    numbers = [[_number(value, decimals) for value in row] for row in affinity]
    widest = max(canvas.text_widths([number for row in numbers for number in row], _LARGEST_NUMBER))
    size = min(_LARGEST_NUMBER, _LARGEST_NUMBER * 0.84 * cell / widest)
    if size < _SMALLEST_NUMBER:
        return
    rgba = image.to_rgba(np.asarray(affinity))
    one = _number(1.0, decimals)
    for row in range(count):
        for column in range(count):
            number = numbers[row][column]
            if row == column:
                # Ones say nothing; anything else does (a network with maps of zeros, say).
                if number != one:
                    ax.text(
                        row, row, number, size=size, color=canvas.MUTED, ha="center", va="center"
                    )
                continue
            colour = "white" if _luminance(rgba[row, column]) < 0.53 else canvas.INK
            error = math.nan if errors is None else float(errors[row, column])
            if math.isnan(error):
                ax.text(column, row, number, size=size, color=colour, ha="center", va="center")
                continue
            small = f"±{_number(error, decimals + 1)}"
            ax.text(column, row - 0.13, number, size=size, color=colour, ha="center", va="center")
            ax.text(
                column, row + 0.2, small, size=0.7 * size, color=colour, ha="center", va="center"
            )


def _number(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def _luminance(rgba: NDArray[np.float64]) -> float:
    linear = np.where(rgba[:3] <= 0.04045, rgba[:3] / 12.92, ((rgba[:3] + 0.055) / 1.055) ** 2.4)
    return float(np.sqrt(linear @ [0.2126, 0.7152, 0.0722]))


def _checked_values(values: Any, symmetric: bool) -> NDArray[np.float64]:
    affinity = checked_numbers("values", values, "a square matrix of numbers").astype(np.float64)
    if affinity.ndim != 2 or affinity.shape[0] != affinity.shape[1] or not affinity.size:
        raise InvalidValueError("values", affinity.shape, "a square matrix of at least one network")
    bad = affinity[~(np.abs(affinity) <= _LARGEST_VALUE)]
    if bad.size:
        raise InvalidValueError("values", float(bad[0]), "finite affinities of at most 1e100")
    if symmetric and not np.allclose(
        affinity, affinity.T, rtol=1e-5, atol=1e-6 * np.abs(affinity).max()
    ):
        expected = "symmetric values, or symmetric=False (rows are targets, columns are sources)"
        raise InvalidValueError("symmetric", symmetric, expected)
    return affinity


def _checked_stderr(stderr: Any, count: int) -> NDArray[np.float64]:
    errors = checked_numbers("stderr", stderr, "a matrix of numbers").astype(np.float64)
    if errors.shape != (count, count):
        raise InvalidValueError("stderr", errors.shape, f"the shape of values, {(count, count)}")
    bad = errors[(errors < 0) | np.isinf(errors)]
    if bad.size:
        raise InvalidValueError("stderr", float(bad[0]), "standard errors of at least 0, or NaN")
    return errors


def _checked_order(order: Any, count: int) -> NDArray[np.intp]:
    chosen = checked_numbers("order", order, "a sequence of integers")
    if chosen.dtype.kind not in "iu":
        raise InvalidTypeError("order", order, "a sequence of integers")
    if chosen.shape != (count,) or not np.array_equal(np.sort(chosen), np.arange(count)):
        raise InvalidValueError("order", order, f"every integer from 0 to {count - 1} once")
    return chosen.astype(np.intp)
