"""``python -m studies precision``: does a cheaper arithmetic change which source is named?

Twenty networks of MiniTaskonomy over the demo's probes, each method once in float32 and once in
each cheaper arithmetic. The criterion, written before any result: rankings are unchanged where the
mean rank correlation with measured transfers, and the precision of the first, move by at most .01
(of eighteen targets, so that not one may have another first source that is right or wrong).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import pyattrx
from benchmarks.measure import limited_threads, machine
from benchmarks.options import Json
from pyattrx import evaluate
from pyattrx._files import atomic_write
from pyattrx.demo import minitaskonomy
from pyattrx.errors import InvalidValueError

from . import pages
from .options import say_at

__all__ = ["METHODS", "precision_command"]

FILE = Path(__file__).resolve().parent / "results" / "precision.json"
METHODS = ("recommended", "normalized_ridge", "cka", "rsa", "saliency", "grad_x_input")
CHEAPER = ("bfloat16", "auto")
_MOST = 0.01
_HEAD = ("method", "arithmetic", "Spearman", "moved by", "P@1", "moved by", "largest change")


def precision_command(
    results: Annotated[Path, typer.Option(metavar="FILE", help="What was measured.")] = FILE,
    anew: Annotated[bool, typer.Option("--anew", help="Measure anew, in minutes.")] = False,
    as_json: Json = False,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Fill the table of docs/conventions.md.")
    ] = None,
) -> None:
    """Print what cheaper arithmetic does to rankings, or measure it."""
    if anew:
        with limited_threads(1), atomic_write(results) as out:
            out.write((json.dumps(_measured(), indent=2) + "\n").encode())
    if not results.is_file():
        raise InvalidValueError("results", str(results), "a file that --anew has written")
    found: dict[str, Any] = json.loads(results.read_text())
    if page is not None:
        pages.write(page, TABLES, found)
    elif as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        print(table(found))


def table(found: Mapping[str, Any]) -> str:
    """Write what was measured as a table."""
    rows = [
        (
            row["method"],
            row["precision"],
            pages.number(row["spearman"]),
            f"{row['spearman_moved']:+.4f}",
            pages.number(row["first"]),
            f"{row['first_moved']:+.4f}",
            f"{row['largest_change']:.4f}",
        )
        for row in found["rows"]
    ]
    return pages.markdown(_HEAD, rows)


TABLES = {"precision": table}


def _measured() -> dict[str, Any]:
    truth, probes = minitaskonomy.transfers(), minitaskonomy.probes()
    encoders = minitaskonomy.encoders()

    def run(method: str, precision: str) -> tuple[pyattrx.Affinity, float]:
        begun = time.perf_counter()
        made = pyattrx.affinity(encoders, probes, method, 64, "cpu", precision=precision)
        say_at(f"{method}, {precision}: {time.perf_counter() - begun:.0f} s")
        return made, time.perf_counter() - begun

    def judged(made: pyattrx.Affinity) -> tuple[float, float]:
        names = made.names
        scores = evaluate.Table(made.values, tuple(names), tuple(names)).select(
            truth.targets, truth.sources
        )
        return evaluate.spearman(scores, truth), evaluate.precision_at_k(scores, truth, 1)

    rows = []
    for method in METHODS:
        exact, seconds = run(method, "float32")
        spearman, first = judged(exact)
        for precision in CHEAPER:
            made, taken = run(method, precision)
            now = judged(made)
            used = [network["precision"] for network in made.provenance["networks"]]
            moved = now[0] - spearman, now[1] - first
            rows.append(
                {
                    "method": method,
                    "precision": precision,
                    "spearman": now[0],
                    "spearman_moved": moved[0],
                    "first": now[1],
                    "first_moved": moved[1],
                    "unchanged": max(map(abs, moved)) <= _MOST,
                    "largest_change": float(np.nanmax(np.abs(made.values - exact.values))),
                    "in_float32": sum("bfloat16" not in (one or {}).values() for one in used),
                    "least_cosine": _least(used, "least_cosine"),
                    "features_kept": _least(used, "features_kept"),
                    "seconds": round(taken, 1),
                    "seconds_in_float32": round(seconds, 1),
                }
            )
    return {"probes": len(probes), "networks": len(encoders), "rows": rows, **machine()}


def _least(used: list[dict[str, Any] | None], key: str) -> float | None:
    found = [one[key] for one in used if one and key in one]
    return min(found, default=None)
