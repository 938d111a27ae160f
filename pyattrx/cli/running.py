"""A command line run: what goes wrong as a message, a document if one is wanted, an exit code."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import typer
from typer.core import TyperGroup

from pyattrx.cli.streams import Unread, complain, is_unread, put_error, streams
from pyattrx.errors import (
    CacheWarning,
    FitWarning,
    PyattrxError,
    SkippedWarning,
    TaskWarning,
    UntrainedWarning,
)

__all__ = ["FAILED", "INTERRUPTED", "UNREAD", "WRONG_ARGUMENTS", "Commands", "run"]

FAILED, WRONG_ARGUMENTS, INTERRUPTED = 1, 2, 130
_SAID = (CacheWarning, FitWarning, SkippedWarning, TaskWarning, UntrainedWarning)
UNREAD = 141  # what a shell gives for SIGPIPE


class Commands(TyperGroup):
    """Turns what goes wrong in a command into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _report("interrupted", "Interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except SystemExit as stop:  # not ours, whose is typer.Exit
            if isinstance(stop.__context__, BrokenPipeError):  # of rich, which ends the program
                raise typer.Exit(UNREAD) from None
            _report(f"the code of a network ended the program: {stop!r}", "SystemExit")
            raise typer.Exit(FAILED) from None
        except (PyattrxError, OSError) as error:
            if isinstance(error, OSError) and is_unread(error):
                raise typer.Exit(UNREAD) from None
            _report(str(error), type(error).__name__)
            wrong = isinstance(error, (ValueError, TypeError))
            raise typer.Exit(WRONG_ARGUMENTS if wrong else FAILED) from None


def run(app: typer.Typer, arguments: Sequence[str], *, ends: bool, program: str = "pyattrx") -> int:
    """Run a command line and return its exit code.

    Parameters
    ----------
    app : Typer
        Its class is `Commands`.
    arguments : sequence of str
    ends : bool
        The process ends afterwards.
    program : str
        What help and errors call it.
    """
    code = FAILED
    with suppress(OSError):  # the folder may be gone
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # methods of one's own are found as networks are
    try:
        with streams(only_documents=_wants_documents(arguments), ends=ends), _own_warnings():
            code = _run(app, arguments, program)
    except Unread:
        return UNREAD
    except OSError as error:
        complain(f"pyattrx: standard output: {error}")
        return code or FAILED
    return code


def _run(app: typer.Typer, arguments: Sequence[str], program: str) -> int:
    try:
        found = app(args=list(arguments), prog_name=program, standalone_mode=False)
    except SystemExit:  # Typer's, when help has no reader; commands end with typer.Exit
        raise Unread from None
    except Exception as raised:
        error: Any = raised
        if hasattr(error, "show") and hasattr(error, "format_message"):  # Click's, or Typer's copy
            error.show()
            put_error(_document(error.format_message(), type(error).__name__))
            return int(error.exit_code)
        if isinstance(error, typer.Abort):
            _report("interrupted", "Interrupted")
            return FAILED
        put_error(_document(str(error), type(error).__name__))
        raise
    return found if isinstance(found, int) else 0


@contextmanager
def _own_warnings() -> Iterator[None]:
    """Say our warnings as messages: the line of code that they come from tells a user nothing."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def shown(message: Warning | str, category: type[Warning], *args: Any, **kw: Any) -> None:
            if issubclass(category, _SAID):
                complain(f"pyattrx: warning: {message}")
            else:
                show(message, category, *args, **kw)

        warnings.showwarning = shown
        yield


def _wants_documents(arguments: Sequence[str]) -> bool:
    given = list(arguments)
    if "--" in given:
        given = given[: given.index("--")]
    return "--json" in given and not {"--help", "-h", "--version"} & set(given)


def _report(message: str, kind: str) -> None:
    complain(f"pyattrx: {message}")
    put_error(_document(message, kind))


def _document(message: str, kind: str) -> str:
    return json.dumps({"error": {"type": kind, "message": message}})
