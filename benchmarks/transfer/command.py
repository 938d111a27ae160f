"""``python -m benchmarks transfer``: does the ranking predict transfer?"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyattrx.demo.minitaskonomy
from pyattrx import report

from ..minitaskonomy.command import cache_folder
from ..minitaskonomy.networks import ARCHITECTURES
from ..minitaskonomy.presets import PRESETS, find_preset
from ..minitaskonomy.tasks import TARGETS
from ..minitaskonomy.transfer import transfer_folder
from .figures import draw
from .fitted import compute_fitted
from .methods import CANDIDATES, JUDGED
from .networks import both_architectures, one_architecture
from .probes import PROBE_SETS
from .scores import compute_scores, describe_networks
from .shipping import ship
from .study import Study, choose
from .table import FITTED, document, show
from .truth import gather_truth, read_truth

__all__ = ["ROOT", "add_command"]

ROOT = Path(__file__).resolve().parents[1] / "results" / "transfer"


def add_command(
    add: Callable[..., argparse.ArgumentParser], shared: argparse.ArgumentParser
) -> None:
    """Describe the command to a parser: `add` makes one from a name, a purpose and a function."""
    command = add(
        "transfer", "does the ranking predict transfer? the table, from committed results", _run,
        shared,
    )  # fmt: skip
    command.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the figures there")
    command.add_argument(
        "--results", type=Path, default=ROOT, metavar="FOLDER", help="tables (default: %(default)s)"
    )
    steps = command.add_argument_group("make the results anew, from what `minitaskonomy` made")
    steps.add_argument("--describe", action="store_true", help="describe the networks so far")
    steps.add_argument("--scores", action="store_true", help="score all pairs by every method")
    steps.add_argument(
        "--fit", action="store_true", help="fit targets to the images of one transfer, and score"
    )
    steps.add_argument("--gather", action="store_true", help="gather the measured transfers")
    steps.add_argument(
        "--export", action="store_true", help="put the encoders of the first seed into the package"
    )
    steps.add_argument("--folder", type=Path, default=cache_folder(), help="of `minitaskonomy`")
    steps.add_argument("--preset", choices=list(PRESETS), default="full")
    steps.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the encoders")


def _run(given: argparse.Namespace) -> None:
    steps = given.describe or given.scores or given.fit or given.gather or given.export
    if given.pictures is not None:
        report.require_matplotlib()
    if steps:
        _make(given)
        return
    study = Study(given.results)
    found = document(study)
    files = [] if given.pictures is None else draw(study, given.pictures)
    if given.json:
        print(json.dumps({**found, "files": [str(f) for f in files]}, indent=2, allow_nan=False))
        return
    show(found)
    for file in files:
        print(f"wrote {file}")


def _make(given: argparse.Namespace) -> None:
    preset = find_preset(given.preset)
    for seed in given.seeds:
        if given.gather:
            for architecture in ARCHITECTURES:
                if not transfer_folder(given.folder, architecture, seed).is_dir():
                    continue
                for file in gather_truth(given.folder, seed, TARGETS, given.results, architecture):
                    _say(f"wrote {file}")
        one, both = one_architecture(seed), both_architectures(seed)
        mixers = all(network.file(given.folder).is_file() for network in both.members)
        for kind in PROBE_SETS:
            if given.scores:
                compute_scores(given.folder, preset, one, kind, given.results, _say)
                if mixers:
                    compute_scores(
                        given.folder, preset, both, kind, given.results, _say, JUDGED, ()
                    )
            elif given.describe:
                describe_networks(given.folder, preset, one, kind, _say)
            if given.fit:
                methods = [*CANDIDATES[choose(Study(given.results))[0][0]].terms, *FITTED]
                compute_fitted(
                    given.folder,
                    preset,
                    seed,
                    kind,
                    given.results,
                    _say,
                    list(dict.fromkeys(methods)),
                )
    if given.export:
        seed = given.seeds[0]
        truth = read_truth(given.results, f"residual-seed{seed}")
        shipped = ship(given.folder, preset, seed, truth, pyattrx.demo.minitaskonomy.FOLDER)
        largest = max(shipped.differences.values())
        _say(
            f"{len(shipped.files)} files, {shipped.bytes / 1e6:.1f} MB; half precision moves "
            f"outputs by at most {largest:.1e} of the largest"
        )


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
