"""Images that are shown twice, and what their labels say."""

from __future__ import annotations

from pyattrx.probes import Probes
from pyattrx.tasks.labelling import Labelling

__all__ = ["contradicting"]


def contradicting(probes: Probes, labelling: Labelling) -> tuple[int, ...]:
    """Return the numbers of images of which an exact copy has another label."""
    if not labelling.labelled.any() or not probes.duplicates:
        return ()
    alike: dict[bytes, list[int]] = {}
    for index, digest in enumerate(probes.digests()):
        if labelling.labelled[index]:
            alike.setdefault(digest, []).append(index)
    found = [
        copies
        for copies in alike.values()
        if len(copies) > 1 and len({labelling.row(index) for index in copies}) > 1
    ]
    return tuple(sorted(index for copies in found for index in copies))
