"""Pictures of results: ratios against sizes, and the ops under the machine's roof."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyattrx.errors import InvalidValueError
from pyattrx.report import canvas

from .results import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SWEPT = {"m": "networks M", "d": "elements of a map D"}


def draw(file: Path, folder: Path) -> list[Path]:
    """Draw the sweeps and the roofline of an op benchmark, or what zoos cost by their size.

    Parameters
    ----------
    file : Path
        Its results; the names of the pictures begin like that of this file.
    folder : Path
        Where the PNG files go.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InvalidValueError
        The file is missing, or something else.
    MissingDependencyError
        matplotlib is not installed.
    """
    canvas.require_matplotlib()
    document = load(file)
    if document["benchmark"] == "zoo":
        with canvas.house_style():
            _zoos(document, folder / f"{file.stem}.png")
        return [folder / f"{file.stem}.png"]
    measured = [case for case in document["cases"] if "fraction_of_floor" in case]
    if not measured:
        raise InvalidValueError("file", str(file), "results of `pyattrx bench ops`, `gpu` or `zoo`")
    files = []
    with canvas.house_style():
        if any(document.get("sweeps", {}).values()):
            files.append(folder / f"{file.stem}-ratios.png")
            _ratios(document, files[-1])
        files.append(folder / f"{file.stem}-roofline.png")
        _roofline(document, measured, files[-1])
    return files


def _ratios(document: dict[str, Any], path: Path) -> None:
    sweeps = {name: cases for name, cases in document["sweeps"].items() if cases}
    width, height = 3.7, 2.8
    fig = canvas.new_figure(0.3 + 4.5 * len(sweeps), height + 1.55)
    names = [c for cases in sweeps.values() for case in cases for c in case["candidates"]]
    colours = dict(zip(list(dict.fromkeys(names))[1:], _COLOURS * 3, strict=False))
    for place, (sweep, cases) in enumerate(sweeps.items()):
        ax = canvas.add_axes(fig, 0.75 + 4.5 * place, 0.6, width, height)
        for name, colour in colours.items():
            having = [case for case in cases if name in case["candidates"]]
            candidates = [case["candidates"][name] for case in having]
            if not having:
                continue
            sizes = [case["shape"][sweep] for case in having]
            ax.plot(sizes, [c["ratio"] for c in candidates], "o-", ms=3.5, color=colour, label=name)
            low, high = zip(*(c["ratio_quartiles"] for c in candidates), strict=True)
            ax.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.axhline(1, color=canvas.MUTED, linewidth=0.8, linestyle="--")
        _finish(ax, [case["shape"][sweep] for case in cases])
        ax.set_xlabel(_SWEPT.get(sweep, sweep))
        ax.set_ylabel("time / time of pyattrx")
        if place == 0:  # colours mean the same everywhere
            ax.legend(frameon=False, fontsize=8)
    canvas.add_title(fig, f"cosine_affinity, median and quartiles of rounds\n{_machine(document)}")
    canvas.save(fig, path)


def _finish(ax: Axes, sizes: Sequence[int]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(canvas.number))
    ax.grid(color=canvas.HAIRLINE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _roofline(document: dict[str, Any], cases: list[dict[str, Any]], path: Path) -> None:
    """Speed against multiply-adds a byte, both axes logarithmic.

    A point stands at its fraction of the roof, which was taken round by round, below the roof of
    the medians; so it is right about the distance, whatever the machine did in between.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    ceilings = document["machine"]["ceilings"]
    bandwidth = next(rate for key, rate in ceilings.items() if key.endswith("gb_per_s"))
    peak = next((rate for key, rate in ceilings.items() if "multiply_adds" in key), float("inf"))
    width, height = 4.6, 3.4
    names = [f"{i}  {c['name']}: {c['fraction_of_floor']:.0%}" for i, c in enumerate(cases, 1)]
    listed = max(canvas.text_widths(names, canvas.LABEL_SIZE))
    fig = canvas.new_figure(width + listed + 1.5, height + 1.5)
    ax = canvas.add_axes(fig, 0.75, 0.6, width, height)
    across, up = fig.get_size_inches()

    intensity = [case["multiply_adds"] / case["bytes"] for case in cases]
    ends = [min(intensity) / 2, max(intensity) * 2]
    corner = min(max(peak / bandwidth, ends[0]), ends[1])
    roof = [min(x * bandwidth, peak) for x in (ends[0], corner, ends[1])]
    ax.plot([ends[0], corner, ends[1]], roof, color=canvas.INK, linewidth=1.2)
    for number, (x, case) in enumerate(zip(intensity, cases, strict=True), 1):
        y = min(x * bandwidth, peak) * case["fraction_of_floor"]
        best = min(c["ratio"] for n, c in case["candidates"].items() if "pyattrx" not in n)
        colour = _COLOURS[0] if best >= 1 else _COLOURS[1]
        ax.plot([x, x], [y, y / best], color=canvas.MUTED, linewidth=0.7)
        ax.plot(x, y, "o", ms=5, color=colour)
        ax.plot(x, y / best, "o", ms=4, mfc="white", mec=canvas.MUTED)
        # To the right, unless the next point is there.
        left = any(x < other < 1.3 * x for other in intensity)
        ax.annotate(
            str(number),
            (x, y),
            (-5, -11) if left else (5, 4),
            textcoords="offset points",
            ha="right" if left else "left",
            color=canvas.INK,
        )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:.3g}"))
        axis.set_minor_locator(NullLocator())
    ax.set_xlim(*ends)
    ax.set_xlabel("multiply-adds a byte")
    ax.set_ylabel("billion multiply-adds a second")
    ax.grid(color=canvas.HAIRLINE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    notes = [
        "filled: pyattrx; orange: not the fastest",
        "hollow: the fastest other",
        "line: the roof",
    ]
    legend = "\n".join([*names, "", *notes])
    fig.text(
        (0.75 + width + 0.3) / across,
        (0.6 + height) / up,
        legend,
        size=canvas.LABEL_SIZE,
        va="top",
        linespacing=1.5,
        parse_math=False,
    )
    roof_text = f"{bandwidth:.3g} GB/s"
    if peak < float("inf"):
        roof_text += f", {peak:.3g} billion float64 multiply-adds a second"
    canvas.add_title(fig, f"Ops below the roof: {roof_text}\n{_machine(document)}")
    canvas.save(fig, path)


# Panels of the zoo's picture: what is on the upright axis, and its curves.
_ZOO_PANELS = (
    ("a query, ms", {"p50_ms": "median", "p99_ms": "99th percentile"}),
    ("found of the nearest 5", {"recall_at_5": "by the query", "offered": "by the index"}),
    ("once, s", {"build_s": "build the index", "first_query_s": "open and first query"}),
    ("MiB", {"resident_mib": "resident", "disk_mib": "on disk"}),
    ("add_maps, ms", {"add_maps_first_ms": "the first", "add_maps_last_ms": "the last"}),
)


def _zoos(document: dict[str, Any], path: Path) -> None:
    cases = []
    for case in document["cases"]:
        kind = case["kinds"].get(case["kind"], {})
        cases.append(
            {
                **case,
                "offered": kind.get("recall_at_5", float("nan")),
                "first_query_s": (case["open_ms"] + case["first_query_ms"]) / 1e3,
                "disk_mib": case["disk_bytes"] / 2**20,
            }
        )
    sizes = [case["n"] for case in cases]
    width, height, columns = 2.9, 2.2, 3
    rows = -(-len(_ZOO_PANELS) // columns)
    fig = canvas.new_figure(0.4 + 3.75 * columns, (height + 0.85) * rows + 0.75)
    for number, (label, curves) in enumerate(_ZOO_PANELS):
        across, down = number % columns, number // columns
        bottom = 0.6 + (rows - 1 - down) * (height + 0.85)
        ax = canvas.add_axes(fig, 0.75 + 3.75 * across, bottom, width, height)
        for (key, name), colour in zip(curves.items(), _COLOURS, strict=False):
            ax.plot(sizes, [case[key] for case in cases], "o-", ms=3.5, color=colour, label=name)
        ax.set_xscale("log")
        if "found" in label:
            ax.set_ylim(0.9, 1.005)
        elif "add_maps" in label:
            ax.set_ylim(bottom=0)
        else:
            ax.set_yscale("log")
        ax.set_ylabel(label)
        if down == rows - 1 or number + columns >= len(_ZOO_PANELS):
            ax.set_xlabel("networks in the zoo")
        ax.grid(color=canvas.HAIRLINE, linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8)
    canvas.add_title(fig, f"Zoos of sketches\n{_machine(document)}")
    canvas.save(fig, path)


def _machine(document: dict[str, Any]) -> str:
    machine = document["machine"]
    if document["benchmark"] == "gpu":
        return ", ".join(machine["gpus"])
    return f"{machine['cpu']}, threads: {machine['threads']}, {machine['date']}"
