"""Whether a network is the one that a zoo has: by how it behaves, where that was kept."""

from __future__ import annotations

from typing import Any

import torch

from pyattrx.encoders import Encoder, behaves_alike
from pyattrx.errors import ZooMismatchError
from pyattrx.probes import Probes
from pyattrx.running import arithmetic, described_behaviour
from pyattrx.storage import EntryRow, Run, fingerprint

__all__ = ["BEHAVIOUR", "check_same", "differences", "same_entries"]

# The fact that holds how a network behaved when it was added.
BEHAVIOUR = "behaviour"


def check_comparable(entry: EntryRow) -> None:
    """Raise a ZooMismatchError for maps: nothing tells which network they are of."""
    if "maps" in entry.facts:
        raise ZooMismatchError(
            f"{entry.name!r} was added as maps: whether this is its network cannot be compared"
        )


def check_same(probes: Probes, entry: EntryRow, encoder: Encoder, run: Run | None = None) -> None:
    """Refuse a network that is not the one that was added.

    Parameters
    ----------
    probes : Probes
        Those of the zoo.
    entry : EntryRow
    encoder : Encoder
    run : Run, optional
        Where to run it.

    Raises
    ------
    ZooMismatchError
    """
    check_comparable(entry)
    if not _is_same(probes, entry, encoder, encoder.describe(), run or Run(32, None, "float32")):
        raise ZooMismatchError(
            f"{entry.name!r} is not the network that was added: weights, preprocessing or "
            "output are others"
        )


def differences(
    probes: Probes, entry: EntryRow, encoder: Encoder, known: dict[str, Any], run: Run
) -> list[str] | None:
    """Names of the facts in which a network differs from an entry; None for the same network.

    What decides is what it answers to two of the probes. The hash of its weights covers parts that
    are never used, and random at each load; it does not cover the constants of a function.
    """
    if _is_same(probes, entry, encoder, known, run):
        return None
    facts = entry.facts
    differ = [key for key in known if key in facts and facts[key] != known[key]]
    return differ or [BEHAVIOUR]


def same_entries(one: EntryRow, other: EntryRow) -> bool:
    """Tell whether entries of two zoos with the same probes are the same network."""
    alike = behaves_alike(one.facts.get(BEHAVIOUR) or {}, other.facts.get(BEHAVIOUR) or {})
    return one.fingerprint == other.fingerprint if alike is None else alike


def _is_same(
    probes: Probes, entry: EntryRow, encoder: Encoder, known: dict[str, Any], run: Run
) -> bool:
    kept = entry.facts.get(BEHAVIOUR)
    places = _places(probes, kept["images"]) if kept else None
    if kept is None or places is None:  # added before behaviour was kept, or as maps
        return fingerprint(known) == entry.fingerprint
    images = torch.cat([probes.images(at, at + 1) for at in places])
    with (
        arithmetic("float32", run.device),
        encoder.prepare(run.device, images, batch_size=run.batch_size, plain=True) as prepared,
    ):
        seen = described_behaviour(prepared, [bytes.fromhex(one) for one in kept["images"]])
    return bool(behaves_alike(kept, seen))


def _places(probes: Probes, wanted: list[str]) -> list[int] | None:
    digests = probes.digests()
    try:
        return [digests.index(bytes.fromhex(one)) for one in wanted]
    except ValueError:
        return None
