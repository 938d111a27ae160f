"""Networks that fail while others are compared: raised, or noted and left out."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Literal

from pyattrx.affinities.describing import Source, encoder_of
from pyattrx.encoders import Encoder, expand, load
from pyattrx.errors import EncoderError, InvalidValue, PyattrxError, SkippedWarning
from pyattrx.tasks._level import outside

__all__ = ["Failures", "OnError", "one_by_one"]

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
    InvalidValue
        `on_error` is something else.

    Examples
    --------
    >>> import warnings
    >>> from pyattrx.affinities.failing import Failures
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
            raise InvalidValue("on_error", on_error, "'raise' or 'skip'")
        self._skip = on_error == "skip"
        self.found: dict[str, str] = {}

    def noted(self, name: str) -> _Noted:
        """Return a context whose exceptions are failures of the network of this name.

        Interruptions, and what a full disk raises, always leave it.
        """
        return _Noted(self, name)

    def check_some_are_left(self, names: list[str]) -> None:
        """Raise an EncoderError if every network failed."""
        if names or not self.found:
            return
        shown = "; ".join(f"{name}: {what}" for name, what in list(self.found.items())[:_SHOWN])
        more = "" if len(self.found) <= _SHOWN else f"; and {len(self.found) - _SHOWN} more"
        count = "the only network" if len(self.found) == 1 else f"all {len(self.found)} networks"
        raise EncoderError(f"{count} failed: {shown}{more}")

    def _note(self, name: str, error: BaseException) -> bool:
        ours = isinstance(error, Exception) and not (
            isinstance(error, OSError) and error.errno in _OF_THE_MACHINE
        )
        if not (self._skip and ours):
            return False
        kind = "" if isinstance(error, PyattrxError) else f"{type(error).__name__}: "
        again = sum(known == name or known.startswith(f"{name} (") for known in self.found)
        name += f" ({again + 1})" if again else ""
        self.found[name] = f"{kind}{error}"
        warnings.warn(
            f"left out {name!r}, which failed: {self.found[name]}",
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


def one_by_one(
    sources: Iterable[Source], failures: Failures
) -> Iterator[tuple[str, Callable[[], Encoder]]]:
    """Split sources into single networks: what each is called so far, and how it is loaded.

    A specification that stands for several networks fails network by network.
    """
    for index, source in enumerate(sources):
        if isinstance(source, str):
            names: list[str] = []
            with failures.noted(source):
                names = expand(source)
            for name in names:
                yield name, partial(load, name)
        else:
            yield _called(source), partial(encoder_of, source, index)


def _called(source: Any) -> str:
    name = getattr(source, "name", None) or getattr(source, "__name__", None)
    return name if isinstance(name, str) else repr(source)
