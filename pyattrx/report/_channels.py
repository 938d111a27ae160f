"""Drawing of an explanation: channels, the images that each answers to, and what it sees there."""

from __future__ import annotations

import math
import os
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from pyattrx.report import canvas
from pyattrx.report.arguments import checked_path, checked_title, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyattrx.questions import ChannelExamples, Explanation

__all__ = ["channels_figure"]

_PANEL = 0.86  # inches
_GAP, _BREAK = 0.04, 0.16
_LABELS, _HEAD, _FOOT_LINE = 1.35, 0.42, 0.17
_CELLS = 20  # a map is shown as the magnitudes of so many parts: single pixels are noise
_PERCENTILE = 99.0
_DARK = 0.45  # how much of a grey photo is left where a map is zero
_OWN, _OTHER = "#b3400a", "#1f6fb2"


def channels_figure(
    result: Explanation,
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw channels from the largest share down: one row each, with its reference images.

    Beside every photo it is lit up where this channel sees something, and where the other network's
    whole map is. Maps are shown by their magnitude, coarsely, each on its own scale.

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
    step = _PANEL + _GAP
    trio = 3 * step - _GAP + _BREAK
    left = canvas.PAD + _LABELS
    width = max(left + most * trio - _BREAK + canvas.PAD, 6.2)
    title, title_height = canvas.wrapped_title(heading, width - 2 * canvas.PAD)
    foot = _said(result, width - 2 * canvas.PAD)
    row_height = _PANEL * tall + 0.1
    below = canvas.PAD + _FOOT_LINE * len(foot)
    height = below + row_height * len(rows) + _HEAD + title_height + canvas.PAD
    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, title)
    top = height - canvas.PAD - title_height - _HEAD
    for column in range(most):
        start = left + column * trio
        which = ("the photo that it answers to most", "the second", "the third", "the fourth")
        said = which[column] if column < len(which) else f"the {column + 1}th"
        _text(figure, start, top + 0.2, said, 7.0, canvas.INK)
        _text(figure, start + step, top + 0.05, "this channel", 7.0, _OWN)
        _text(figure, start + 2 * step, top + 0.05, f"the {_other(result)}", 7.0, _OTHER)
    for index, one in enumerate(rows):
        bottom = top - (index + 1) * row_height + 0.06
        _label(figure, bottom + _PANEL * tall, result, one)
        for column, photo in enumerate(one.photos):
            start = left + column * trio
            for place, values in enumerate((None, one.maps[column], one.others[column])):
                ax = canvas.add_axes(figure, start + place * step, bottom, _PANEL, _PANEL * tall)
                ax.imshow(photo if values is None else _lit_up(photo, values), aspect="auto")
                ax.set_xticks([])
                ax.set_yticks([])
                canvas.bare(ax)
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
    affinity = _number(result.affinity) + ("" if math.isnan(error) else f" ± {_number(error)}")
    own, other = result.source, result.target
    if result.of == "target":
        own, other = other, own
    rest = _number(result.remainder)
    sentences = [
        f"How near: affinity {affinity} of at most 1, by {result.method}. The {len(result)} "
        f"channels of layer "
        f"{result.layer} of {own} carry {_number(result.covered)} of it; {rest} "
        + (
            "goes around that layer."
            if result.remainder_is_around
            else "is lost with no single one of them, as others do for it."
        ),
        f"Each row is one of these channels, and the photos that it answers to most. Bright in "
        f"'this channel': where it sees something. Bright in 'the {_other(result)}': where all of "
        f"the answer of {other} comes from. Where both are bright, the channel looks at what "
        f"{other} looks at.",
        "Under each name: the channel's share of the affinity and its standard error. Every map "
        "has its own scale.",
    ]
    sample = sentences[1]
    per_character = canvas.text_widths([sample], 7.5)[0] / len(sample)
    room = max(20, int(0.96 * width / per_character))
    return [line for one in sentences for line in textwrap.wrap(printable(one), room)]


def _number(value: float) -> str:
    return f"{value if abs(value) >= 5e-4 else 0:.3f}".replace("-", "−")


def _text(
    figure: Figure, x: float, y: float, text: str, size: float, color: str = canvas.MUTED
) -> None:
    across, up = figure.get_size_inches()
    figure.text(x / across, y / up, text, size=size, color=color, va="bottom", parse_math=False)


def _lit_up(photo: Any, values: Any) -> Any:
    """A photo in grey, with the colours of a fire where a map is large."""
    from matplotlib import colormaps

    light = _coarse(np.abs(values.astype(np.float64)))
    light = np.clip(_resized(light, photo.shape[:2]), 0, 1)[:, :, None]
    grey = np.repeat(photo.mean(2, keepdims=True) / 255.0, 3, axis=2)
    fire = colormaps["inferno"](0.35 + 0.6 * light[:, :, 0])[:, :, :3]
    return grey * _DARK * (1 - light) + light * (0.3 * grey + 0.7 * fire)


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
        first = np.clip(np.floor(at), 0, max(have - 2, 0)).astype(int)
        part = np.clip(at - first, 0, 1).reshape(-1, *(1,) * (1 - axis))
        low, high = values.take(first, axis), values.take(np.minimum(first + 1, have - 1), axis)
        values = low + part * (high - low)
    return values
