"""Networks that a function makes: one of a module, or one of a file."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from pyattrx._near import did_you_mean
from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.installed import same_file
from pyattrx.encoders.own_modules import plain_name
from pyattrx.encoders.repositories import Repository
from pyattrx.errors import EncoderError, InvalidValueError, PyattrxError

__all__ = ["call", "from_factory"]

_KNOWN = (
    "timm",
    "torchvision",
    "transformers",
    "taskonomy",
    "onnx",
)  # what specifications begin with


def from_factory(specification: str) -> Encoder:
    """Load ``package.module:factory`` or ``path/file.py:factory``; see `pyattrx.load`."""
    place, _, name = specification.rpartition(":")
    with _imported(place, specification) as module:
        factory: Any = module
        for part in name.split("."):
            if not hasattr(factory, part):
                near = did_you_mean(part, [n for n in dir(factory) if not n.startswith("_")])
                raise EncoderError(f"{specification!r}: {place} has no {name!r}{near}")
            factory = getattr(factory, part)
        if not callable(factory):
            kind = type(factory).__name__
            raise EncoderError(f"{specification!r} is a {kind}: expected a function")
        made = call(factory, specification)
    if isinstance(made, Encoder):
        return copy.copy(made)  # its specification is about to be set
    if isinstance(made, nn.Module):
        return Encoder(made, name=specification)
    raise EncoderError(
        f"{specification!r} returned a {type(made).__name__}: expected an Encoder or a module"
    )


def call(factory: Callable[[], Any], specification: str) -> Any:
    """Call a factory; what it raises becomes an `EncoderError` that names the specification."""
    with _named(f"{specification!r} failed", PyattrxError):
        return factory()


@contextmanager
def _imported(place: str, specification: str) -> Iterator[ModuleType]:
    if not place.endswith(".py"):
        yield _import(place, specification)
        return
    if not Path(place).is_file():
        raise InvalidValueError("specification", place, "an existing Python file before ':factory'")
    repository = Repository(Path(place))
    # Registries of other packages are the process's: what is in them stays there.
    again = (
        "; each load executes the file anew, and it was loaded before: what registers something "
        "once and for all is loaded as package.module:factory"
    )
    with repository.loaded() as load:
        with _named(f"{place} failed", hint=again if repository.loaded_before else ""):
            module = load()
        yield module


def _import(name: str, specification: str) -> ModuleType:
    # What one can import from the command line: the current folder, too.
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        near = "" if importlib.util.find_spec(name.partition(".")[0]) else _near_package(name)
        with _named(f"{specification!r}: importing {name} failed", hint=near):
            module = importlib.import_module(name)
    finally:
        if added:
            sys.path.remove(here)
    _check_place(name.partition(".")[0], here, specification)
    return module


def _near_package(name: str) -> str:
    return did_you_mean(name.partition(".")[0], _KNOWN)


def _check_place(top: str, here: str, specification: str) -> None:
    """Refuse a module that was imported in another folder than the current one, which has another.

    Not for this package: it runs already, and the networks it brings are its own, also where the
    current folder is a copy of its sources.

    Raises
    ------
    EncoderError
    """
    if top == __name__.partition(".")[0]:
        return
    found = PathFinder.find_spec(top, [here])
    imported = getattr(sys.modules.get(top), "__file__", None)
    if found is None or found.origin is None or imported is None:
        return
    if not same_file(found.origin, imported):
        raise EncoderError(
            f"{specification!r}: {top!r} was imported from {imported} before, and {found.origin} "
            "is another one; write path/file.py:factory, whose imports are its own"
        )


@contextmanager
def _named(what: str, passed: type[Exception] | tuple[()] = (), hint: str = "") -> Iterator[None]:
    """Turn what somebody's code raises into our error."""
    try:
        yield
    except passed:
        raise
    except (Exception, SystemExit) as error:  # a script may end itself
        said = plain_name(f"{type(error).__name__}: {error}")
        raise EncoderError(f"{what}: {said}{hint}") from error
