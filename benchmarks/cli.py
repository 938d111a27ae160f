"""The commands of ``pyattrx bench`` and ``python -m benchmarks``, which are the same."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import pyattrx
from pyattrx import ops as native

from . import gpu, ops, pipeline, plot, results, tables, zoo
from .measure import Say, Settings, results_path, write_results
from .minitaskonomy.command import add_command as add_minitaskonomy
from .scores import measure_scores
from .transfer.command import add_command as add_transfer

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command that the arguments name.

    Parameters
    ----------
    arguments : sequence of str
        What stands after ``pyattrx bench``; ``--help`` lists it.

    Raises
    ------
    SystemExit
        After ``--help``, or with code 2 where the arguments cannot be parsed.
    PyattrxError
        A file or a device is missing.
    """
    given = _parser().parse_args(arguments)
    given.command(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyattrx bench", description="Measure the kernels; every result is checked."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print the JSON, too, and no table")

    measured = argparse.ArgumentParser(add_help=False, parents=[shared])
    measured.add_argument("--quick", action="store_true", help="tiny cases, to see that it works")
    measured.add_argument("--threads", type=_count, default=1, help="CPU threads (default: 1)")
    measured.add_argument("--rounds", type=_count, help="repetitions; as time allows by default")
    measured.add_argument("--quiet", "-q", action="store_true", help="do not say what is running")

    resnets = argparse.ArgumentParser(add_help=False)
    resnets.add_argument("--networks", type=_several, default=2, help="ResNet-18s (default: 2)")
    resnets.add_argument("--probes", type=_count, default=64, help="images (default: 64)")

    one_file = argparse.ArgumentParser(add_help=False)
    one_file.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="JSON file; in the sources benchmarks/results/COMMAND.json by default, elsewhere "
        "pyattrx-bench-COMMAND.json, and pyattrx-bench-COMMAND-quick.json of a quick run",
    )

    def add(
        name: str, purpose: str, run: Callable[[Any], None], *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=purpose, description=purpose, parents=parents)
        command.set_defaults(command=run, benchmark=name)
        return command

    add("ops", "the ops on the CPU against PyTorch and NumPy", _measure, measured, one_file)
    add("pipeline", "affinity() against a plain loop", _measure, measured, one_file, resnets)
    add("gpu", "the ops on a GPU against PyTorch, and the whole run", _measure, measured, one_file)
    add("scores", "every score of features", measure_scores, measured, one_file)
    command = add("zoo", "zoos of a thousand to a million", _measure_zoo, measured, one_file)
    command.add_argument(
        "--sizes", type=_count, nargs="+", default=zoo.SIZES, help="networks (1000 ... 1000000)"
    )
    command.add_argument(
        "--keep",
        action="store_true",
        help="keep what the results file has of other sizes: for a run that was interrupted",
    )
    command.add_argument(
        "--families", action="store_true", help="measure what the made-up networks are like instead"
    )
    command = add("all", "ops, pipeline and, with a device, gpu", _measure_all, measured, resnets)
    command.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the JSON files")
    add_minitaskonomy(add)
    add_transfer(add, shared)
    command = add("compare", "two result files side by side", _compare, shared)
    command.add_argument("a", type=Path, metavar="A.json")
    command.add_argument("b", type=Path, metavar="B.json")
    command = add("plot", "draw the results of ops, gpu or zoo as PNG files", _plot, shared)
    command.add_argument("file", type=Path, metavar="RESULTS.json")
    command.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to; beside the results by default"
    )
    return parser


def _count(text: str) -> int:
    return _at_least(1, text)


def _several(text: str) -> int:
    return _at_least(2, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least {least}")
    return value


def _document(benchmark: str, given: argparse.Namespace) -> dict[str, Any]:
    settings = Settings(given.quick, given.threads, given.rounds)
    say: Say = (lambda _line: None) if given.quiet else _say
    pyattrx.set_progress(False)  # bars would be timed as well
    try:
        if benchmark == "pipeline":
            return pipeline.run(settings, say, networks=given.networks, probes=given.probes)
        return gpu.run(settings, say) if benchmark == "gpu" else ops.run(settings, say)
    finally:
        pyattrx.set_progress(None)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measure(given: argparse.Namespace) -> None:
    document = _document(given.benchmark, given)
    path = write_results(document, given.out)
    if given.json:
        _print_json(document)
        return
    tables.show_results(document)
    print(f"wrote {path}")


def _measure_zoo(given: argparse.Namespace) -> None:
    settings = Settings(given.quick, given.threads, given.rounds)
    say: Say = (lambda _line: None) if given.quiet else _say
    if given.families:
        _print_json(zoo.families(say))
        return
    before = results.load(given.out or results_path("zoo")) if given.keep else None
    document = zoo.run(settings, say, tuple(given.sizes), before)
    path = write_results(document, given.out)
    if given.json:
        _print_json(document)
        return
    tables.show_zoos(document)
    print(f"wrote {path}")


def _measure_all(given: argparse.Namespace) -> None:
    benchmarks = ["ops", "pipeline"]
    if torch.cuda.is_available() and native.backends()["cuda"] == "native":
        benchmarks.append("gpu")
    documents, files = {}, {}
    for benchmark in benchmarks:
        documents[benchmark] = _document(benchmark, given)
        path = None if given.out is None else given.out / f"{benchmark}.json"
        files[benchmark] = str(write_results(documents[benchmark], path))
        if not given.json:
            tables.show_results(documents[benchmark])
    if given.json:
        _print_json({**documents, "files": files})
        return
    for path in files.values():
        print(f"wrote {path}")


def _compare(given: argparse.Namespace) -> None:
    found = results.compare(given.a, given.b)
    if given.json:
        _print_json(found)
    else:
        tables.show_comparison(found)


def _plot(given: argparse.Namespace) -> None:
    files = plot.draw(given.file, given.out or given.file.parent)
    if given.json:
        _print_json({"files": [str(path) for path in files]})
        return
    for path in files:
        print(f"wrote {path}")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))
