"""Scratch files: where what does not fit in memory waits, and is gone whatever happens."""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyattrx._files import read_exactly, write_all
from pyattrx.errors import InvalidTypeError, InvalidValueError, ScratchError

__all__ = ["Scratch", "ScratchFile", "ScratchFolder"]


@dataclass(frozen=True)
class Scratch:
    """Where scratch files are, and how much waits in memory before there is one.

    Whatever takes `scratch=` takes the path of a folder, or this.

    Parameters
    ----------
    folder : path, optional
        An existing folder; the system's temporary folder if left out.
    in_memory : int, optional
        Bytes that stay in host memory; what each use of scratch files says if left out.
    """

    folder: str | os.PathLike[str] | None = None
    in_memory: int | None = None

    @classmethod
    def of(cls, given: Any) -> Scratch:
        """Check what was given as `scratch`.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            It is no path, or there is no such folder.
        """
        if isinstance(given, Scratch):
            return given
        if given is not None and not isinstance(given, (str, os.PathLike)):
            raise InvalidTypeError("scratch", given, "the path of a folder")
        if given is not None and not Path(given).is_dir():
            raise InvalidValueError("scratch", str(given), "an existing folder")
        return cls(given)

    @property
    def place(self) -> str:
        """Path of the folder."""
        return tempfile.gettempdir() if self.folder is None else os.fspath(self.folder)

    def room(self, usual: int) -> int:
        """How many bytes stay in memory, where `usual` do."""
        return usual if self.in_memory is None else self.in_memory


ScratchFolder = str | os.PathLike[str] | Scratch | None


class ScratchFile:
    """A file without a name: its space is given back whatever happens to this process.

    It is closed with its last user. Reads and writes are at given positions, so that threads and
    forked processes may read at the same time.

    Parameters
    ----------
    scratch : Scratch
    what : str
        What waits in it, for errors.

    Raises
    ------
    ScratchError
        It cannot be made; `write` raises it, too, where the disk is full, and `read` where the file
        ends early.
    """

    def __init__(self, scratch: Scratch, what: str) -> None:
        self._scratch, self._what = scratch, what
        try:
            file = tempfile.TemporaryFile(  # noqa: SIM115
                prefix="pyattrx-", dir=scratch.folder, buffering=0
            )
        except OSError as error:
            raise self._full(error) from error
        self._file = file.fileno()
        self.close = weakref.finalize(self, file.close)

    def write(self, data: memoryview, at: int) -> None:
        """Write bytes at a place."""
        try:
            write_all(self._file, data, at)
        except OSError as error:
            raise self._full(error) from error

    def read(self, into: memoryview, at: int) -> None:
        """Fill memory from a place."""
        if not read_exactly(self._file, into.cast("B"), at):
            raise ScratchError(f"the scratch file of {self._what} ended early")

    def array(self, like: np.ndarray) -> np.ndarray:
        """Return a copy of an array whose memory is this file's, which it outlives."""
        # Written first: a full disk is an error here, and would end the process later.
        self.write(np.ascontiguousarray(like).data.cast("B"), 0)
        return self._mapped(like.shape, like.dtype)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Return an array of any values whose memory is this file's, which it outlives."""
        try:
            os.posix_fallocate(self._file, 0, max(1, math.prod(shape) * dtype.itemsize))
        except OSError as error:
            raise self._full(error) from error
        return self._mapped(shape, dtype)

    def _mapped(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        try:
            with os.fdopen(os.dup(self._file), "r+b") as file:
                return np.memmap(file, dtype, "r+", shape=shape)
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error: OSError) -> ScratchError:
        return ScratchError(
            f"cannot write the scratch file of {self._what} in {self._scratch.place}: "
            f"{error.strerror}; another folder can be chosen with scratch="
        )
