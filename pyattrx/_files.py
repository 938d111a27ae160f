"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_write", "read_exactly", "sync_folder", "write_all"]

_SHOWN = 40  # characters of a name, of up to four bytes each


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path`, durably, when the block ends well."""
    path = Path(path)
    # A part of the name, as it may be as long as names can be.
    start = f".{path.name[:_SHOWN]}."
    file, temporary = tempfile.mkstemp(prefix=start, suffix=".tmp", dir=path.parent)
    try:
        os.fchmod(file, 0o666 & ~_umask())  # as open() would
        with os.fdopen(file, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_all(file: int, data: memoryview | bytes, at: int) -> None:
    """Write bytes at a place."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


def read_exactly(file: int, into: memoryview, at: int) -> bool:
    """Fill memory from a place; False where the file ends before."""
    while into:
        count = os.preadv(file, [into], at)
        if count == 0:
            return False
        into, at = into[count:], at + count
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
