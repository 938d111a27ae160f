"""Progress with time left, shown only for work that lasts.

A bar appears on standard error after two seconds, whether or not a first step is done by then, and
only where someone can see it, unless `set_progress` says otherwise.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress", "set_progress"]

_PATIENCE_S = 2.0
_state: dict[str, bool | None] = {"enabled": None}


def set_progress(enabled: bool | None) -> None:
    """Show progress always (True), never (False), or where standard error is a terminal (None).

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.set_progress(False)
    >>> pyattrx.set_progress(None)
    """
    _state["enabled"] = enabled


def _visible() -> bool:
    enabled = _state["enabled"]
    return sys.stderr.isatty() if enabled is None else enabled


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that is called with the number of steps just done, of a total if known."""
    if not _visible():
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(description, total=total)
    # Not at a step: the first one may be the longest of all.
    patience = threading.Timer(_PATIENCE_S, bar.start)
    patience.daemon = True
    patience.start()
    try:
        yield lambda steps: bar.advance(task, steps)
    finally:
        patience.cancel()
        patience.join()
        if bar.live.is_started:
            bar.stop()
