"""What a zoo's pixel subset and storage do to its answers, measured against whole maps."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pyattrx.affinities import Affinity, affinity
from pyattrx.errors import InvalidValueError
from pyattrx.methods import Method
from pyattrx.probes import Probes
from pyattrx.running import Source
from pyattrx.statistics import jsonable
from pyattrx.storage import Run, Store, check_encoders, not_integer
from pyattrx.zoo.loading import load_named, loadable

__all__ = ["Fidelity", "fidelity"]


@dataclass(frozen=True)
class Fidelity:
    """Affinities under a method against those of whole maps as the networks compute them.

    Attributes
    ----------
    method : str
        What the zoo keeps.
    whole : str
        The same without pixel subset and storage.
    networks : list of str
        Those that were run.
    n_probes : int
    rms, largest : float
        Root mean square and largest difference of an affinity between two of them.
    bias : float
        Mean difference, zoo less whole.
    sampling : float
        Root mean square standard error of these affinities over the probes: what the choice of
        the probes does to them.
    nearest_kept : float
        Share of networks whose nearest source is the same.
    top_kept : float
        Mean share of the `k` nearest sources that are the same.
    k : int
        5, or fewer where there are not more sources.
    """

    method: str
    whole: str
    networks: list[str]
    n_probes: int
    rms: float
    largest: float
    bias: float
    sampling: float
    nearest_kept: float
    top_kept: float
    k: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, None for NaN."""
        numbers = ("rms", "largest", "bias", "sampling", "nearest_kept", "top_kept")
        return {**asdict(self), **{name: jsonable(getattr(self, name)) for name in numbers}}


def fidelity(
    store: Store,
    encoders: Any,
    method: str | Method | None,
    networks: int,
    probes: int,
    run: Run,
    *,
    trust: bool,
) -> Fidelity:
    """Measure it with some networks, or with some of a zoo's own; see `Zoo.fidelity`."""
    stored = store.method(method)
    sources = check_encoders(encoders)
    for name, value, least in (("networks", networks, 2), ("probes", probes, 1)):
        if not_integer(value) or value < least:
            raise InvalidValueError(name, value, f"an integer of at least {least}")
    if not sources:
        known = [e.name for e in store.entries() if e.specification and "maps" not in e.facts]
        load = functools.partial(load_named, store, trust=trust)
        sources = [functools.partial(load, one) for one in loadable(known, networks, load)]
    if len(sources) < 2:
        expected = "two or more networks: the zoo can load fewer by itself"
        raise InvalidValueError("encoders", encoders, expected)
    store.refresh()
    return _measured(sources, store.probes.head(min(probes, len(store.probes))), stored.method, run)


def _measured(sources: Iterable[Source], probes: Probes, method: Method, run: Run) -> Fidelity:
    """Run networks once under a method and once under its whole form, and compare.

    Parameters
    ----------
    sources : iterable of Encoder, str or callable
        At least two networks.
    probes : Probes
    method : Method
    run : Run

    Returns
    -------
    Fidelity
    """
    whole = replace(method, pixels=None, storage=None)
    given = list(sources)
    kept, full = (
        affinity(given, probes, one, **run.description_options()) for one in (method, whole)
    )
    upper = np.triu_indices(len(kept), 1)
    difference = (kept.values - full.values)[upper]
    k = max(1, min(5, len(kept) - 1))
    return Fidelity(
        method=str(method),
        whole=str(whole),
        networks=kept.names,
        n_probes=len(probes),
        rms=float(np.sqrt(np.mean(difference**2))),
        largest=float(np.abs(difference).max()),
        bias=float(difference.mean()),
        sampling=float(np.sqrt(np.mean(full.stderr[upper] ** 2))),
        nearest_kept=_shared(kept, full, 1),
        top_kept=_shared(kept, full, k),
        k=k,
    )


def _shared(a: Affinity, b: Affinity, k: int) -> float:
    def nearest(result: Affinity, name: str) -> Sequence[str]:
        return [match.name for match in result.nearest(name, k)]

    shares = [len(set(nearest(a, name)) & set(nearest(b, name))) / k for name in a.names]
    return float(np.mean(shares))
