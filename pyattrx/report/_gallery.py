"""Attribution maps of several networks beside the photos they belong to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.report import canvas
from pyattrx.report.arguments import (
    checked_labels,
    checked_numbers,
    checked_path,
    checked_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gallery"]

_LARGEST_PANEL, _SMALLEST_PANEL = 1.35, 0.11  # inches of width, the gap included
_USUAL_WIDTH, _LARGEST_SIDE = 13.0, 40.0
_GAP = 0.05  # between panels, of their width
_BREAK = 0.12  # between the photos and the maps
_FOOT = 0.42
_THINNEST_PANEL = 0.03
_KEY, _KEY_SIZE, _KEY_LENGTH = "attribution; every map has its own scale", 7.0, 1.1
_PERCENTILE = 99.0
_ROUNDING = 1e-3  # how far resampling may push a photo out of [0, 1]


def gallery(
    photos: ArrayLike,
    maps: ArrayLike,
    names: Sequence[str],
    *,
    photo_names: Sequence[str] | None = None,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw attribution maps: one row for every photo, one column for every network.

    Every map has its own scale, from 0 to the 99th percentile of its magnitude, so that neither
    single pixels nor the size of a network's gradients decide what is seen. If any map has a
    negative value, all have a diverging scale with 0 in the middle.

    Parameters
    ----------
    photos : array_like
        [P, 3, H, W] floating point in [0, 1], or [P, H, W, 3] uint8.
    maps : array_like, [M, P, h, w]
        Attribution maps of the M networks for the P photos; finite. Each is stretched over its
        photo.
    names : sequence of str
        Names of the M networks. Very long ones are shortened in the middle.
    photo_names : sequence of str, optional
        Names of the P photos.
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
        If an argument is not of the kind named above.
    InvalidValueError
        If a shape is another than those above, a photo is outside [0, 1], a map is not finite,
        the names do not fit, there is too much for one picture, or `path` ends in neither .png
        nor .svg.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> photos, maps = rng.random((2, 3, 8, 8)), rng.normal(size=(3, 2, 8, 8))
    >>> figure = gallery(photos, maps, ["depth", "edges", "normals"])
    >>> len(figure.axes[0].images)
    8
    """
    file = checked_path(path)
    title = checked_title(title)
    pictures = _checked_photos(photos)
    attributions = _checked_maps(maps, len(pictures))
    labels = checked_labels("names", names, len(attributions), "network")
    rows = None
    if photo_names is not None:
        rows = canvas.shortened(checked_labels("photo_names", photo_names, len(pictures), "photo"))
    with canvas.house_style():
        figure = _draw(pictures, attributions, canvas.shortened(labels), rows, title)
        canvas.save(figure, file)
    return figure


def _draw(
    photos: NDArray[Any],
    maps: NDArray[np.float64],
    labels: list[str],
    rows: list[str] | None,
    title: str | None,
) -> Figure:
    columns, count = len(maps) + 1, len(photos)
    tall = photos.shape[1] / photos.shape[2]  # height of a panel over its width
    panel = min(
        _LARGEST_PANEL,
        max(_USUAL_WIDTH / columns, _SMALLEST_PANEL),
        _LARGEST_SIDE / columns,
        _LARGEST_SIDE / (count * tall),
    )
    if min(panel, panel * tall) < _THINNEST_PANEL:
        expected = "fewer networks and photos, or photos less elongated, for one picture"
        raise InvalidValueError("maps", maps.shape, expected)
    size, stride = canvas.fitting_labels(panel)
    widths = canvas.text_widths(labels, size)
    angle, head, overhang = canvas.slant(widths, panel, size)
    row_size, row_stride = canvas.fitting_labels(panel * tall)
    margin = max(canvas.text_widths(rows, row_size)) + 0.08 if rows else 0.0
    left = canvas.PAD + margin
    across = panel * columns + _BREAK
    key = _KEY_LENGTH + 0.12 + canvas.text_widths([_KEY], _KEY_SIZE)[0]
    width = left + max(across + overhang, key) + canvas.PAD
    heading, title_height = canvas.wrapped_title(title, width - 2 * canvas.PAD)
    up = panel * tall * count
    height = canvas.PAD + _FOOT + up + 0.06 + head + title_height + canvas.PAD

    figure = canvas.new_figure(width, height)
    canvas.add_title(figure, heading)
    # One pair of axes in inches for all panels: thousands of pairs would take minutes to draw.
    ax = canvas.add_axes(figure, left, canvas.PAD + _FOOT, across, up)
    starts = np.arange(columns) * panel
    starts[1:] += _BREAK
    _paint(ax, photos, maps, starts, (panel, panel * tall))
    ax.set(xlim=(0, across), ylim=(up, 0))
    canvas.bare(ax)
    middle = starts[1::stride] + panel * (1 - _GAP) / 2
    canvas.label_columns(ax, middle, labels[::stride], size, angle)
    if rows:
        middle = (np.arange(0, count, row_stride) + (1 - _GAP) / 2) * panel * tall
        shown = rows[::row_stride]
        ax.set_yticks(middle, shown, size=row_size, color=canvas.INK, parse_math=False)
    else:
        ax.set_yticks([])
    ax.tick_params(axis="both", pad=3)
    _add_key(figure, left, bool((maps < 0).any()))
    return figure


def _paint(
    ax: Axes,
    photos: NDArray[Any],
    maps: NDArray[np.float64],
    starts: NDArray[np.float64],
    panel: tuple[float, float],
) -> None:
    signed = bool((maps < 0).any())
    width, height = panel
    for row, photo in enumerate(photos):
        top, bottom = row * height, (row + 1 - _GAP) * height
        for column, start in enumerate(starts):
            extent = (start, start + (1 - _GAP) * width, bottom, top)
            if column == 0:
                ax.imshow(photo, extent=extent, aspect="auto")
            else:
                image = ax.imshow(_scaled(maps[column - 1, row]), extent=extent, aspect="auto")
                image.set(cmap=_colours(signed), clim=(-1 if signed else 0, 1))


def _colours(signed: bool) -> str:
    return "RdBu_r" if signed else "magma"


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    magnitude = np.abs(values)
    largest = float(magnitude.max())
    if largest == 0:
        return values
    relative = magnitude / largest  # first, as a percentile of 1e-310 would be inexact
    reach = float(np.percentile(relative, _PERCENTILE)) or 1.0
    scaled: NDArray[np.float64] = np.clip(np.sign(values) * (relative / reach), -1, 1)
    return scaled


def _add_key(figure: Figure, left: float, signed: bool) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    thickness = 0.08
    ax = canvas.add_axes(figure, left, canvas.PAD + 0.17, _KEY_LENGTH, thickness)
    scale = ScalarMappable(Normalize(-1 if signed else 0, 1), _colours(signed))
    bar = figure.colorbar(scale, cax=ax, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_ticks(
        [-1, 0, 1] if signed else [0, 1], labels=["−", "0", "+"] if signed else ["0", "+"]
    )
    ax.tick_params(length=0, labelsize=_KEY_SIZE, pad=2)
    across, up = figure.get_size_inches()
    figure.text(
        (left + _KEY_LENGTH + 0.12) / across,
        (canvas.PAD + 0.17 + thickness / 2) / up,
        _KEY,
        size=_KEY_SIZE,
        color=canvas.MUTED,
        va="center",
    )


def _checked_photos(photos: Any) -> NDArray[Any]:
    """Return photos as [P, H, W, 3], uint8 or floating point in [0, 1]."""
    expected = "[P, 3, H, W] floating point in [0, 1], or [P, H, W, 3] uint8"
    array = checked_numbers("photos", photos, expected)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InvalidTypeError("photos", photos, f"{expected}, not {array.dtype}")
    channels = -1 if array.dtype == np.uint8 else 1
    if array.ndim != 4 or array.shape[channels] != 3 or not array.size:
        raise InvalidValueError("photos", array.shape, expected)
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # NaN included
        raise InvalidValueError("photos", (low, high), "values in [0, 1]")
    return np.clip(array.transpose(0, 2, 3, 1).astype(np.float64), 0, 1)


def _checked_maps(maps: Any, photos: int) -> NDArray[np.float64]:
    array = checked_numbers("maps", maps, "[M, P, h, w] floating point")
    if array.ndim != 4 or not array.size or array.shape[1] != photos:
        raise InvalidValueError("maps", array.shape, f"[M, P, h, w] with P = {photos} photos")
    if not np.isfinite(array).all():
        network, photo = (int(i) for i in np.argwhere(~np.isfinite(array))[0][:2])
        bad = array[network, photo][~np.isfinite(array[network, photo])][0]
        expected = f"finite maps (network {network}, photo {photo})"
        raise InvalidValueError("maps", float(bad), expected)
    return array.astype(np.float64)
