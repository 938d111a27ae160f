"""``python -m studies minitaskonomy``: renders, trains, transfers; stopped, it goes on."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from ..options import among, say_at
from .data import prepare
from .export import export
from .jobs import Job, Say, run_jobs
from .networks import ARCHITECTURES
from .presets import PRESETS, Preset, find_preset
from .tasks import TARGETS, TASKS
from .train import UNTRAINED, train
from .transfer import cache_codes, is_measured, summarize, transfer

__all__ = [
    "SOURCES",
    "cache_folder",
    "minitaskonomy_command",
    "run_all",
    "run_training",
    "run_transfers",
]

SOURCES = (*TASKS, UNTRAINED)
_STEPS = ("render", "train", "transfer", "all", "export")


def cache_folder() -> Path:
    """Where everything goes if nothing else is said."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pyattrx" / "minitaskonomy"


def minitaskonomy_command(
    step: Annotated[
        str,
        typer.Argument(
            metavar="STEP",
            help=f"{', '.join(_STEPS)}: `all` is the first three; `export` copies what is kept.",
            callback=among(_STEPS),
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(help=f"Where everything goes (default: {cache_folder()})."),
    ] = None,
    preset: Annotated[
        str, typer.Option(metavar=f"[{'|'.join(PRESETS)}]", callback=among(PRESETS))
    ] = "full",
    seeds: Annotated[list[int] | None, typer.Option(min=0, help="Of the encoders (0).")] = None,
    architecture: Annotated[
        str, typer.Option(metavar=f"[{'|'.join(ARCHITECTURES)}]", callback=among(ARCHITECTURES))
    ] = "residual",
    sources: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK...",
            help="Encoders; all tasks, and the control `untrained`, if left out.",
            callback=among(SOURCES),
        ),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK...", help="All if left out.", callback=among(TARGETS)),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of one thread.")] = 2,
    out: Annotated[Path, typer.Option(help="Of `export`.")] = Path("minitaskonomy"),
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing of what is done.")
    ] = False,
) -> None:
    """Render, train and transfer; stopped, the same command goes on."""
    say: Say = (lambda _line: None) if quiet else say_at
    todo = _Todo(
        folder or cache_folder(), find_preset(preset), architecture,
        tuple(sources or SOURCES), tuple(targets or TARGETS), jobs, out, say,
    )  # fmt: skip
    before = signal.signal(signal.SIGTERM, _stop)  # so that the processes end with this one
    try:
        if step == "render":
            prepare(todo.folder, todo.preset, jobs, say)
        for seed in (seeds or [0]) if step != "render" else ():
            _run_seed(step, todo, seed)
    except KeyboardInterrupt:
        say_at("stopped; the same command goes on from here")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


class _Todo(NamedTuple):
    folder: Path
    preset: Preset
    architecture: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    jobs: int
    out: Path
    say: Say


def _run_seed(step: str, todo: _Todo, seed: int) -> None:
    if step == "export":
        for path in export(todo.folder, todo.out, todo.architecture, seed, todo.sources):
            todo.say(f"wrote {path}")
        return
    common = (
        todo.folder, todo.preset, todo.architecture, seed, todo.jobs, todo.say, todo.sources,
    )  # fmt: skip
    if step == "train":
        run_training(*common)
    elif step == "transfer":
        run_transfers(*common, todo.targets)
    else:
        run_all(*common, todo.targets)


def run_training(
    folder: Path, preset: Preset, architecture: str, seed: int, processes: int, say: Say,
    sources: tuple[str, ...] = SOURCES,
) -> None:  # fmt: skip
    """Train the encoders that are missing.

    Parameters
    ----------
    folder : Path
        With a complete data set.
    preset : Preset
        How long.
    architecture, seed
        Of the encoders.
    processes : int
        How many at a time.
    say : callable
        Is told what is done.
    sources : tuple of str
        Tasks, or ``untrained``.
    """
    jobs = [
        Job(f"train {name}, {architecture} seed {seed}", train,
            (folder, preset, name, architecture, seed))
        for name in sources
    ]  # fmt: skip
    run_jobs(jobs, processes, say)


def run_transfers(
    folder: Path, preset: Preset, architecture: str, seed: int, processes: int, say: Say,
    sources: tuple[str, ...] = SOURCES, targets: tuple[str, ...] = TARGETS,
) -> None:  # fmt: skip
    """Measure the transfers that are missing, and gather all; parameters as for `run_training`."""
    name = f"{architecture} seed {seed}"
    missing = [
        target for target in targets if not is_measured(folder, target, sources, architecture, seed)
    ]
    if missing:
        todo = [
            Job(f"codes of {source}, {name}", cache_codes,
                (folder, preset, source, architecture, seed))
            for source in sources
        ]  # fmt: skip
        run_jobs(todo, processes, say)
    todo = [
        Job(f"transfer to {target}, {name}", transfer,
            (folder, preset, target, sources, architecture, seed))
        for target in missing
    ]  # fmt: skip
    run_jobs(todo, processes, say)
    for path in summarize(folder, architecture, seed, targets):
        say(f"wrote {path}")
    shutil.rmtree(folder / "codes" / f"{architecture}-seed{seed}", ignore_errors=True)


def run_all(
    folder: Path, preset: Preset, architecture: str, seed: int, processes: int, say: Say,
    sources: tuple[str, ...] = SOURCES, targets: tuple[str, ...] = TARGETS,
) -> None:  # fmt: skip
    """Render, train and transfer what is missing; parameters as for `run_training`."""
    prepare(folder, preset, processes, say)
    run_training(folder, preset, architecture, seed, processes, say, sources)
    run_transfers(folder, preset, architecture, seed, processes, say, sources, targets)


def _stop(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
