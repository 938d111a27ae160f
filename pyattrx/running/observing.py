"""What can be fed a network and the probes, batch by batch."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from pyattrx.encoders import PreparedEncoder

__all__ = ["Observer"]


class Observer(Protocol):
    """What is to be seen of a network's passes; a `FeatureMethod` is one. See its `observe`."""

    @property
    def name(self) -> str:
        """What progress calls it."""

    @property
    def all_units_alike(self) -> bool:
        """Whether a unit that hardly changes counts as much as any other."""

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network on a batch of probes, without gradients."""
