"""``python -m studies transfer``: does the ranking predict transfer?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

import pyattrx.demo.minitaskonomy
from benchmarks.options import Json
from pyattrx import report

from .. import pages
from ..minitaskonomy.command import cache_folder
from ..minitaskonomy.networks import ARCHITECTURES
from ..minitaskonomy.presets import PRESETS, Preset, find_preset
from ..minitaskonomy.tasks import TARGETS
from ..minitaskonomy.transfer import transfer_folder
from ..options import among, say_at
from .figures import draw
from .fitted import compute_fitted
from .methods import CANDIDATES, JUDGED
from .networks import both_architectures, one_architecture
from .page import TABLES
from .paths import compute_paths, measure_costs
from .probes import PROBE_SETS
from .responses import compute_responses
from .scores import compute_scores, describe_networks
from .shipping import ship
from .study import Study, choose
from .table import FITTED, document, show
from .truth import gather_truth, read_truth

__all__ = ["ROOT", "transfer_command"]

ROOT = Path(__file__).resolve().parents[1] / "results" / "transfer"


_ANEW = "Make the results anew, from what `minitaskonomy` made"


_Pictures = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw the figures there.")]
_Results = Annotated[Path, typer.Option(metavar="FOLDER", help="Tables.")]
_Page = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE...",
        help="Fill tables of docs/transfer.md, docs/transfer-details.md, docs/methods.md.",
    ),
]
_Describe = Annotated[
    bool,
    typer.Option("--describe", help="Describe the networks so far.", rich_help_panel=_ANEW),
]
_Scores = Annotated[
    bool,
    typer.Option("--scores", help="Score all pairs by every method.", rich_help_panel=_ANEW),
]
_Fit = Annotated[
    bool,
    typer.Option(
        "--fit",
        help="Fit targets to the images of one transfer, and score.",
        rich_help_panel=_ANEW,
    ),
]
_Paths = Annotated[
    bool,
    typer.Option(
        "--paths",
        help="Score the demo's networks by attributions along paths; needs the scenes only.",
        rich_help_panel=_ANEW,
    ),
]
_Responses = Annotated[
    bool,
    typer.Option(
        "--responses",
        help="Score the demo's networks by adversarial responses; needs nothing else.",
        rich_help_panel=_ANEW,
    ),
]
_Gather = Annotated[
    bool,
    typer.Option("--gather", help="Gather the measured transfers.", rich_help_panel=_ANEW),
]
_Export = Annotated[
    bool,
    typer.Option(
        "--export",
        help="Put the encoders of the first seed into the package.",
        rich_help_panel=_ANEW,
    ),
]
_Folder = Annotated[
    Path | None,
    typer.Option(help=f"Of `minitaskonomy` (default: {cache_folder()}).", rich_help_panel=_ANEW),
]
_Preset = Annotated[
    str,
    typer.Option(metavar=f"[{'|'.join(PRESETS)}]", callback=among(PRESETS), rich_help_panel=_ANEW),
]
_Seeds = Annotated[
    list[int] | None, typer.Option(help="Of the encoders (0).", rich_help_panel=_ANEW)
]


def transfer_command(
    pictures: _Pictures = None,
    results: _Results = ROOT,
    page: _Page = None,
    as_json: Json = False,
    describe: _Describe = False,
    scores: _Scores = False,
    fit: _Fit = False,
    paths: _Paths = False,
    responses: _Responses = False,
    gather: _Gather = False,
    export: _Export = False,
    folder: _Folder = None,
    preset: _Preset = "full",
    seeds: _Seeds = None,
) -> None:
    """Print what the study found, or make its results anew."""
    if pictures is not None:
        report.require_matplotlib()
    if paths:
        work, chosen = folder or cache_folder(), find_preset(preset)
        compute_paths(work, chosen, PROBE_SETS[0], results, say_at)
        say_at(f"wrote {measure_costs(work, chosen, results)}")
        return
    if responses:
        compute_responses(results, say_at)
        return
    if describe or scores or fit or gather or export:
        steps = _Steps(describe, scores, fit, gather, export)
        _make(steps, results, folder or cache_folder(), find_preset(preset), seeds or [0])
        return
    study = Study(results)
    if page:
        for file in page:
            pages.write(file, TABLES, study)
        return
    found = document(study)
    files = [] if pictures is None else draw(study, pictures)
    if as_json:
        print(json.dumps({**found, "files": [str(f) for f in files]}, indent=2, allow_nan=False))
        return
    show(found)
    for file in files:
        print(f"wrote {file}")


class _Steps(NamedTuple):
    describe: bool
    scores: bool
    fit: bool
    gather: bool
    export: bool


def _make(steps: _Steps, results: Path, folder: Path, preset: Preset, seeds: Sequence[int]) -> None:
    for seed in seeds:
        if steps.gather:
            for architecture in ARCHITECTURES:
                if not transfer_folder(folder, architecture, seed).is_dir():
                    continue
                for file in gather_truth(folder, seed, TARGETS, results, architecture):
                    say_at(f"wrote {file}")
        one, both = one_architecture(seed), both_architectures(seed)
        mixers = all(network.file(folder).is_file() for network in both.members)
        for kind in PROBE_SETS:
            if steps.scores:
                compute_scores(folder, preset, one, kind, results, say_at)
                if mixers:
                    compute_scores(folder, preset, both, kind, results, say_at, JUDGED, ())
            elif steps.describe:
                describe_networks(folder, preset, one, kind, say_at)
            if steps.fit:
                methods = [*CANDIDATES[choose(Study(results))[0][0]].terms, *FITTED]
                compute_fitted(
                    folder,
                    preset,
                    seed,
                    kind,
                    results,
                    say_at,
                    list(dict.fromkeys(methods)),
                )
    if steps.export:
        seed = seeds[0]
        truth = read_truth(results, f"residual-seed{seed}")
        shipped = ship(folder, preset, seed, truth, pyattrx.demo.minitaskonomy.FOLDER)
        largest = max(shipped.differences.values())
        say_at(
            f"{len(shipped.files)} files, {shipped.bytes / 1e6:.1f} MB; half precision moves "
            f"outputs by at most {largest:.1e} of the largest"
        )
