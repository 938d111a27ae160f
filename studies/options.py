"""Options that several studies have, and what they mean."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from typing import Any

import typer

__all__ = ["among", "say_at"]


def among(names: Collection[str]) -> Callable[[Any], Any]:
    """Return a check that a value, or each of several, is one of the names."""

    def check(given: Any) -> Any:
        for value in [given] if isinstance(given, str) else given or ():
            if value not in names:
                raise typer.BadParameter(f"{value!r}: expected one of {', '.join(names)}")
        return given

    return check


def say_at(line: str) -> None:
    """Tell standard error, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
