"""``python -m benchmarks minitaskonomy``: renders, trains, transfers; stopped, it goes on."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .data import prepare
from .export import export
from .jobs import Job, Say, run_jobs
from .networks import ARCHITECTURES
from .presets import PRESETS, Preset, find_preset
from .tasks import TARGETS, TASKS
from .train import UNTRAINED, train
from .transfer import cache_codes, is_measured, summarize, transfer

__all__ = ["SOURCES", "add_command", "cache_folder", "run_all", "run_training", "run_transfers"]

SOURCES = (*TASKS, UNTRAINED)
_STEPS = ("render", "train", "transfer", "all", "export")


def add_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the command to a parser: `add` makes one from a name, a purpose and a function."""
    command = add("minitaskonomy", "20 tasks on rendered rooms, and real transfers", _run)
    command.add_argument(
        "step", choices=_STEPS, help="`all` is the first three; `export` copies what is kept"
    )
    command.add_argument(
        "--folder",
        type=Path,
        default=cache_folder(),
        help="where everything goes (default: %(default)s)",
    )
    command.add_argument("--preset", choices=list(PRESETS), default="full")
    command.add_argument("--seeds", type=_whole(0), nargs="+", default=[0], help="of the encoders")
    command.add_argument("--architecture", choices=list(ARCHITECTURES), default="residual")
    command.add_argument(
        "--sources", nargs="+", choices=SOURCES, default=list(SOURCES), metavar="TASK",
        help="encoders (default: all tasks, and the control `untrained`)",
    )  # fmt: skip
    command.add_argument(
        "--targets", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="TASK"
    )
    command.add_argument(
        "--jobs", type=_whole(1), default=2, help="processes of one thread (default: 2)"
    )
    command.add_argument(
        "--out", type=Path, default=Path("minitaskonomy"), help="of `export` (default: %(default)s)"
    )
    command.add_argument("--quiet", "-q", action="store_true", help="say nothing of what is done")


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {least}")
        return int(text)

    return parse


def cache_folder() -> Path:
    """Where everything goes if nothing else is said."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pyattrx" / "minitaskonomy"


def _run(given: argparse.Namespace) -> None:
    say: Say = (lambda _line: None) if given.quiet else _say
    preset = find_preset(given.preset)
    before = signal.signal(signal.SIGTERM, _stop)  # so that the processes end with this one
    try:
        if given.step == "render":
            prepare(given.folder, preset, given.jobs, say)
        for seed in given.seeds if given.step != "render" else ():
            _run_seed(given, preset, seed, say)
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from here")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_seed(given: argparse.Namespace, preset: Preset, seed: int, say: Say) -> None:
    sources, targets = tuple(given.sources), tuple(given.targets)
    if given.step == "export":
        for path in export(given.folder, given.out, given.architecture, seed, sources):
            say(f"wrote {path}")
        return
    common = (given.folder, preset, given.architecture, seed, given.jobs, say, sources)
    if given.step == "train":
        run_training(*common)
    elif given.step == "transfer":
        run_transfers(*common, targets)
    else:
        run_all(*common, targets)


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


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _stop(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
