"""What a worker prints, in Python or in C, kept in files that outlive it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path
from typing import TextIO

__all__ = ["Captured", "read_printed"]

_MOST_BYTES = 1 << 20  # that are shown of one network
_STREAMS = {"out": 1, "err": 2}


class Captured:
    """Sends standard output and error of this process to files, for as long as it lives.

    Parameters
    ----------
    folder : str
    name : str
        What the files are called.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._folder, self._name = folder, name
        for kind, number in _STREAMS.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            file = os.open(_path(folder, name, kind), flags, 0o600)
            os.dup2(file, number)
            os.close(file)
        # What a process has not written when it is killed is lost.
        sys.stdout, sys.stderr = _by_line(_STREAMS["out"]), _by_line(_STREAMS["err"])

    def begin(self) -> None:
        """Forget what was printed before."""
        _flush()
        for number in _STREAMS.values():
            os.ftruncate(number, 0)

    def end(self) -> tuple[str, str]:
        """Return what was printed to standard output and error since `begin`."""
        _flush()
        return read_printed(self._folder, self._name)


def read_printed(folder: str, name: str) -> tuple[str, str]:
    """Return what a process has printed, which may have ended since."""
    found = [_read(_path(folder, name, kind)) for kind in _STREAMS]
    return found[0], found[1]


def _by_line(number: int) -> TextIO:
    return open(number, "w", buffering=1, errors="backslashreplace", closefd=False)


def _path(folder: str, name: str, kind: str) -> Path:
    return Path(folder) / f"{name}.{kind}"


def _read(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MOST_BYTES))
            return file.read().decode(errors="backslashreplace")
    except FileNotFoundError:
        return ""


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)  # what C code has printed, and not yet written
