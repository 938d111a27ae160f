"""What methods say of every stage, for the same pairs of task and source."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from pyattrx import layers
from pyattrx._files import atomic_write
from pyattrx.demo import minitaskonomy

from ..minitaskonomy.jobs import Say
from .truth import STAGES, pairs

__all__ = ["METHODS", "measure_scores", "read_scores"]

METHODS = (
    "recommended", "normalized_ridge", "ridge", "perturbation_response", "cka", "rsa", "dds",
    "svcca", "edges", "saliency", "grad_x_input", "depara",
)  # fmt: skip
_PREFIX = "network."  # of the wrapper that takes normalized images

Scores = dict[tuple[str, str, str], dict[str, float]]  # by method, task and source: by stage


def measure_scores(file: Path, say: Say) -> None:
    """Ask every method of every pair, where that is missing; all stages in one go.

    Probes are those of the demo, and the network of a task is its own encoder: rows are added to a
    CSV, and a run that was stopped goes on.
    """
    found = read_scores(file)
    networks = {encoder.name: encoder for encoder in minitaskonomy.encoders()}
    probes = minitaskonomy.probes()
    at = [_PREFIX + stage for stage in STAGES]
    for method in METHODS:
        begun, made = time.process_time(), 0
        for target, source in pairs():
            if (method, target, source) in found:
                continue
            scored = layers(networks[source], networks[target], probes, method, at)
            found[method, target, source] = {
                one.name.removeprefix(_PREFIX): one.score for one in scored
            }
            made += 1
        if made:
            _write(file, found)
            say(f"{method}: {made} pairs, {time.process_time() - begun:.0f} s of the CPU")


def read_scores(file: Path) -> Scores:
    """Read what methods said; nothing where there is no file yet."""
    found: Scores = {}
    if file.is_file():
        with file.open(newline="") as opened:
            for row in csv.DictReader(opened):
                of = found.setdefault((row["method"], row["task"], row["source"]), {})
                of[row["stage"]] = float(row["score"])
    return found


def _write(file: Path, found: Scores) -> None:
    lines = ["method,task,source,stage,score"]
    for (method, target, source), of in found.items():
        lines += [f"{method},{target},{source},{stage},{x:.6g}" for stage, x in of.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(("\n".join(lines) + "\n").encode())
