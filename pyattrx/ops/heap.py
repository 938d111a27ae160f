"""The allocator during a run on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyattrx.ops.native import core

__all__ = ["freed_memory_kept"]

_lock = threading.Lock()
_depth = 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory for the next batch, and give it back at the end.

    Affects the whole process while it lasts; runs in several threads may overlap. Afterwards the
    allocator's thresholds are those that glibc's own reach in a process that frees large blocks
    (settings by ``MALLOC_...`` variables are not restored). Does nothing where the C library is not
    glibc.

    Examples
    --------
    >>> from pyattrx.ops import freed_memory_kept
    >>> with freed_memory_kept():
    ...     batch = [0.0] * 1000
    """
    global _depth  # noqa: PLW0603
    if core is None:
        yield
        return
    with _lock:
        _depth += 1
        core.cpu.keep_freed_memory()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                core.cpu.release_freed_memory()
