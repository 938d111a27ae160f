"""Networks of a zoo, loaded again by what the zoo knows of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from pyattrx.encoders import Encoder, load
from pyattrx.errors import ZooMismatchError, ZooWarning
from pyattrx.probes import Probes
from pyattrx.storage import EntryRow, Run, Store
from pyattrx.zoo.sameness import check_comparable, check_same

__all__ = ["load_entry", "load_named", "loadable"]

_SHOWN = 3  # of the networks that a warning speaks of
_CALLER = 5  # of `Zoo.fidelity`, from where it is warned


def load_named(store: Store, name: str, *, trust: bool) -> Encoder:
    """Load the network of a name; see `Zoo.load`."""
    return load_entry(store.probes, store.catalog.entry(store.number(name)), trust=trust)


def load_entry(probes: Probes, entry: EntryRow, *, trust: bool, run: Run | None = None) -> Encoder:
    """Load the network of an entry by its specification, under its name in the zoo.

    Raises
    ------
    ZooMismatchError
        There is no specification, or it loads another network by now.
    PyattrxError
        As for `pyattrx.load`.
    """
    specification = entry.facts.get("specification")
    if not specification:
        raise ZooMismatchError(
            f"{entry.name!r} cannot be loaded: it was added without a specification; give it "
            "with encoders="
        )
    check_comparable(entry)  # before anything of it is executed
    encoder = load(specification, trust=trust)
    encoder.name = entry.name
    check_same(probes, entry, encoder, run)
    return encoder


def loadable(names: Sequence[str], count: int, load: Callable[[str], Encoder]) -> list[str]:
    """Some networks that can be loaded, chosen at random; in their order.

    Parameters
    ----------
    names : sequence of str
    count : int
        How many, if there are as many.
    load : callable
        Loads one.

    Warns
    -----
    ZooWarning
        Some that were chosen cannot be loaded; others took their places.
    """
    chosen: list[int] = []
    failed: list[str] = []
    for index in np.random.default_rng(0).permutation(len(names)).tolist():
        try:
            load(names[index])
        except Exception as error:  # whatever it is: another one will do
            failed.append(f"{names[index]!r} ({error})")
        else:
            chosen.append(index)
        if len(chosen) == count:
            break
    if failed:
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        warnings.warn(
            f"left out, since they cannot be loaded: {'; '.join(failed[:_SHOWN])}{more}",
            ZooWarning,
            stacklevel=_CALLER,
        )
    return [names[index] for index in sorted(chosen)]
