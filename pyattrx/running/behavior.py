"""What a network is looked at with, and how it behaved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyattrx.encoders import PreparedEncoder, behaviour_of
from pyattrx.probes import Probes

__all__ = ["described_behaviour", "examples"]


def examples(probes: Probes) -> tuple[Tensor, list[bytes]]:
    """Two probes to look at a network with, the darkest and the brightest, whatever their order.

    Returns
    -------
    images : Tensor [N, 3, H, W]
        One or two, on the CPU.
    digests : list of bytes
        Theirs.
    """
    digests = probes.digests()
    places = list(dict.fromkeys(probes.extremes()))
    images = torch.cat([probes.images(at, at + 1) for at in places])
    return images, [digests[at] for at in places]


def described_behaviour(prepared: PreparedEncoder, digests: Sequence[bytes]) -> dict[str, Any]:
    """How a network behaved when it was looked at, as JSON types.

    Parameters
    ----------
    prepared : PreparedEncoder
    digests : sequence of bytes
        Of the images that it was looked at with.
    """
    looked = prepared.looked
    return behaviour_of(looked.plain, digests[: len(looked.plain.output)], looked.prepared)
