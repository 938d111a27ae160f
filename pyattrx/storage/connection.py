"""The connection to a catalog: shared by threads, made anew after a fork, and honest when reading.

A catalog is an SQLite file with a write-ahead log, and SQLite wants to write to its folder also
where one only reads. Who may not write there reads the file as it lies or, where a log is in use, a
copy of both; whether they have changed since is looked at with every statement.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pyattrx.errors import ZooDamagedError, ZooError

__all__ = ["Connection"]

_BUSY_S = 30.0
_ATTEMPTS = 20

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Connection:
    """A connection to an SQLite file with a write-ahead log.

    Parameters
    ----------
    path : Path
    check : callable
        Called with every new connection; raises where the file is something else.

    Attributes
    ----------
    writable : bool
        Whether one may write to the file and its folder.

    Raises
    ------
    ZooError
        It cannot be opened.
    ZooDamagedError
        It is no SQLite file, or damaged.
    """

    def __init__(self, path: Path, check: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._check = check
        self._lock = threading.RLock()
        self._closed = False
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self.writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        with self._translated():
            self._open()

    def close(self) -> None:
        """Close the file; nothing can be asked any more."""
        with self._lock, self._translated():
            self._closed = True
            self._connection.close()
            self._drop_copy()

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Ask for all rows of one statement."""
        with self._lock, self._translated():
            if self._closed:
                raise ZooError(f"{self._path.parent}: the zoo is closed")
            if self._pid != os.getpid() or self._changed():
                self._open()  # a connection must not be carried into a child
            for _ in range(_ATTEMPTS):
                try:
                    rows = self._connection.execute(statement, values).fetchall()
                except sqlite3.DatabaseError:  # read while it was written, perhaps
                    if not self._changed():
                        raise
                else:
                    if not self._changed():
                        return rows
                self._open()
            raise ZooError(
                f"{self._path.parent}: it changes faster than it can be read without the right "
                "to write to its folder"
            )

    def state(self) -> tuple[int, int, int]:
        """What is another one after every change, by whomever."""
        with self._lock:
            (theirs,) = self.query("PRAGMA data_version")[0]
            return self._opened, int(theirs), self._connection.total_changes

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all that is written inside, durably, or nothing."""
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def write(self, statement: str, values: Sequence[Any] = ()) -> int | None:
        """Change something, within a transaction; return the number of a row that was inserted."""
        return self._connection.execute(statement, values).lastrowid

    def write_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Change something for every row of values, within a transaction."""
        self._connection.executemany(statement, rows)

    # How the file is opened

    _opened = 0

    def _open(self) -> None:
        """Connect, anew if need be."""
        self._opened += 1
        self._pid = os.getpid()
        self._seen: _Stamp | None = None  # of what cannot be seen to change otherwise
        try:
            there = self._path.is_file()
        except OSError as error:
            raise ZooError(f"{self._path.parent}: {error.strerror}") from error
        if not there:
            raise ZooError(f"{self._path.parent}: there is no zoo here")
        self._connection = self._connected()
        self._check(self._connection)

    def _connected(self) -> sqlite3.Connection:
        path, log = self._files
        if self.writable:
            return _connect(path, "mode=rw")
        self._seen = self._stamp()
        if self._seen[1] is None or self._seen[1][1] == 0:
            return _connect(path, "mode=ro&immutable=1")
        try:
            live = _connect(path, "mode=ro")
            live.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            pass
        else:
            self._seen = None
            return live
        self._drop_copy()
        self._copy = tempfile.TemporaryDirectory(prefix="pyattrx-catalog-")
        weakref.finalize(self, self._copy.cleanup)
        copied = Path(self._copy.name, path.name)
        for _ in range(_ATTEMPTS):
            self._seen = self._stamp()
            shutil.copyfile(path, copied)
            if log.exists():
                shutil.copyfile(log, Path(self._copy.name, log.name))
            if self._seen == self._stamp():
                break
        return _connect(copied, "mode=rw")

    @property
    def _files(self) -> tuple[Path, Path]:
        return self._path, self._path.with_name(self._path.name + "-wal")

    def _changed(self) -> bool:
        return self._seen is not None and self._seen != self._stamp()

    def _stamp(self) -> _Stamp:
        found: list[tuple[int, int, int] | None] = []
        for path in self._files:
            try:
                facts = path.stat()
            except FileNotFoundError:
                found.append(None)
            else:
                found.append((facts.st_ino, facts.st_size, facts.st_mtime_ns))
        return tuple(found)

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ZooError(f"{self._path.parent}: {error}") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ZooDamagedError(f"{self._path}: damaged ({error})") from error


def _connect(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path.resolve()))}?{how}",  # names need not be text
        uri=True,
        isolation_level=None,
        timeout=_BUSY_S,
        check_same_thread=False,
    )
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")
    return connection
