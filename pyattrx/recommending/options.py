"""How `recommend` runs, checked before any network does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pyattrx._checks import number
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.features import FeatureCache
from pyattrx.running import OnError, check_batch_size, resolve_device
from pyattrx.statistics import check_level
from pyattrx.workers import Engine, engine_of

__all__ = ["Options", "check_stop"]


@dataclass(frozen=True)
class Options:
    """Options of `recommend` that have nothing to do with the task."""

    weight: float
    batch_size: int
    device: torch.device
    cache: FeatureCache | None
    level: float
    on_error: OnError
    engine: Engine | None

    @classmethod
    def checked(
        cls,
        weight: Any,
        batch_size: Any,
        device: Any,
        cache: Any,
        level: Any,
        on_error: Any,
        workers: Any,
    ) -> Options:
        """Check what a caller gave."""
        weight = number("consensus_weight", weight, least=0)
        check_batch_size(batch_size)
        level = check_level(level)
        if on_error not in ("skip", "raise"):
            raise InvalidValueError("on_error", on_error, "'skip' or 'raise'")
        place = resolve_device(device)
        engine = engine_of(workers, place, any_device=device is None)
        return cls(weight, batch_size, place, _cache(cache), level, on_error, engine)


def _cache(given: Any) -> FeatureCache | None:
    if isinstance(given, bool):
        return FeatureCache() if given else None
    if isinstance(given, FeatureCache):
        return given
    if isinstance(given, (str, os.PathLike)):
        return FeatureCache(Path(given))
    raise InvalidTypeError("cache", given, "True, False, a folder or a FeatureCache")


def check_stop(stop: object, error: object, kind: str, scored: bool) -> None:
    """Refuse what a race cannot be run by.

    Raises
    ------
    InvalidValueError
    """
    if stop not in (None, "confident"):
        raise InvalidValueError("stop", stop, "None or 'confident'")
    number("error", error, above=0, below=0.5)
    if stop is not None and not scored:
        raise InvalidValueError("stop", stop, f"None: a race needs labels, and this task is {kind}")
