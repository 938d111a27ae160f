"""Maps that a user gives, checked against what a zoo keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError, NonFiniteError
from pyattrx.storage.catalog import ROWS
from pyattrx.storage.features import FACTS
from pyattrx.storage.store import Store, StoredMethod

__all__ = ["check_all_maps", "check_facts", "check_maps", "row_width"]

_OWN_FACTS = frozenset((FACTS, "maps", "zero_maps"))  # the zoo's to say


def row_width(store: Store, stored: StoredMethod) -> int | None:
    """Elements of a row; None where any will do."""
    method = stored.method
    maps = stored.descriptor.maps
    if method.pixels is not None:
        return maps * method.pixels
    if method.reduce != "none":
        return maps * stored.descriptor.grid[0] * stored.descriptor.grid[1]
    first = store.catalog.any_record(stored.id, ROWS)
    return first.record.width if first else None


def check_facts(facts: Any) -> dict[str, Any]:
    """What is to be known of a network whose maps are given, as JSON types."""
    if facts is None:
        return {}
    if not isinstance(facts, Mapping) or not all(isinstance(key, str) for key in facts):
        raise InvalidTypeError("facts", facts, "a mapping of JSON types to names")
    if own := sorted(_OWN_FACTS & set(facts)):
        raise InvalidValueError(
            "facts", facts, f"none of what the zoo says itself: {', '.join(own)}"
        )
    for name in ("specification", "weights_hash"):
        if not isinstance(facts.get(name), (str, type(None))):
            raise InvalidTypeError(f"facts[{name!r}]", facts[name], "a string, or None")
    try:
        json.dumps(dict(facts), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError("facts", facts, f"JSON types ({error})") from error
    return dict(facts)


def check_all_maps(store: Store, maps: Any) -> list[Tensor]:
    """Maps for every method of the zoo, checked."""
    methods = store.methods
    if isinstance(maps, Tensor):
        if len(methods) > 1:
            names = ", ".join(repr(stored.name) for stored in methods)
            raise InvalidTypeError("maps", maps, f"maps for each of the zoo's methods: {names}")
        return [check_maps(store, "maps", maps, methods[0])]
    if not isinstance(maps, Mapping) or set(maps) != {stored.name for stored in methods}:
        names = ", ".join(repr(stored.name) for stored in methods)
        raise InvalidTypeError("maps", maps, f"a tensor, or a mapping of one to each of {names}")
    return [
        check_maps(store, f"maps[{stored.name!r}]", maps[stored.name], stored) for stored in methods
    ]


def check_maps(store: Store, argument: str, given: Any, stored: StoredMethod) -> Tensor:
    """Check maps for one method; float32 or float64."""
    maps: Any = given
    if not isinstance(maps, Tensor):
        raise InvalidTypeError(argument, maps, "a tensor [N, D]")
    if maps.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise InvalidTypeError(f"{argument}.dtype", maps.dtype, "a floating type")
    width = row_width(store, stored)
    count = len(store.probes)
    shape = (count, "D" if width is None else width)
    if maps.dim() != 2 or maps.shape[0] != count or width not in (None, maps.shape[1]):
        raise InvalidValueError(f"{argument}.shape", tuple(maps.shape), f"{shape}")
    rows: Tensor = maps.detach()
    finite = rows.isfinite().all(1)
    if not bool(finite.all()):
        probe = int((~finite).nonzero()[0, 0])
        raise NonFiniteError(f"{argument}[{probe}] holds NaN or Inf")
    return rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
