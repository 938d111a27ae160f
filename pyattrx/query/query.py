"""What is asked: checked once, and handed on as it is until it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from pyattrx._scratch import Scratch, ScratchFolder
from pyattrx.encoders import FORMS, Encoder, is_file, load, refused
from pyattrx.errors import InvalidTypeError, InvalidValueError, ZooDamagedError
from pyattrx.methods import FeatureMethod, Method
from pyattrx.query.limits import Limits
from pyattrx.statistics import check_ranking
from pyattrx.storage import (
    Run,
    Store,
    StoredMethod,
    arrays_of,
    check_tags,
    not_integer,
    resolve_features,
)

__all__ = ["Asked", "Options", "Query", "Several", "Target"]

Asked = Encoder | str | Tensor
Several = list[Asked] | list[Encoder] | list[str] | list[Tensor] | tuple[Asked, ...]

_LEAST_FINALISTS = 20
_FINALISTS_PER_MATCH = 4


class Options(TypedDict, total=False):
    """What `Zoo.query` is told by name, for type checkers."""

    method: str | Method | None
    tags: str | Sequence[str]
    level: float
    exact: bool
    stop: str | None
    rerank: str | FeatureMethod | bool | None
    finalists: int | None
    batch_size: int
    device: str | torch.device | None
    precision: str
    compile: bool
    scratch: ScratchFolder
    trust: bool


@dataclass(frozen=True)
class Target:
    """A network that is asked about.

    Attributes
    ----------
    label : str
        What errors call it: "target", or "target[2]" of several.
    name : str
        What the answer calls it.
    given : Encoder, Tensor or int
        A network, maps, or the number of an entry.
    finalists : int or None
        How many of its nearest are put in order by features; None where none are.
    """

    label: str
    name: str
    given: Encoder | Tensor | int
    finalists: int | None = None

    @property
    def entry(self) -> int | None:
        """Number of the entry that it is, and that is not compared with itself."""
        return self.given if isinstance(self.given, int) else None


@dataclass(frozen=True)
class Query:
    """What a zoo is asked: made by `of`; parameters not said here are those of `Zoo.query`.

    Attributes
    ----------
    targets : tuple of Target
    method : StoredMethod
    allowed : ndarray of int64 or None
        Entries that have the tags, rising; None for all.
    early : bool
        Whether to stop as soon as an answer is settled.
    run : Run
    """

    targets: tuple[Target, ...]
    method: StoredMethod
    k: int
    level: float
    allowed: np.ndarray | None
    exact: bool
    early: bool
    run: Run
    scratch: Scratch
    limits: Limits

    @classmethod
    def of(cls, store: Store, limits: Limits, target: Any, k: Any, **options: Any) -> Query:
        """Check what is asked.

        Parameters
        ----------
        store : Store
        limits : Limits
        target : object, or a list or tuple of them
        k : int
        **options
            All of `Options`.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            A wrong argument; of several targets the message says which.
        """
        run = Run(*(options[key] for key in ("batch_size", "device", "precision", "compile")))
        level, exact, stop = (options[key] for key in ("level", "exact", "stop"))
        check_ranking(k, level)
        labels = check_tags(options["tags"])
        method = store.method(options["method"])
        if exact and not store.keep_rows:
            raise InvalidValueError("exact", exact, "False: this zoo keeps sketches only")
        if stop not in (None, "confident"):
            raise InvalidValueError("stop", stop, "None or 'confident'")
        if stop is not None and not store.keep_rows:
            raise InvalidValueError("stop", stop, "None: this zoo keeps sketches only")
        several = isinstance(target, (list, tuple))
        given = {f"target[{i}]": one for i, one in enumerate(target)} if several else {}
        targets = []
        for label, one in (given if several else {"target": target}).items():
            name, network = _resolved(store, label, one, options["trust"])
            count = _finalists(store, label, network, int(k), options)
            targets.append(Target(label, name, network, count))
        return cls(
            tuple(targets),
            method,
            int(k),
            level,
            np.array(store.catalog.ids(labels), np.int64) if labels else None,
            exact,
            stop is not None,
            run,
            Scratch.of(options["scratch"]),
            limits,
        )

    def to_find(self, target: Target) -> int:
        """How many networks to find by their maps."""
        return target.finalists or self.k


def _resolved(
    store: Store, label: str, given: Any, trust: bool
) -> tuple[str, Encoder | Tensor | int]:
    """What somebody means: a string is an entry's name or, if none has it, a specification."""
    if isinstance(given, Encoder):
        return given.name, given
    if isinstance(given, Tensor):
        return "maps", given
    if not isinstance(given, str):
        expected = "an Encoder, the name of a network in the zoo, a specification, or maps"
        raise refused(label, given, expected)
    number = store.find(given)
    if number is not None:
        return given, number
    expected = f"{store.expected_names(given)}, or the specification of one"
    if ":" not in given and not is_file(given):
        raise InvalidValueError(label, given, f"{expected}: {FORMS}")
    try:
        encoder = load(given, trust=trust)
    except InvalidValueError as error:
        raise InvalidValueError(label, given, f"{expected} ({error})") from error
    return encoder.name, encoder


def _finalists(
    store: Store, label: str, given: Encoder | Tensor | int, k: int, options: dict[str, Any]
) -> int | None:
    """How many networks to re-rank for a target, if any.

    Where nobody says it, a zoo's features decide the order of all answers that there are features
    for: not of maps, of an entry that was added as maps, or of some of the probes.
    """
    rerank, finalists = options["rerank"], options["finalists"]
    if rerank is None and (
        options["stop"] is not None
        or isinstance(given, Tensor)
        or _is_bare(store, given)
        or store.features is None
    ):
        rerank = False
    if rerank is False:
        if finalists is not None:
            raise InvalidValueError("finalists", finalists, "None: nothing is re-ranked")
        return None
    if rerank is not None:
        method, features = resolve_features(rerank), store.features
        if features is None:
            raise InvalidValueError(
                "rerank", str(method), "None: this zoo keeps no features; see Zoo.create"
            )
        if method != features.method:
            raise InvalidValueError(
                "rerank", str(method), f"this zoo's {features.name!r}, or False"
            )
        if options["stop"] is not None:
            raise InvalidValueError(
                "stop", options["stop"], "None: features are those of all probes"
            )
        if isinstance(given, Tensor):
            raise InvalidTypeError(label, given, "an Encoder or a name: maps have no features")
    if finalists is None:
        return max(_FINALISTS_PER_MATCH * k, _LEAST_FINALISTS)
    if not_integer(finalists) or finalists < k:
        raise InvalidValueError("finalists", finalists, f"an integer of at least k={k}")
    return int(finalists)


def _is_bare(store: Store, given: Encoder | int) -> bool:
    """Whether it is an entry that was added as maps."""
    with suppress(ZooDamagedError):  # told where its features are read
        return isinstance(given, int) and not arrays_of(store.catalog.entry(given))
    return False
