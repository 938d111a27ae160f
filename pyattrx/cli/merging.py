"""``pyattrx zoo merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyattrx._help import examples
from pyattrx.cli import options
from pyattrx.cli.places import check_there
from pyattrx.cli.zoos import Wait, ZooPath, open_zoo, tell
from pyattrx.zoo import Report

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the command to those of zoos."""
    app.command(
        "merge",
        **examples(
            "pyattrx zoo merge zoo other-zoo",
            "pyattrx zoo merge zoo shard-1 shard-2 shard-3 --wait --json",
        ),
    )(merge_command)


def merge_command(
    zoo: ZooPath,
    others: Annotated[
        list[Path], typer.Argument(metavar="OTHER...", help="Folders of other zoos.")
    ],
    wait: Wait = False,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Add all networks of other zoos with the same probes and methods."""
    options.be_quiet(quiet)
    report = Report()
    for other in others:  # all are there, before one is merged
        check_there("OTHER", other, "folder of a zoo")
    with open_zoo(zoo, wait=wait, trust=trust) as opened:
        for other in others:
            with open_zoo(other, trust=trust) as theirs:
                found = opened.merge(theirs)
            report.added += found.added
            report.skipped += found.skipped
            report.failed |= {
                _told_apart(name, report, other): why for name, why in found.failed.items()
            }
        total = len(opened)
    tell(report, total, as_json)


def _told_apart(name: str, report: Report, zoo: Path) -> str:
    """Name a network that failed; where that of another zoo did, too, with its zoo."""
    return f"{name} of {zoo}" if name in report.failed else name
