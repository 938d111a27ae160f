"""What is known of a network that was run, wherever that was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from pyattrx.methods import FeatureMethod, Summary
from pyattrx.running.effects import Effects

__all__ = ["Counted", "Described"]


class Counted(Protocol):
    """How many maps were special; a `MapChecks` counts them."""

    @property
    def zero(self) -> int:
        """Maps of zeros."""

    @property
    def noise(self) -> int:
        """Maps that held rounding noise."""

    @property
    def exact(self) -> int:
        """Maps that were computed in float64."""


class Described(Protocol):
    """A network being described; see `Description`, which is one."""

    effects: Effects
    behaviour: dict[str, Any]
    untrained: str | None
    how: dict[str, Any]
    features_in: str | None

    @property
    def checks(self) -> Sequence[Counted]:
        """What is known of the maps so far, by method."""

    def __enter__(self) -> Described:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free everything."""

    def rows(
        self,
        order: np.ndarray | None = None,
        *,
        on_host: bool | Callable[[Sequence[Tensor]], Sequence[bool]] = False,
    ) -> Iterator[tuple[np.ndarray, list[Tensor]]]:
        """Describe probes."""

    def summary(self, method: FeatureMethod) -> Summary:
        """What a method keeps of the network."""
