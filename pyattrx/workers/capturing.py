"""What a worker prints while it runs a network, in Python or in C, kept in files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

__all__ = ["Captured", "read_printed"]

_MOST_BYTES = 1 << 20  # that are shown of one network
_KINDS = {1: "out", 2: "err"}  # by the number of the stream


class Captured:
    """Two files, for what goes to standard output and to standard error.

    Parameters
    ----------
    files : sequence of int
        Open for reading and appending; they are this object's.
    """

    def __init__(self, files: Sequence[int]) -> None:
        self._files = dict(zip(_KINDS, files, strict=True))

    @classmethod
    def named(cls, folder: str, name: str) -> Captured:
        """Files that `read_printed` finds, also when this process has been killed."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        return cls([os.open(_path(folder, name, kind), flags, 0o600) for kind in _KINDS.values()])

    @classmethod
    def nameless(cls) -> Captured:
        """Files of this process alone."""
        files = []
        for _ in _KINDS:
            with tempfile.TemporaryFile("a+b") as file:
                files.append(os.dup(file.fileno()))
        return cls(files)

    @contextlib.contextmanager
    def printing(self) -> Iterator[None]:
        """Send what is printed to the files, which forget what was there."""
        with contextlib.ExitStack() as undo:
            _flush()
            undo.callback(_put_back, sys.stdout, sys.stderr)
            for number, file in self._files.items():
                os.ftruncate(file, 0)
                kept = os.dup(number)
                undo.callback(os.close, kept)
                undo.callback(os.dup2, kept, number)
                os.dup2(file, number)
            undo.callback(_flush)
            # By lines: what a process has not written when it is killed is lost.
            sys.stdout, sys.stderr = (
                open(number, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
                for number in self._files
            )
            yield

    def printed(self) -> tuple[str, str]:
        """Return what was printed to standard output and error."""
        found = [_read(file) for file in self._files.values()]
        return found[0], found[1]


def read_printed(folder: str, name: str) -> tuple[str, str]:
    """Return what a process has printed, which may have ended since."""
    found = []
    for kind in _KINDS.values():
        with open(_path(folder, name, kind), "rb") as file:
            found.append(_read(file.fileno()))
    return found[0], found[1]


def _path(folder: str, name: str, kind: str) -> Path:
    return Path(folder) / f"{name}.{kind}"


def _read(file: int) -> str:
    size = os.fstat(file).st_size
    most = min(size, _MOST_BYTES)
    return os.pread(file, most, size - most).decode(errors="backslashreplace")


def _put_back(out: TextIO, error: TextIO) -> None:
    sys.stdout, sys.stderr = out, error


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)  # what C code has printed, and not yet written
