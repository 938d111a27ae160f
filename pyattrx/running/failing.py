"""Networks that fail while others are compared: raised, or noted and left out."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Literal

from pyattrx._level import outside
from pyattrx.encoders import Encoder, expand, load
from pyattrx.errors import (
    EncoderError,
    InvalidValueError,
    ProbeError,
    PyattrxError,
    ScratchError,
    SkippedWarning,
)
from pyattrx.running.sources import Source, encoder_of

__all__ = ["Failures", "OnError", "all_failed", "one_by_one"]

OnError = Literal["raise", "skip"]

# What a full or broken disk says: the next network would fail as well.
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}
_SHOWN = 5


class Failures:
    """What went wrong with networks, by name.

    Parameters
    ----------
    on_error : {"raise", "skip"}
        Whether a failure is raised, or noted with a warning.

    Attributes
    ----------
    found : dict of str to str

    Raises
    ------
    InvalidValueError
        `on_error` is something else.

    Examples
    --------
    >>> import warnings
    >>> from pyattrx.running.failing import Failures
    >>> failures = Failures("skip")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     with failures.noted("net"):
    ...         raise RuntimeError("no such layer")
    >>> failures.found
    {'net': 'RuntimeError: no such layer'}
    """

    def __init__(self, on_error: OnError) -> None:
        if on_error not in ("raise", "skip"):
            raise InvalidValueError("on_error", on_error, "'raise' or 'skip'")
        self._skip = on_error == "skip"
        self.found: dict[str, str] = {}

    def noted(self, name: str) -> _Noted:
        """Return a context whose exceptions are failures of the network of this name.

        Interruptions, images that cannot be read, and what a full disk raises always leave it: they
        are no fault of the network.
        """
        return _Noted(self, name)

    def check_some_are_left(self, names: list[str]) -> None:
        """Raise an EncoderError if every network failed."""
        if not names and self.found:
            raise all_failed(self.found)

    def _note(self, name: str, error: BaseException) -> bool:
        if not (self._skip and _of_the_network(error)):
            return False
        kind = "" if isinstance(error, PyattrxError) else f"{type(error).__name__}: "
        why = f"{kind}{error}"
        for known in (f"network {name!r} failed: ", f"{name!r} failed: ", f"{name!r}: "):
            why = why.removeprefix(known)  # whoever reads it is told the name
        called, times = name, 1
        while called in self.found:  # names are only told apart once a network is loaded
            times += 1
            called = f"{name} ({times})"
        self.found[called] = why
        warnings.warn(
            f"left out {called!r}, which failed: {why}",
            SkippedWarning,
            stacklevel=outside(),
        )
        return True


class _Noted:
    def __init__(self, failures: Failures, name: str) -> None:
        self._failures, self._name = failures, name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return error is not None and self._failures._note(self._name, error)


def all_failed(found: dict[str, str]) -> EncoderError:
    """Make the error that says that every network failed.

    Parameters
    ----------
    found : dict of str to str
        What went wrong, by the name of the network; at least one.

    Examples
    --------
    >>> from pyattrx.running.failing import all_failed
    >>> print(all_failed({"net": "no such layer"}))
    the only network failed: net: no such layer
    """
    shown = "; ".join(f"{name}: {what}" for name, what in list(found.items())[:_SHOWN])
    more = "" if len(found) <= _SHOWN else f"; and {len(found) - _SHOWN} more"
    count = "the only network" if len(found) == 1 else f"all {len(found)} networks"
    return EncoderError(f"{count} failed: {shown}{more}")


def _of_the_network(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno not in _OF_THE_MACHINE
    return isinstance(error, Exception) and not isinstance(error, (ProbeError, ScratchError))


def one_by_one(sources: Iterable[Source]) -> Iterator[tuple[str, Callable[[], Encoder]]]:
    """Split sources into single networks: what each is called so far, and how it is loaded.

    A specification that stands for several networks fails network by network. One that stands for
    none fails when it is loaded. What loads a network can be pickled wherever the source can.
    """
    for index, source in enumerate(sources):
        if isinstance(source, str):
            try:
                names = expand(source)
            except Exception as error:  # of any kind: hubs are asked
                yield source, partial(_raise, error)
            else:
                for name in names:
                    yield name, partial(load, name)
        else:
            yield _called(source), partial(encoder_of, source, index)


def _raise(error: Exception) -> Encoder:
    raise error


def _called(source: Any) -> str:
    name = getattr(source, "name", None) or getattr(source, "__name__", None)
    return name if isinstance(name, str) else repr(source)
