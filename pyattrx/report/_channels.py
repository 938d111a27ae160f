"""Drawing of an explanation: channels, the images that each answers to, and what in them it sees."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from pyattrx.report import canvas
from pyattrx.report.arguments import checked_path, checked_title, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyattrx.questions import ChannelExamples, Explanation

__all__ = ["channels_figure"]

_PANEL = 1.0  # inches
_GAP, _BREAK = 0.04, 0.16
_LABELS, _HEAD, _FOOT_LINE = 1.35, 0.42, 0.17
_CELLS = 20  # a map is shown as the magnitudes of so many parts: single pixels are noise
_PERCENTILE = 99.0
_DARK = 0.3  # how much of a photo is left where a map is zero
_OWN, _OTHER = "#b3400a", "#1f6fb2"


def channels_figure(
    result: Explanation,
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw channels from the largest share down: one row each, with its reference images.

    Every image is there twice: lit up where this channel sees something, and where the other
    network's whole map is. Maps are shown by their magnitude, coarsely, each on its own scale.

    Parameters
    ----------
    result : Explanation
        With examples.
    title, path : optional
        As for `heatmap`; a title that is left out says which networks, and how near.

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
    heading = checked_title(title) or _title(result)
    with canvas.house_style():
        figure = _draw(result, heading)
        canvas.save(figure, file)
    return figure


def _title(result: Explanation) -> str:
    return printable(f"Why is {result.source} near {result.target}?")


def _draw(result: Explanation, heading: str) -> Figure:
    rows = result.examples
    most = max(len(one.probes) for one in rows)
    tall = rows[0].photos.shape[1] / rows[0].photos.shape[2]
    pair = 2 * _PANEL + _GAP + _BREAK
    left = canvas.PAD + _LABELS
    width = max(left + most * pair - _BREAK + canvas.PAD, 6.2)
    title, title_height = canvas.wrapped_title(heading, width - 2 * canvas.PAD)
    foot = _said(result, width - 2 * canvas.PAD)
    row_height = _PANEL * tall + 0.1
    below = canvas.PAD + _FOOT_LINE * len(foot)
    height = below + row_height * len(rows) + _HEAD + title_height + canvas.PAD
    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, title)
    top = height - canvas.PAD - title_height - _HEAD
    own, other = result.source, result.target
    if result.of == "target":
        own, other = other, own
    for column in range(most):
        start = left + column * pair
        _text(figure, start, top + 0.05, "this channel", 7.0, _OWN)
        _text(figure, start + _PANEL + _GAP, top + 0.05, f"the {_other(result)}", 7.0, _OTHER)
        if column == 0:
            _text(figure, start, top + 0.22, f"image {column + 1}, it answers to it most", 7.0)
        else:
            _text(figure, start, top + 0.22, f"image {column + 1}", 7.0)
    for index, one in enumerate(rows):
        bottom = top - (index + 1) * row_height + 0.06
        _label(figure, bottom + _PANEL * tall, result, one)
        for column, photo in enumerate(one.photos):
            start = left + column * pair
            for place, values in ((start, one.maps), (start + _PANEL + _GAP, one.others)):
                ax = canvas.add_axes(figure, place, bottom, _PANEL, _PANEL * tall)
                _light_up(ax, photo, values[column])
    for index, line in enumerate(foot):
        _text(figure, canvas.PAD, below - (index + 1) * _FOOT_LINE, line, 7.5, canvas.MUTED)
    return figure


def _label(figure: Figure, top: float, result: Explanation, one: ChannelExamples) -> None:
    share, error = float(result.shares[one.channel]), float(result.stderr[one.channel])
    _text(figure, canvas.PAD, top - 0.14, f"channel {one.channel}", 9.0, canvas.INK)
    said = f"{share:+.2g}" + ("" if math.isnan(error) else f" ± {error:.1g}")
    _text(figure, canvas.PAD, top - 0.32, said.replace("-", "−"), 8.0, canvas.INK)
    if result.affinity > 0 and result.remainder_is_around:
        part = 100 * share / result.affinity
        _text(figure, canvas.PAD, top - 0.47, f"{part:.2g} % of the affinity", 7.0)
    words = [result.probes[number] for number in one.probes[:2]]
    for place, word in enumerate(canvas.shortened([printable(word) for word in words])):
        _text(figure, canvas.PAD, top - 0.66 - 0.13 * place, word[:22], 6.0)


def _other(result: Explanation) -> str:
    return "target" if result.of == "source" else "source"


def _said(result: Explanation, width: float) -> list[str]:
    error = result.affinity_stderr
    affinity = f"{result.affinity:.3f}" + ("" if math.isnan(error) else f" ± {error:.3f}")
    own = result.source if result.of == "source" else result.target
    other = result.target if result.of == "source" else result.source
    sentences = [
        f"Affinity by {result.method}: {affinity}. The {len(result)} channels of layer "
        f"{result.layer} of {own} carry {result.covered:.3f} of it; {result.remainder:.3f} "
        + (
            "goes around that layer."
            if result.remainder_is_around
            else "is lost with no single one of them, as others do for it."
        ),
        f"A row is one of its channels. The photos are those that it answers to most: bright where "
        f"the channel sees something (this channel), and where the whole answer of {other} comes "
        f"from (the {_other(result)}). Alike: the channel is about what the {_other(result)} looks at.",
        "Beneath each channel: its share of the affinity with its standard error, and the names of "
        "the first two photos. Every map has its own scale.",
    ]
    per_character = canvas.text_widths(["carry the affinity of it"], 7.5)[0] / 24
    import textwrap

    room = max(20, int(width / per_character))
    return [line for one in sentences for line in textwrap.wrap(printable(one), room)]


def _text(
    figure: Figure, x: float, y: float, text: str, size: float, color: str = canvas.MUTED
) -> None:
    across, up = figure.get_size_inches()
    figure.text(x / across, y / up, text, size=size, color=color, va="bottom", parse_math=False)


def _light_up(ax: Axes, photo: Any, values: Any) -> None:
    """Show a photo, dark where a map is small."""
    height, width = photo.shape[:2]
    light = _coarse(np.abs(values.astype(np.float64)))
    light = np.clip(_resized(light, (height, width)), 0, 1)[:, :, None]
    shown = photo / 255.0 * (_DARK + (1 - _DARK) * light)
    warm = np.array([1.0, 0.75, 0.2])
    ax.imshow(np.clip(shown * (1 - 0.25 * light) + 0.25 * light * warm, 0, 1), aspect="auto")
    ax.set_xticks([])
    ax.set_yticks([])
    canvas.bare(ax)


def _coarse(values: Any) -> Any:
    """Mean magnitudes of parts, from 0 to 1."""
    rows, columns = (min(_CELLS, n) for n in values.shape)
    by_row = np.stack([part.mean(0) for part in np.array_split(values, rows, axis=0)])
    cells = np.stack([part.mean(1) for part in np.array_split(by_row, columns, axis=1)], axis=1)
    reach = float(np.percentile(cells, _PERCENTILE)) or float(cells.max())
    return np.clip(cells / reach, 0, 1) if reach > 0 else cells


def _resized(values: Any, size: tuple[int, int]) -> Any:
    """Bilinear, by rows and then by columns."""
    for axis, count in enumerate(size):
        have = values.shape[axis]
        at = (np.arange(count) + 0.5) * have / count - 0.5
        values = np.apply_along_axis(lambda line, at=at: np.interp(at, np.arange(len(line)), line), axis, values)
    return values
