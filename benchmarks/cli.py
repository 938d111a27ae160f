"""The commands of ``pyattrx bench`` and ``python -m benchmarks``, which are the same."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import pyattrx
from pyattrx import ops as native

from . import gpu, ops, options, pipeline, plot, results, scores, tables, workers, zoo
from .measure import Say, Settings
from .results import results_path, write_results

__all__ = ["app"]

Measure = Callable[[Settings, Say], dict[str, Any]]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add(name: str, purpose: str, command: Callable[..., None], *examples: str) -> None:
    """Add a command: its options are the parameters of the function, as Typer reads them.

    Examples are what follows ``pyattrx bench``.
    """
    shown = "\n".join(f"pyattrx bench {example}" for example in examples)
    app.command(name, help=purpose, cls=options.Several, epilog=shown)(command)


def add_measured(name: str, purpose: str, measure: Measure) -> None:
    """Add a command that measures, prints a table and writes a results file of its name."""

    def command(
        quick: options.Quick = False,
        threads: options.Threads = 1,
        rounds: options.Rounds = None,
        out: options.FileOut = None,
        quiet: options.Quiet = False,
        as_json: options.Json = False,
    ) -> None:
        document = _document(measure, Settings(quick, threads, rounds), quiet)
        _write(document, out, as_json, tables.show_results)

    add(name, purpose, command, name, f"{name} --quick --out {name}.json")


def _document(measure: Measure, settings: Settings, quiet: bool) -> dict[str, Any]:
    pyattrx.set_progress(False)  # bars would be timed as well
    try:
        return measure(settings, _sayer(quiet))
    finally:
        pyattrx.set_progress(None)


def _sayer(quiet: bool) -> Say:
    return (lambda _line: None) if quiet else _say


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(
    document: dict[str, Any],
    out: Path | None,
    as_json: bool,
    show: Callable[[dict[str, Any]], None],
) -> None:
    path = write_results(document, out)
    if as_json:
        _print_json(document)
        return
    show(document)
    print(f"wrote {path}")


def _pipeline(
    networks: options.Networks = 2,
    probes: options.Probes = 64,
    quick: options.Quick = False,
    threads: options.Threads = 1,
    rounds: options.Rounds = None,
    out: options.FileOut = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    measure = functools.partial(pipeline.run, networks=networks, probes=probes)
    document = _document(measure, Settings(quick, threads, rounds), quiet)
    _write(document, out, as_json, tables.show_results)


def _gpu(
    part: Annotated[
        str | None, typer.Option(help="Only the whole run (pass), or only the ops.")
    ] = None,
    quick: options.Quick = False,
    threads: options.Threads = 1,
    rounds: options.Rounds = None,
    out: options.FileOut = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    measure = functools.partial(gpu.run, parts=[part] if part else gpu.PARTS)
    document = _document(measure, Settings(quick, threads, rounds), quiet)
    _write(document, out, as_json, tables.show_results)


def _zoo(
    sizes: Annotated[
        list[int] | None, typer.Option(min=1, help="Networks (1000 10000 100000 1000000).")
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep what the results file has of other sizes: for a run that was interrupted.",
        ),
    ] = False,
    families: Annotated[
        bool,
        typer.Option("--families", help="Measure what the made-up networks are like instead."),
    ] = False,
    quick: options.Quick = False,
    threads: options.Threads = 1,
    rounds: options.Rounds = None,
    out: options.FileOut = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    say = _sayer(quiet)
    if families:
        _print_json(zoo.families(say))
        return
    before = results.load(out or results_path("zoo")) if keep else None
    settings = Settings(quick, threads, rounds)
    document = zoo.run(settings, say, tuple(sizes or zoo.SIZES), before)
    _write(document, out, as_json, tables.show_zoos)


def _all(
    networks: options.Networks = 2,
    probes: options.Probes = 64,
    quick: options.Quick = False,
    threads: options.Threads = 1,
    rounds: options.Rounds = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the JSON files.")
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    settings = Settings(quick, threads, rounds)
    todo: dict[str, Measure] = {
        "ops": ops.run,
        "pipeline": functools.partial(pipeline.run, networks=networks, probes=probes),
    }
    if torch.cuda.is_available() and native.backends()["cuda"] == "native":
        todo["gpu"] = gpu.run
    documents, files = {}, {}
    for benchmark, measure in todo.items():
        documents[benchmark] = _document(measure, settings, quiet)
        file = None if out is None else out / f"{benchmark}.json"
        files[benchmark] = str(write_results(documents[benchmark], file))
        if not as_json:
            tables.show_results(documents[benchmark])
    if as_json:
        _print_json({**documents, "files": files})
        return
    for path in files.values():
        print(f"wrote {path}")


def _compare(
    a: Annotated[Path, typer.Argument(metavar="A.json")],
    b: Annotated[Path, typer.Argument(metavar="B.json")],
    as_json: options.Json = False,
) -> None:
    found = results.compare(a, b)
    if as_json:
        _print_json(found)
    else:
        tables.show_comparison(found)


def _plot(
    file: Annotated[Path, typer.Argument(metavar="RESULTS.json")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to; beside the results if left out."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    files = plot.draw(file, out or file.parent)
    if as_json:
        _print_json({"files": [str(path) for path in files]})
        return
    for path in files:
        print(f"wrote {path}")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


@app.callback()
def _about() -> None:
    """Measure the kernels; every result is checked."""


add_measured("ops", "The ops on the CPU against PyTorch and NumPy.", ops.run)
add(
    "pipeline",
    "affinity() against a plain loop.",
    _pipeline,
    "pipeline",
    "pipeline --networks 4 --json",
)
add(
    "gpu",
    "The ops on a GPU against PyTorch, and the whole run.",
    _gpu,
    "gpu",
    "gpu --part pass --out pass.json",
)
add_measured("scores", "Every score of features against labels.", scores.run)
add_measured("workers", "Networks by this process, one worker and two.", workers.run)
add("zoo", "Zoos of a thousand to a million.", _zoo, "zoo --sizes 1000 10000", "zoo --families")
add("all", "ops, pipeline and, with a device, gpu.", _all, "all", "all --quick --out results")
add(
    "compare",
    "Two result files side by side.",
    _compare,
    "compare a.json b.json",
    "compare a.json b.json --json",
)
add(
    "plot",
    "Draw the results of ops, gpu or zoo as PNG files.",
    _plot,
    "plot ops.json",
    "plot ops.json --out pictures",
)
