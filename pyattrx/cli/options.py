"""Options that several commands have, and what they mean."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from pyattrx._progress import set_progress
from pyattrx.cli.output import print_json
from pyattrx.cli.places import check_specifications, check_there
from pyattrx.cli.streams import complain
from pyattrx.encoders import Encoder, expand, load
from pyattrx.errors import InvalidValueError
from pyattrx.methods import (
    ATTRIBUTIONS,
    FEATURE_METHODS,
    SCALARS,
    STORAGES,
    ComparisonMethod,
    Method,
)
from pyattrx.methods import get as get_method
from pyattrx.probes import Probes
from pyattrx.workers import Workers

__all__ = [
    "METHOD",
    "MOST_UNASKED",
    "OUTPUT",
    "PROBES",
    "RUN",
    "Encoder",
    "Loader",
    "be_quiet",
    "method",
    "networks",
    "parse_grid",
    "probes_folder",
    "read_probes",
    "set_threads",
    "workers",
]

PROBES, METHOD, RUN, OUTPUT = "Probes", "Method", "Run", "Output"  # groups of options
MOST_UNASKED = 20  # networks that a wildcard may stand for without a question

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document and nothing else.", rich_help_panel=OUTPUT
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=OUTPUT)
]
Specifications = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC...",
        help="Networks: package.module:factory, path/file.py:factory, timm:NAME (wildcards "
        "allowed), transformers:NAME_OR_PATH, taskonomy:FOLDER_OR_FILE, fitted.safetensors (see "
        "fit), or program.pt2 (with --trust); ?output=LAYER, ?features=LAYER, "
        "?weights=FILE may follow.",
    ),
]
ProbesFolder = Annotated[
    Path, typer.Option("--probes", help="Folder of probe images.", rich_help_panel=PROBES)
]
ProbesUnlessListed = Annotated[
    Path | None,
    typer.Option(
        "--probes",
        help="Folder of probe images.  [required, but for --list]",
        rich_help_panel=PROBES,
    ),
]
Size = Annotated[int, typer.Option(help="Height and width of the probes.", rich_help_panel=PROBES)]
Limit = Annotated[
    int | None, typer.Option(help="Use at most this many probes.", rich_help_panel=PROBES)
]
Crops = Annotated[int, typer.Option(help="Probes cut from each image.", rich_help_panel=PROBES)]
Seed = Annotated[
    int, typer.Option(help="Seed of the probes' order and crops.", rich_help_panel=PROBES)
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out images that cannot be read.", rich_help_panel=PROBES
    ),
]
MethodName = Annotated[
    str, typer.Option(help=f"Attribution: {', '.join(ATTRIBUTIONS)}.", rich_help_panel=METHOD)
]
ZooMethodName = Annotated[
    str,
    typer.Option(
        help=f"Attribution: {', '.join(ATTRIBUTIONS)}; or recommended: saliency of "
        "half_squared_norm finds the nearest, recommended puts them in order.",
        rich_help_panel=METHOD,
    ),
]
AnyMethodName = Annotated[
    str,
    typer.Option(
        help=f"Attribution: {', '.join(ATTRIBUTIONS)}; or features: "
        f"{', '.join(FEATURE_METHODS)}; or depara; or recommended, the best where transfers were "
        "measured; or module:Name, a method of your own. The options of maps go with attribution "
        "only.",
        rich_help_panel=METHOD,
    ),
]
ScalarName = Annotated[
    str, typer.Option(help=f"What is attributed: {', '.join(SCALARS)}.", rich_help_panel=METHOD)
]
Reduce = Annotated[
    str, typer.Option(help="Channels: mean, abs_mean, none.", rich_help_panel=METHOD)
]
Grid = Annotated[
    str | None, typer.Option(help="Size of the maps, HEIGHTxWIDTH.", rich_help_panel=METHOD)
]
Center = Annotated[
    bool, typer.Option("--center", help="Subtract each map's mean.", rich_help_panel=METHOD)
]
Pixels = Annotated[
    int | None, typer.Option(help="Random map elements to keep.", rich_help_panel=METHOD)
]
Storage = Annotated[
    str | None,
    typer.Option(help=f"Round maps to a type: {', '.join(STORAGES)}.", rich_help_panel=METHOD),
]
Steps = Annotated[
    int | None,
    typer.Option(help="Points on the path of an attribution that has one.", rich_help_panel=METHOD),
]
BatchSize = Annotated[int, typer.Option(help="Images in one pass.", rich_help_panel=RUN)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...", rich_help_panel=RUN)]
Precision = Annotated[
    str,
    typer.Option(
        help="Arithmetic of the passes: float32, tf32 (CUDA), bfloat16 (autocast), or auto: the "
        "fastest one that hardly changes the result.",
        rich_help_panel=RUN,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile networks: tens of seconds an architecture, for many probes or networks.",
        rich_help_panel=RUN,
    ),
]
Threads = Annotated[
    int | None, typer.Option(help="CPU threads, of all processes together.", rich_help_panel=RUN)
]
WorkersGiven = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|auto|ray://...",
        help="Run networks by N processes, or by a Ray cluster.",
        rich_help_panel=RUN,
    ),
]
Sources = Annotated[
    int, typer.Option("-k", help="Sources to list for each target.", rich_help_panel=OUTPUT)
]
Scratch = Annotated[
    Path | None, typer.Option(help="Folder for temporary rows.", rich_help_panel=RUN)
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Load what may execute code: exported programs, and methods of a zoo's own.",
        rich_help_panel=RUN,
    ),
]

Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help=f"Do not ask before more than {MOST_UNASKED} networks."),
]
Listed = Annotated[
    bool, typer.Option("--list", help="Print the networks that SPEC stands for, and exit.")
]


class Loader:
    """Loads a network when its turn comes."""

    def __init__(self, name: str, trust: bool) -> None:
        self.name = name
        self._trust = trust

    def __call__(self) -> Encoder:
        """Load the network."""
        return load(self.name, trust=self._trust)


def networks(
    specifications: Sequence[str],
    *,
    yes: bool,
    listed: bool,
    as_json: bool = False,
    only: Callable[[list[str]], list[str]] = list,
) -> list[str]:
    """List the networks that specifications stand for, once it is sure that they are meant.

    What matches a specification of several networks is said on standard error. If that is more
    than `MOST_UNASKED`, a user at a terminal is asked.

    Parameters
    ----------
    specifications : sequence of str
    yes : bool
        Do not ask.
    listed : bool
        Print the networks, as JSON with `as_json`, and exit.
    as_json : bool
    only : callable
        Chooses some of them.

    Raises
    ------
    InvalidValueError
        Not a specification, no such file, nothing matches, or too many networks and nobody to ask.
    typer.Exit
        After a list, or where the answer is no.
    """
    found = [(given, expand(given)) for given in specifications]
    names = [name for _, group in found for name in group]
    check_specifications(names)
    names = only(names)
    if listed:
        if as_json:
            print_json({"networks": names})
        else:
            for name in names:
                print(name)
        raise typer.Exit
    several = {given: len(group) for given, group in found if group != [given]}
    for given, count in several.items():
        complain(f"pyattrx: {given!r} matches {count} network{'s' * (count != 1)}")
    # A folder of one's own files is no surprise.
    several = {given: n for given, n in several.items() if not given.startswith("taskonomy:")}
    matched = sum(several.values())
    if matched > MOST_UNASKED and not yes:
        _ask(max(several, key=lambda given: several[given]), matched)
    return names


def probes_folder(given: Path | None) -> Path:
    """Return the folder of probes, or raise InvalidValueError where there is none."""
    if given is None:
        raise InvalidValueError("--probes", None, "a folder of images")
    check_there("--probes", given, "folder of images")
    return given


def read_probes(
    folder: Path,
    size: int | tuple[int, int],
    limit: int | None,
    crops: int,
    seed: int,
    skip_bad: bool,
) -> Probes:
    """Read probes as their options say."""
    return Probes.from_folder(
        folder,
        size=size,
        limit=limit,
        crops=crops,
        seed=seed,
        on_error="skip" if skip_bad else "raise",
    )


def _ask(specification: str, matched: int) -> None:
    if not (sys.stdin is not None and sys.stdin.isatty()):
        raise InvalidValueError(
            "SPEC",
            specification,
            f"--yes, to use {matched} networks (more than {MOST_UNASKED}); --list prints them",
        )
    if not typer.confirm(f"Use {matched} networks?", err=True):
        raise typer.Exit(1)


def be_quiet(quiet: bool) -> None:
    """Show no progress if that is asked for."""
    if quiet:
        set_progress(False)


def set_threads(threads: int | None) -> None:
    """Use a number of CPU threads."""
    if threads is not None:
        if threads < 1:
            raise InvalidValueError("threads", threads, "an integer of at least 1")
        torch.set_num_threads(threads)


def workers(given: str | None) -> Workers:
    """Read the option of workers: a number is one of processes."""
    if given is None or not re.fullmatch(r"[+-]?\d+", given):
        return given
    return int(given)


def method(
    name: str,
    scalar: str,
    reduce: str,
    grid: str | None,
    center: bool,
    pixels: int | None,
    storage: str | None,
    steps: int | None = None,
) -> ComparisonMethod:
    """Make a method of its options."""
    if name not in ATTRIBUTIONS:
        chosen = get_method(name)
        usual = {"scalar": "mean", "reduce": "mean", "center": False}
        given = {
            "scalar": scalar,
            "reduce": reduce,
            "grid": grid,
            "center": center,
            "pixels": pixels,
            "storage": storage,
            "steps": steps,
        }
        for option, value in given.items():
            if value != usual.get(option):
                raise InvalidValueError(
                    option,
                    value,
                    f"nothing: it goes with --method {', '.join(ATTRIBUTIONS)}, not with {name}",
                )
        return chosen
    return Method(
        name,
        scalar=scalar,
        reduce=reduce,
        grid=parse_grid(grid),
        center=center,
        pixels=pixels,
        storage=storage,
        steps=steps,
    )


def parse_grid(text: str | None) -> tuple[int, int] | None:
    """Read HEIGHTxWIDTH."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise InvalidValueError("grid", text, "HEIGHTxWIDTH, for example 56x56")
    height = int(match[1])
    return height, int(match[2] or height)
