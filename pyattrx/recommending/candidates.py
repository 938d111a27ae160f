"""The networks that somebody thinks of starting from, loaded one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from pyattrx.encoders import Encoder, Parts, expand, load
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, PyattrxError

__all__ = ["Candidate", "read_candidates"]


@dataclass(frozen=True)
class Candidate:
    """A network that is loaded when its turn comes.

    Attributes
    ----------
    name : str
        What results call it.
    load : callable
        Returns the Encoder.
    """

    name: str
    load: Callable[[], Encoder]


def read_candidates(given: Any, *, trust: bool = False) -> list[Candidate]:
    """Turn what a user gives into candidates, without loading any.

    Parameters
    ----------
    given : sequence
        Encoders, modules, specifications (with wildcards) and functions that return an Encoder.
    trust : bool
        As for `load`.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Something else, nothing, or two of one name.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.recommending.candidates import read_candidates
    >>> [c.name for c in read_candidates([torch.nn.Identity(), "torch.nn:Identity"])]
    ['identity', 'torch.nn:Identity']
    """
    if isinstance(given, (str, Encoder, nn.Module)):
        given = [given]
    if not isinstance(given, Sequence) and not hasattr(given, "__iter__"):
        raise InvalidTypeError(
            "candidates", given, "a list of encoders, modules or specifications, or a Zoo"
        )
    beside: dict[str, list[str]] = {}
    found = [one for at, item in enumerate(given) for one in _read(item, at, trust, beside)]
    if not found:
        raise InvalidValueError("candidates", [], "at least one network")
    seen: set[str] = set()
    for one in found:
        if one.name in seen:
            raise InvalidValueError(
                "candidates", one.name, "networks with different names; give one another name="
            )
        seen.add(one.name)
    return found


def _read(item: Any, at: int, trust: bool, beside: dict[str, list[str]]) -> Iterator[Candidate]:
    """Candidates of an item; `beside` collects at which layers each network is to be read."""
    if isinstance(item, str):
        for name in expand(item):
            parts = Parts.of(name)
            layers = beside.setdefault(parts.elsewhere(), [])
            layers += [parts.layers["features"]] if "features" in parts.layers else []
            yield Candidate(name, partial(_load, name, trust, layers))
    elif isinstance(item, Encoder):
        yield Candidate(item.name, partial(_itself, item))
    elif isinstance(item, nn.Module):
        encoder = Encoder(item)
        yield Candidate(encoder.name, partial(_itself, encoder))
    elif callable(item):
        label = getattr(item, "__name__", "<lambda>")
        if label == "<lambda>":
            label = f"candidates[{at}]"
        yield Candidate(label, partial(_make, item, at))
    else:
        raise InvalidTypeError(
            f"candidates[{at}]",
            item,
            "an Encoder, a module, a specification or a function that returns an Encoder",
        )


def _load(name: str, trust: bool, layers: Sequence[str]) -> Encoder:
    encoder = load(name, trust=trust)
    encoder.beside = tuple(layers)
    return encoder


def _itself(encoder: Encoder) -> Encoder:
    return encoder


def _make(item: Callable[[], Any], at: int) -> Encoder:
    try:
        made = item()
    except PyattrxError:
        raise
    except Exception as error:  # of any kind: it is the user's function
        raise EncoderError(f"candidates[{at}] failed: {type(error).__name__}: {error}") from error
    if isinstance(made, nn.Module):
        made = Encoder(made)
    if not isinstance(made, Encoder):
        raise EncoderError(
            f"candidates[{at}] returned {made!r} (a {type(made).__name__}): expected an "
            "Encoder or a module"
        )
    return made
