"""Standard output and error as a command finds them: closed, broken, not UTF-8, shared with others.

Networks are strangers' code, and print: in Python, in C, from processes of their own. While one
JSON document is asked for, all of that goes to standard error, and the document alone to the
standard output that there was.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import io
import os
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

__all__ = ["Unread", "complain", "documents", "is_unread", "put_document", "put_error", "streams"]

_PLAIN = {"±": "+-", "✓": "*", "…": "...", "–": "-", "—": "-", "×": "x"}
_HANDLER = "pyattrx.plain"
_RAISING = ("strict", "surrogateescape", "surrogatepass")
_OUT, _ERR = 1, 2


class Unread(Exception):
    """Nobody reads standard output any more."""


@dataclass
class _Documents:
    """The standard output proper, while all other prints go elsewhere."""

    stream: TextIO
    written: bool = False


_wanted: list[_Documents] = []


def documents() -> TextIO:
    """Where documents go."""
    return _wanted[-1].stream if _wanted else sys.stdout


def put_document(text: str) -> None:
    """Print a document."""
    print(text, file=documents())
    if _wanted:
        _wanted[-1].written = True


def put_error(text: str) -> None:
    """Print a document that says what went wrong, if documents are wanted and none was printed."""
    if _wanted and not _wanted[-1].written:
        put_document(text)


def complain(text: str) -> None:
    """Print a line to standard error, if there is anybody to read it."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def is_unread(error: OSError) -> bool:
    """Whether what failed was standard output, as its reader has gone (``| head -1``)."""
    return isinstance(error, BrokenPipeError) and (
        _is_broken(documents()) or _is_broken(sys.stdout)
    )


def _is_broken(stream: TextIO) -> bool:
    try:
        polled = select.poll()
        polled.register(stream.fileno(), select.POLLOUT)
        return any(found & select.POLLERR for _, found in polled.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def streams(*, only_documents: bool, ends: bool) -> Iterator[None]:
    """Make the standard streams usable for a command, and give them back as they were.

    Parameters
    ----------
    only_documents : bool
        Let nothing but `documents` reach standard output.
    ends : bool
        The process ends afterwards: what is printed while it does is no document either.

    Raises
    ------
    Unread, OSError
        The rest of the output cannot be written; it is thrown away.
    """
    with contextlib.ExitStack() as undo:
        out, error = sys.stdout, sys.stderr
        undo.callback(_give_back, out, error)
        sys.stdout, sys.stderr = _usable(out, _OUT, undo), _usable(error, _ERR, undo)
        if only_documents:
            _wanted.append(_Documents(_apart(sys.stdout, ends, undo)))
            undo.callback(_wanted.pop)
        true = documents()
        try:
            yield
        finally:
            _flush(true)


def _give_back(out: TextIO, error: TextIO) -> None:
    sys.stdout, sys.stderr = out, error


def _usable(stream: TextIO | None, number: int, undo: contextlib.ExitStack) -> TextIO:
    """A stream that is open, and that no character stops."""
    if stream is None or stream.closed:
        try:
            os.fstat(number)
        except OSError:  # or the next file that is opened would be the standard stream
            null = os.open(os.devnull, os.O_WRONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        return undo.enter_context(open(os.devnull, "w", encoding="utf-8"))
    if isinstance(stream, io.TextIOWrapper) and stream.errors in _RAISING:
        undo.callback(_reconfigure, stream, errors=stream.errors)
        stream.reconfigure(errors=_HANDLER)
    return stream


def _reconfigure(stream: io.TextIOWrapper, **options: Any) -> None:
    with contextlib.suppress(OSError, ValueError):  # it cannot be written, or is closed
        stream.reconfigure(**options)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    shown = [_PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in found]
    return "".join(shown), error.end


codecs.register_error(_HANDLER, _plainly)


def _apart(out: TextIO, ends: bool, undo: contextlib.ExitStack) -> TextIO:
    """Take standard output away from everybody else, down to its file; return a stream to it."""
    if not (isinstance(out, io.TextIOWrapper) and _file_of(out) == _OUT):
        sys.stdout = sys.stderr  # somebody in this process collects it
        return out
    undo.callback(_reconfigure, out, line_buffering=out.line_buffering)
    out.reconfigure(line_buffering=True)  # to come in order with what standard error gets
    kept = os.dup(_OUT)
    os.dup2(_ERR, _OUT)
    if not ends:
        undo.callback(_put_back, kept, out)
    return open(kept, "w", encoding=out.encoding, errors=_HANDLER, closefd=False)


def _file_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _put_back(kept: int, out: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        out.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)  # what C code has printed, and not yet written
    os.dup2(kept, _OUT)
    os.close(kept)


def _flush(stream: TextIO) -> None:
    """Write what is left; where that cannot be, let it go, or Python complains when it ends."""
    try:
        stream.flush()
    except ValueError:  # somebody has closed it
        pass
    except OSError as error:
        unread = isinstance(error, BrokenPipeError)
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
            stream.flush()
        if unread:
            raise Unread from None
        raise
