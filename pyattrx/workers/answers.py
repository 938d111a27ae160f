"""What a worker answers of one network: a result or an error, and what was said meanwhile."""

from __future__ import annotations

import pickle
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyattrx import errors
from pyattrx._level import outside
from pyattrx.errors import EncoderError
from pyattrx.workers.capturing import Captured

__all__ = ["Answer", "Loaded", "Outcome", "Said", "answered"]

# What a network is called, and what runs it.
Loaded = tuple[str, Callable[[], Any]]

# Packages whose exceptions the caller's process knows.
_KNOWN = {"builtins", "pyattrx", "torch", "numpy"}
_OURS = tuple(getattr(errors, name) for name in errors.__all__ if name.endswith("Warning"))


@dataclass(frozen=True)
class Said:
    """A warning."""

    text: str
    category: type[Warning]
    file: str
    line: int


@dataclass(frozen=True)
class Answer:
    """What became of one network; it can be pickled.

    Attributes
    ----------
    name : str or None
        What the network is called; None where it was not loaded.
    value : object
        What running it returned.
    error : Exception or None
        What loading or running it raised.
    trace : str
        Where.
    said : sequence of Said
    out, err : str
        What was printed.
    """

    name: str | None = None
    value: Any = None
    error: Exception | None = None
    trace: str = ""
    said: Sequence[Said] = ()
    out: str = ""
    err: str = ""


class _Trace(Exception):
    """Shows, as the cause of an error, where in a worker it was raised."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f"\n{self._text}"


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes
    ----------
    job : str
        Name of the job.
    answer : Answer
    """

    job: str
    answer: Answer

    @property
    def name(self) -> str:
        """What the network is called, as far as is known."""
        return self.answer.name or self.job

    def get(self) -> Any:
        """Say what was printed and warned of, with the network's name; return or raise.

        Examples
        --------
        >>> from pyattrx.workers.answers import Answer, Outcome
        >>> Outcome("job", Answer("net", 3, out="a line")).get()
        net: a line
        3
        """
        for text, stream in ((self.answer.out, sys.stdout), (self.answer.err, sys.stderr)):
            for line in text.splitlines():
                print(f"{self.name}: {line}", file=stream)
        for one in self.answer.said:
            self._warn(one)
        if self.answer.error is None:
            return self.answer.value
        if self.answer.trace:
            raise self.answer.error from _Trace(self.answer.trace)
        raise self.answer.error

    def _warn(self, said: Said) -> None:
        if issubclass(said.category, _OURS):  # these name the network, and are the caller's
            warnings.warn(said.text, said.category, stacklevel=outside())
            return
        text = f"{self.name}: {said.text}"
        warnings.warn_explicit(text, said.category, said.file, said.line)


def answered(load: Callable[[], Loaded], captured: Captured) -> Answer:
    """Load and run a network in a worker.

    Whatever ends it is an answer, but for what ends the process.

    Examples
    --------
    >>> from pyattrx.workers.answers import answered
    >>> from pyattrx.workers.capturing import Captured
    >>> answered(lambda: ("net", lambda: 1 / 0), Captured.nameless()).error
    ZeroDivisionError('division by zero')
    """
    name: str | None = None
    value: Any = None
    raised: BaseException | None = None
    trace = ""
    with captured.printing(), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")  # what is shown, the caller's process knows
        try:
            name, run = load()
            value = run()
        except (Exception, SystemExit) as error:
            raised, trace = error, traceback.format_exc()
    said = tuple(dict.fromkeys(map(_said, found)))
    failed = None if raised is None else _known(raised)
    return Answer(name, value, failed, trace, said, *captured.printed())


def _said(one: warnings.WarningMessage) -> Said:
    category = next(kind for kind in one.category.__mro__ if _is_known(kind))
    return Said(str(one.message), category, one.filename, one.lineno)


def _is_known(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _KNOWN


def _known(error: BaseException) -> Exception:
    """Return the error, or one that any process can read."""
    if isinstance(error, SystemExit):
        return EncoderError(f"its code ended the program: {error!r}")
    if isinstance(error, Exception) and _is_known(type(error)):
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # whatever it holds
            pass
        else:
            return error
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, error.strerror, error.filename)
    return EncoderError(f"{type(error).__name__}: {error}")
