"""What commands of zoos have in common: the folder, the lock, and what became of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyattrx.cli.output import console, print_json
from pyattrx.cli.places import check_there
from pyattrx.cli.running import FAILED
from pyattrx.zoo import Report, Zoo

__all__ = ["Tags", "Wait", "ZooPath", "open_zoo", "tell"]

ZooPath = Annotated[Path, typer.Argument(metavar="ZOO", help="Folder of the zoo.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait while another process is writing to the zoo.")
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", "-t", help="Tag; may be given several times.")
]


def open_zoo(zoo: Path, *, wait: bool = False, trust: bool = False) -> Zoo:
    """Open the zoo of a command."""
    check_there("ZOO", zoo, "folder of a zoo")
    return Zoo.open(zoo, wait=wait, trust=trust)


def tell(report: Report, total: int, as_json: bool, **facts: int) -> None:
    """Print what became of networks; the exit code says whether any failed."""
    if as_json:
        print_json({**report.to_dict(), "networks": total, **facts})
    else:
        out = console()
        for name in report.added:
            out.print(f"added {name}")
        for name in report.skipped:
            out.print(f"there already: {name}")
        for name, what in report.failed.items():
            out.print(f"failed: {name}: {what.replace('replace=True', '--replace')}")
        out.print(f"{total} networks in the zoo")
    if report.failed:
        raise typer.Exit(FAILED)
