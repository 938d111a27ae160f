"""What a cheaper arithmetic does to a network's maps and features, and whether it may stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyattrx.encoders import PreparedEncoder
from pyattrx.methods import AttributionMaps
from pyattrx.running.observing import Observer
from pyattrx.running.precision import arithmetic, map_cosines, settled

__all__ = ["Effects", "features_kept"]

# Images that are seen a second time. In float32 one costs as much as several in a cheaper
# arithmetic, so that they are a share of the run.
_MOST = 8
_ONE_IN = 64
# "auto" stays in the cheaper arithmetic above these.
_LEAST_COSINE = 0.98
_LEAST_KEPT = 0.99


class Effects:
    """The arithmetic of one network's passes, and what it does.

    Parameters
    ----------
    precision : str
        One of `PRECISIONS`, checked. "auto" goes back to float32 where the effect is large, and
        never makes maps in bfloat16: rankings by them move (studies/results/precision.json).
    device : torch.device
    compile : bool
        Whether passes are those of a compiled program.
    count : int
        How many probes the network will see.

    Attributes
    ----------
    of_maps, of_features : str
        The arithmetic of the passes to come, for maps and for features.
    of_precision : dict or None
        What it does to the first maps and features, as JSON types; None in float32.
    of_compile : dict or None
        What compilation does to the first maps.
    """

    def __init__(self, precision: str, device: torch.device, compile: bool, count: int) -> None:
        self.of_features = self.of_maps = settled(precision, device)
        self._may_go_back = precision == "auto"
        if self._may_go_back and self.of_maps == "bfloat16":
            self.of_maps = "float32"
        self._device = device
        self._compile = compile
        self._images = max(1, min(_MOST, count // _ONE_IN))
        self._with_maps: dict[str, Any] | None = None
        self._with_features: dict[str, Any] | None = None
        self.of_compile: dict[str, Any] | None = None

    @property
    def of_precision(self) -> dict[str, Any] | None:  # noqa: D102
        if self._with_maps is None and self._with_features is None:
            return None
        return {**(self._with_features or {}), **(self._with_maps or {})}

    def exact_maps(self) -> bool:
        """Make the maps to come in float32 if nobody asked for another; return whether."""
        changed = self._may_go_back and self.of_maps != "float32"
        if changed:
            self.of_maps = "float32"
        return changed

    def exact(self) -> None:
        """Run the passes to come in float32 if nobody asked for another."""
        self.exact_maps()
        if self._may_go_back:
            self.of_features = "float32"

    def measure_maps(
        self, prepared: PreparedEncoder, describe: AttributionMaps, images: Tensor, maps: Tensor
    ) -> bool:
        """Compare some of the first maps with what they are meant to be.

        Returns
        -------
        bool
            Whether they are to be made once more, in float32.
        """
        if self._compile and self.of_compile is None:
            some = images[:_MOST]
            self.of_compile = self._cosines(self.of_maps, prepared, describe, some, maps)
        if self.of_maps == "float32" or self._with_maps is not None:
            return False
        some = images[: self._images]
        found = self._cosines("float32", prepared, describe, some, maps)
        # NaN is for who checks maps to name.
        again = found["least_cosine"] < _LEAST_COSINE and self.exact_maps()
        self._with_maps = {**found, "arithmetic": self.of_maps}
        return again

    def _cosines(
        self,
        precision: str,
        prepared: PreparedEncoder,
        describe: AttributionMaps,
        images: Tensor,
        maps: Tensor,
    ) -> dict[str, Any]:
        with prepared.as_it_is(), arithmetic(precision, self._device):
            exact = describe.rows(prepared, images)
        cosines = map_cosines(maps[: len(images)], exact)
        return {
            "probes": len(images),
            "mean_cosine": float(cosines.mean()),
            "least_cosine": float(cosines.min()),
        }

    def measure_features(
        self,
        reader: PreparedEncoder,
        method: Observer,
        images: Tensor,
        chosen: Any,
        parts: Mapping[str, Tensor],
    ) -> bool:
        """Compare some of the first features with those in float32.

        Returns
        -------
        bool
            Whether they are to be read once more, in float32.
        """
        if self.of_features == "float32" or self._with_features is not None:
            return False
        if len(images) < 2:  # one differs from no other: nothing can be measured
            changed = self._may_go_back
            if changed:
                self.of_features = "float32"
            return changed
        count = max(2, self._images)
        with (
            reader.as_it_is(),
            arithmetic("float32", self._device),
            torch.no_grad(),
        ):
            exact = method.observe(reader, images[:count], chosen[:count])
        kept = min((features_kept(parts[name][:count], exact[name]) for name in exact), default=1.0)
        again = kept < _LEAST_KEPT and self._may_go_back
        if again:
            self.of_features = "float32"
        self._with_features = {
            "feature_probes": min(count, len(images)),
            "features_kept": kept,
            "feature_arithmetic": self.of_features,
        }
        return again


def features_kept(features: Tensor, exact: Tensor) -> float:
    """Share of the variance between images that is not lost to rounding: 1 where nothing is.

    Parameters
    ----------
    features, exact : Tensor [N, ...]

    Returns
    -------
    float
        At most 1; 0 where something is lost and images do not differ, so that nobody knows how
        much it matters; 1 for what cannot be compared.
    """
    if features.shape != exact.shape or not exact.is_floating_point():
        return 1.0
    a, b = features.double().flatten(1), exact.double().flatten(1)
    lost = float((a - b).square().sum())
    spread = float((b - b.mean(0)).square().sum())
    if lost == 0:
        return 1.0
    return 1.0 - lost / spread if spread > 0 else 0.0
