"""``pyattrx query``."""

from __future__ import annotations

from typing import Annotated

import typer

from pyattrx._help import examples
from pyattrx._near import did_you_mean
from pyattrx.cli import options
from pyattrx.cli.output import console, nearest_table, print_json
from pyattrx.cli.zoos import Tags, ZooPath, open_zoo
from pyattrx.errors import InvalidValueError
from pyattrx.zoo import Matches

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "query",
        **examples(
            "pyattrx query zoo my.py:network -k 3",
            "pyattrx query zoo target.safetensors --confident --tag small",
            "pyattrx query zoo my.py:one my.py:other --json",
        ),
    )(query_command)


def query_command(
    zoo: ZooPath,
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC...", help="Networks' names in the zoo, or their specifications."
        ),
    ],
    k: options.Sources = 5,
    tags: Tags = None,
    method: Annotated[
        str | None, typer.Option(help="One of the zoo's methods; its first if left out.")
    ] = None,
    level: Annotated[float, typer.Option(help="Confidence of intervals and ties.")] = 0.95,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare every network, however many there are.")
    ] = False,
    confident: Annotated[
        bool,
        typer.Option("--confident", help="Stop as soon as the nearest networks are settled."),
    ] = False,
    rerank: Annotated[
        str | None,
        typer.Option(help="The zoo's feature method; a zoo that has one answers in its order."),
    ] = None,
    by_maps: Annotated[
        bool, typer.Option("--by-maps", help="Answer in the order of the maps all the same.")
    ] = False,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    precision: options.Precision = "float32",
    compile: options.Compile = False,
    threads: options.Threads = None,
    scratch: options.Scratch = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the nearest sources for a target, or for several in one go."""
    options.be_quiet(quiet)
    options.set_threads(threads)
    if by_maps and rerank is not None:
        raise InvalidValueError("rerank", rerank, "nothing beside --by-maps")
    with open_zoo(zoo, trust=trust) as opened:
        found = opened.query(
            targets if len(targets) > 1 else targets[0],
            k,
            method=method,
            tags=tags or (),
            level=level,
            exact=exact,
            stop="confident" if confident else None,
            rerank=False if by_maps else rerank,
            batch_size=batch_size,
            device=device,
            precision=precision,
            compile=compile,
            scratch=scratch,
            trust=trust,
        )
        known = list(opened.tags) if tags else []
    several = [found] if isinstance(found, Matches) else found
    if as_json:
        answers = [matches.to_dict() for matches in several]
        print_json(answers[0] if isinstance(found, Matches) else answers)
        return
    out = console()
    if tags and not any(several):
        near = did_you_mean(tags[0], known) or f"; its tags are {', '.join(known) or 'none'}"
        out.print(f"No other network of the zoo has the tags {', '.join(tags)}{near}")
        return
    by = "; ".join(dict.fromkeys(_by(matches) for matches in several))
    rankings = [(matches.target, matches) for matches in several]
    out.print(nearest_table(rankings, f"Nearest sources, {by}", level))
    for matches in several:
        whose = "" if isinstance(found, Matches) else f"{matches.target}: "
        out.print(whose + _how(matches, confident))
    for name in dict.fromkeys(name for matches in several for name in matches.damaged):
        out.print(f"{name}: damaged, and left out")


def _by(matches: Matches) -> str:
    if matches.reranked_by is None:
        return matches.method
    return f"{matches.method}, the nearest {matches.reranked} re-ranked by {matches.reranked_by}"


def _how(matches: Matches, confident: bool) -> str:
    compared = f"{matches.compared} of {matches.searched} networks compared"
    if not matches.complete:
        compared += ", chosen by their sketches"
    seen = f"{matches.n_probes} probes seen"
    if confident and matches.settled is None:
        seen += ": its maps are in the zoo, nothing had to be run"
    elif matches.settled and matches.looks:
        seen += ": settled"
    elif matches.looks:
        seen += ": not settled before all were seen"
    elif confident:
        seen += ": too few groups of probes to look before all were seen"
    return f"{compared}; {seen}"
