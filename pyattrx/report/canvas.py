"""Figures laid out in inches, their text, and how they are written.

Sizes are measured before a figure is made, and the figure grows with its content, so that labels
do not overlap.
"""

from __future__ import annotations

import math
import secrets
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyattrx.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#262626"
MUTED = "#7a7a7a"
HAIRLINE = "#e6e6e6"
PAD = 0.16  # inches around everything
TITLE_SIZE = 11.0
LABEL_SIZE = 9.0
SMALLEST_SIZE = 3.6  # points; legible when zoomed
LINE_HEIGHT = 1.25  # of a line of text, in font sizes
_LONGEST_LABEL = 40  # characters
_DPI = 200
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so sizes are the same everywhere
    "font.size": LABEL_SIZE,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.linewidth": 0.6,
    "text.hinting": "none",  # small digits grow serifs otherwise
    "svg.fonttype": "none",
    "svg.hashsalt": "pyattrx",
}


def require_matplotlib() -> None:
    """Make sure that pictures can be drawn, before long work that ends in one.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    """
    try:
        # The package alone can be there when its parts are broken.
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "pyattrx.report", "pyattrx[plot]") from error


@contextmanager
def house_style() -> Iterator[None]:
    """Use matplotlib's defaults and ours, whatever the user has set, and put that back after."""
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of a size in inches, unknown to pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, facecolor="white")


def add_axes(fig: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at a place in inches from the lower left corner."""
    across, up = fig.get_size_inches()
    return fig.add_axes((left / across, bottom / up, width / across, height / up))


def text_widths(texts: Sequence[str], size: float) -> list[float]:
    """Return the widths of `texts` in inches, set in `size` points."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer: Any = RendererAgg(1, 1, _DPI)  # type: ignore[no-untyped-call]
    font = FontProperties(size=size)
    return [renderer.get_text_width_height_descent(text, font, False)[0] / _DPI for text in texts]


def shortened(labels: Sequence[str]) -> list[str]:
    """Put an ellipsis in the middle of long labels, unless two would then be the same."""
    tail = _LONGEST_LABEL * 2 // 5
    head = _LONGEST_LABEL - tail - 1
    short = [
        f"{label[:head]}…{label[-tail:]}" if len(label) > _LONGEST_LABEL else label
        for label in labels
    ]
    return short if len(set(short)) == len(set(labels)) else list(labels)


def number(value: float, _position: float = 0) -> str:
    """Write a tick's value without a common factor or offset, which would stand elsewhere."""
    return f"{value:.6g}".replace("-", "−")


def fitting_labels(pitch: float) -> tuple[float, int]:
    """Return the font size of labels `pitch` inches apart, and which ones to show: every n-th."""
    size = min(LABEL_SIZE, pitch * 72 / LINE_HEIGHT)
    if size >= SMALLEST_SIZE:
        return size, 1
    return SMALLEST_SIZE, int(-(-SMALLEST_SIZE * LINE_HEIGHT // (pitch * 72)))


def slant(widths: Sequence[float], pitch: float, size: float) -> tuple[int, float, float]:
    """Return the angle of labels above columns `pitch` inches apart, the flattest without overlap.

    Also the height that they take and how far the last one reaches beyond its column.
    """
    line, widest = size * LINE_HEIGHT / 72, max(widths)
    if widest < 0.92 * pitch:
        return 0, line, 0.0
    if line * math.sqrt(2) < pitch:
        reach = (widest + line) / math.sqrt(2)
        return 45, reach, max(0.0, reach - pitch / 2)
    return 90, widest, 0.0


def label_columns(ax: Axes, places: Any, labels: list[str], size: float, angle: int) -> None:
    """Write labels above the columns at `places`."""
    ax.xaxis.tick_top()
    ax.set_xticks(places, labels, size=size, color=INK, parse_math=False)
    if angle:
        for label in ax.get_xticklabels():
            label.set(rotation=angle, rotation_mode="anchor", ha="left", va="center")


def wrapped_title(title: str | None, width: float) -> tuple[str, float]:
    """Return a title in lines no wider than `width` inches, and the height that it needs."""
    if title is None:
        return "", 0.0
    per_character = text_widths([title], TITLE_SIZE)[0] / len(title)
    lines = textwrap.wrap(title, max(8, int(0.95 * width / per_character)))
    return "\n".join(lines), len(lines) * TITLE_SIZE * LINE_HEIGHT / 72 + 0.12


def add_title(fig: Figure, title: str) -> None:
    """Set a title at the upper left corner."""
    across, up = fig.get_size_inches()
    fig.text(
        PAD / across,
        1 - PAD / up,
        title,
        size=TITLE_SIZE,
        va="top",
        ha="left",
        linespacing=LINE_HEIGHT,
        parse_math=False,
    )


def bare(ax: Axes) -> None:
    """Take frame and tick marks from axes."""
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(which="both", length=0)


def save(fig: Figure, path: Path | None) -> None:
    """Write a figure whole or not at all; a reader never sees half a file."""
    if path is None:
        return
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            fig.savefig(file, format=kind, metadata=metadata)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
