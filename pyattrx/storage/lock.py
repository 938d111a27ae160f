"""One writer at a time, across processes and threads."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyattrx.errors import ZooError, ZooLockedError

__all__ = ["WriterLock"]

_POLL_S = 0.05


class WriterLock:
    """The right to write to a zoo; the system takes it back when a process dies.

    What is locked is the folder. So nobody can be in by a file that somebody else has removed.

    Parameters
    ----------
    path : Path
        A file in the folder that says who holds the lock, for messages only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self, wait: float) -> Iterator[None]:
        """Hold the lock; may be nested within one thread.

        Parameters
        ----------
        wait : float
            Seconds to wait for other writers, at most; infinite is allowed.

        Raises
        ------
        ZooLockedError
            Others hold it for longer.
        """
        until = time.monotonic() + wait
        timeout = -1.0 if wait > threading.TIMEOUT_MAX else wait
        if not self._threads.acquire(timeout=timeout):
            raise ZooLockedError(f"{self._path.parent}: another thread is writing to this zoo")
        try:
            if self._depth:
                self._depth += 1
                yield
                return
            file = self._acquire(until)
            self._depth = 1
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # a child may have the file, too
                os.close(file)
        finally:
            self._depth = max(self._depth - 1, 0)
            self._threads.release()

    def _acquire(self, until: float) -> int:
        try:
            file = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ZooError(f"{self._path.parent}: cannot be written: {error.strerror}") from error
        try:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        raise ZooLockedError(
                            f"{self._path.parent}: another process is writing to this zoo "
                            f"({self._holder()}); wait=True waits for it"
                        ) from None
                    time.sleep(_POLL_S)
            note = {"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())}
            self._path.write_text(json.dumps(note))
        except OSError as error:
            os.close(file)
            raise ZooError(f"{self._path.parent}: cannot be locked: {error.strerror}") from error
        except BaseException:
            os.close(file)
            raise
        return file

    def _holder(self) -> str:
        try:
            note = json.loads(self._path.read_text())
            return f"process {note['pid']} on {note['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "unknown process"
