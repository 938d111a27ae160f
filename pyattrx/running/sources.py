"""Networks as a caller names them: encoders, specifications, and functions that return one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from pyattrx.encoders import Encoder, load_many, refused
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError

__all__ = ["Source", "check_sources", "encoder_of", "encoders_of"]

Source = Encoder | str | Callable[[], Encoder]


def check_sources(encoders: Iterable[Source]) -> list[Source] | Iterator[Source]:
    """Check a list of networks as far as that goes without loading any."""
    if isinstance(encoders, torch.nn.Module):  # some are iterable
        raise refused("encoders", encoders, "a list of encoders")
    if isinstance(encoders, (Encoder, str)) or not isinstance(encoders, Iterable):
        raise InvalidTypeError("encoders", encoders, "a list of encoders or specifications")
    if not isinstance(encoders, (list, tuple)):
        return iter(encoders)
    sources = list(encoders)
    if not sources:
        raise InvalidValueError("encoders", sources, "at least one network")
    seen: set[str] = set()
    for index, source in enumerate(sources):
        _check_source(index, source)
        name = source.name if isinstance(source, Encoder) else None
        if name is not None and name in seen:
            raise InvalidValueError(
                f"encoders[{index}].name", name, "networks with different names"
            )
        if name is not None:
            seen.add(name)
    return sources


def _check_source(index: int, source: Any) -> None:
    if isinstance(source, torch.nn.Module):
        raise refused(f"encoders[{index}]", source)
    of_modules = isinstance(source, type) and issubclass(source, torch.nn.Module)
    if of_modules or not (isinstance(source, (Encoder, str)) or callable(source)):
        raise InvalidTypeError(
            f"encoders[{index}]", source, "an Encoder, a specification or a function returning one"
        )


def encoders_of(sources: Iterable[Source]) -> Iterator[Encoder]:
    """Load networks one after another."""
    for index, source in enumerate(sources):
        _check_source(index, source)
        if isinstance(source, Encoder):
            yield source
        elif isinstance(source, str):
            yield from load_many(source)
        else:
            yield encoder_of(source, index)


def encoder_of(source: Encoder | Callable[[], Encoder], index: int) -> Encoder:
    """Load the network of a source that stands for one; `index` is its place among all."""
    _check_source(index, source)
    if isinstance(source, Encoder):
        return source
    made = source()
    if not isinstance(made, Encoder):
        raise EncoderError(
            f"encoders[{index}] returned a {type(made).__name__}: expected an Encoder, as of "
            "pyattrx.Encoder(module, name=...)"
        )
    return made
