"""A new zoo: what it shall keep, checked, and its folder made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyattrx._checks import flag
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods import FeatureMethod, Method, resolve_maps_method
from pyattrx.probes import Probes
from pyattrx.running import versions
from pyattrx.storage.arguments import check_path, not_integer, now
from pyattrx.storage.features import FEATURES_RERANK, NEAREST, resolve_features
from pyattrx.storage.store import Store, StoredMethod

__all__ = ["create"]


def create(
    path: Any,
    probes: Probes,
    method: str | Method | Sequence[str | Method],
    keep_rows: bool,
    sketch_size: int,
    seed: int,
    rerank: str | FeatureMethod | None,
) -> Store:
    """Make a zoo, whole or not at all, and open it; arguments and errors are `Zoo.create`'s."""
    folder = check_path(path)
    if not isinstance(probes, Probes):
        raise InvalidTypeError("probes", probes, "pyattrx.Probes")
    if isinstance(method, str) and method == "recommended":
        method, rerank = NEAREST, "recommended" if rerank is None else rerank
    given: Sequence[Any] = method if isinstance(method, (list, tuple)) else [method]
    methods = [resolve_maps_method(one, more=FEATURES_RERANK) for one in given]
    names = [str(one) for one in methods]
    if not methods or len(set(names)) < len(names):
        raise InvalidValueError("method", names, "one method, or several different ones")
    flag("keep_rows", keep_rows)
    if not_integer(sketch_size) or sketch_size % 1024 or not 1024 <= sketch_size <= 65536:
        raise InvalidValueError("sketch_size", sketch_size, "a multiple of 1024, up to 65536")
    if not_integer(seed) or not 0 <= seed < 2**63:
        raise InvalidValueError("seed", seed, "an integer from 0 to 2**63 - 1")
    facts: dict[str, Any] = {
        "created": now(),
        "versions": versions(),
        "keep_rows": keep_rows,
        "sketch_size": int(sketch_size),
        "sketch_seed": int(seed),
    }
    if rerank is not None:
        features = resolve_features(rerank)
        features.check_probes(np.asarray(probes.groups))
        facts["rerank"] = features.to_dict()
    for one in methods:
        StoredMethod.check(one, probes.size)
    Store.create(folder, probes, methods, facts)
    return Store(folder, trust=True)
