"""What directional methods over image and location share: ridge regression between halves.

Samples are the locations of all images where both features are maps, [N, C, H, W]: maps of
different sizes are area-resampled to the smaller height and the smaller width, after features have
been brought to unit length. Otherwise samples are images, and features are flattened.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyattrx._checks import integer, number
from pyattrx.encoders import PreparedEncoder
from pyattrx.errors import InvalidValueError
from pyattrx.methods.feature_method import ROUNDINGS, FeatureMethod, Summary, widened
from pyattrx.methods.moments import Moments, cross_fitted_r2, narrowed

__all__ = [
    "Regression", "common_grid", "halves_of", "samples_of", "shaped", "shrunk", "unit_length",
]  # fmt: skip

# Targets' samples in memory at once, in float64.
_TARGET_BYTES = 256 << 20


class Regression(FeatureMethod):
    """R^2 of ridge regression between halves of the probes, the mean of both ways.

    Groups of probes go to the halves in turn.
    """

    least_probes = 2
    least_groups = 2
    intercept: ClassVar[bool]

    penalty: float
    largest_grid: int
    window: int

    symmetric = False
    bounds = (float("-inf"), 1.0)
    needs = frozenset({"output", "features"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "penalty", number("penalty", self.penalty, above=0))
        for option in ("largest_grid", "window"):
            object.__setattr__(self, option, integer(option, getattr(self, option), least=1))
        if self.window % 2 == 0:
            raise InvalidValueError("window", self.window, "an odd number of rows and columns")

    def summarize(self, observed: dict[str, Tensor]) -> Summary:
        """Keep the features themselves: [N, draws, C, H, W] where they are maps, or [N, draws, D].

        Without perturbations there is one draw.
        """
        arrays = {name: part.numpy() for name, part in observed.items()}
        # Near one, exactly: no square under- or overflows.
        exponent = np.frexp(np.abs(arrays["output"]).max())[1]
        arrays["output"] = np.ldexp(arrays["output"], -exponent)
        facts: dict[str, Any] = {name: list(part.shape[2:]) for name, part in observed.items()}
        nothing = np.zeros(len(arrays["output"]), bool)
        for name, array in arrays.items():
            if self.intercept:
                still = _still(array)
                array[:, :, still] = 0  # neither do they explain, nor are they to be explained
                if still.any():
                    facts[f"constant {name}"] = int(still.sum())
                nothing |= still.all()
            else:
                nothing |= ~np.any(array.reshape(len(array), -1), axis=1)
        return Summary(arrays, int(nothing.sum()), facts)

    @abstractmethod
    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network: "output" and "features", of unit length at every location."""

    def compare(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        groups: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict every target from every source; see `FeatureMethod.compare`."""
        halves = halves_of(groups)
        values = np.empty((len(targets), len(sources)))
        without = np.empty((int(blocks.max()) + 1, *values.shape))
        for column, source in enumerate(sources):
            for rows, u, zs in self._pairs(targets, source):
                found = self._scores(u, zs, halves, blocks)
                values[rows, column], without[:, rows, column] = found
        return values, without

    def _pairs(
        self, targets: Sequence[Summary], source: Summary
    ) -> Iterator[tuple[list[int], _Source, list[np.ndarray]]]:
        """Samples of a source, and of targets that it has them in common with."""
        features = source.arrays["features"]
        alike: dict[tuple[int, int] | None, list[int]] = {}
        for index, target in enumerate(targets):
            alike.setdefault(common_grid(features, target.arrays["output"]), []).append(index)
        for grid, members in alike.items():
            u = _Source.of(samples_of(features, grid, self.window), centered=self.intercept)
            rows: list[int] = []
            zs: list[np.ndarray] = []
            for index in members:
                rows.append(index)
                zs.append(_narrow(samples_of(targets[index].arrays["output"], grid)))
                if sum(z.nbytes for z in zs) >= _TARGET_BYTES:
                    yield rows, u, zs
                    rows, zs = [], []
            if rows:
                yield rows, u, zs

    def _scores(
        self,
        source: _Source,
        zs: list[np.ndarray],
        halves: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """R^2 of some targets: over all probes, [T], and without each block, [K, T]; takes `zs`."""
        starts = np.concatenate([[0], np.cumsum([part.shape[2] for part in zs])[:-1]])
        z = zs[0] if len(zs) == 1 else np.concatenate(zs, axis=2)
        zs.clear()
        if self.intercept:  # nothing changes but rounding
            z -= z.mean((0, 1))
        u = source.samples

        def moments(chosen: np.ndarray) -> Moments:
            sums = Moments(u.shape[2], z.shape[2])
            sums.add(*(x[chosen].reshape(-1, x.shape[2]) for x in (u, z)))
            return sums

        return cross_fitted_r2(
            moments, halves, blocks, self.penalty,
            width=source.width, starts=starts, intercept=self.intercept,
        )  # fmt: skip


@dataclass(frozen=True)
class _Source:
    samples: np.ndarray  # [N, L, C]
    width: int  # features before they were turned into fewer

    @classmethod
    def of(cls, samples: np.ndarray, *, centered: bool) -> _Source:
        """Make one of samples that nobody else has; they are overwritten."""
        width = samples.shape[2]
        if centered:  # a feature may be 1e6 times what others vary by, and rounding with it
            samples -= samples.mean((0, 1))
        return cls(_narrow(samples), width)


def halves_of(groups: np.ndarray) -> np.ndarray:
    """Half of each probe, 0 or 1: groups in turn, in the order in which they come."""
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    halves: np.ndarray = rank[place] % 2
    return halves


def common_grid(features: np.ndarray, output: np.ndarray) -> tuple[int, int] | None:
    """Height and width of the maps that both are compared on; None where one of them is no map."""
    if features.ndim != 5 or output.ndim != 5:
        return None
    height, width = np.minimum(features.shape[-2:], output.shape[-2:])
    return int(height), int(width)


def samples_of(array: np.ndarray, grid: tuple[int, int] | None, window: int = 1) -> np.ndarray:
    """Features [N, draws, ...] as samples [N, L, C], float64; of a window, C times its size."""
    if grid is not None and array.shape[-2:] == grid and window == 1:
        x = np.array(np.moveaxis(array, 2, -1), np.float64, order="C")  # one copy
        return x.reshape(len(x), -1, x.shape[-1])
    x = np.array(array, np.float64)
    if grid is None:
        return x.reshape(*x.shape[:2], -1)
    if x.shape[-2:] != grid:
        flat = torch.from_numpy(x.reshape(-1, *x.shape[2:]))
        x = F.adaptive_avg_pool2d(flat, grid).numpy().reshape(*x.shape[:3], *grid)
    if window > 1:
        flat = torch.from_numpy(x.reshape(-1, *x.shape[2:]))
        around = F.unfold(flat, window, padding=window // 2).numpy()
        x = around.reshape(*x.shape[:2], -1, *grid)
    return np.moveaxis(x, 2, -1).reshape(len(x), -1, x.shape[2])


def _narrow(samples: np.ndarray) -> np.ndarray:
    """The same samples, turned, in no more dimensions than there are samples."""
    rows = samples.shape[0] * samples.shape[1]
    if samples.shape[2] <= rows:
        return samples
    return narrowed(samples.reshape(rows, -1)).reshape(*samples.shape[:2], rows)


def _still(array: np.ndarray) -> np.ndarray:
    """Which channels, of features [N, draws, C, ...], are the same everywhere, [C]."""
    channels = np.moveaxis(array, 2, 0).reshape(array.shape[2], -1)
    largest = np.maximum(channels.max(1), -channels.min(1))
    spread = np.ptp(channels, axis=1)
    still: np.ndarray = spread <= ROUNDINGS * np.finfo(array.dtype).eps * largest
    return still


def shaped(output: Tensor) -> Tensor:
    """Maps as they are, [B, C, H, W]; everything else flattened, [B, D]."""
    output = widened(output)
    if output.dim() == 4:
        return output
    return output.flatten(1) if output.dim() > 1 else output[:, None]


def unit_length(features: Tensor) -> Tensor:
    """Features over their length, at every location; zeros stay zeros."""
    wide = features.double()
    # Scaled first: no square under- or overflows.
    largest = wide.abs().amax(1, keepdim=True)
    wide = wide / torch.where(largest == 0, 1.0, largest)
    norm = wide.norm(dim=1, keepdim=True)
    return (wide / torch.where(norm == 0, 1.0, norm)).to(features.dtype)


def shrunk(features: Tensor, most: int) -> Tensor:
    """Maps of at most so many rows and columns."""
    if features.dim() != 4 or max(features.shape[-2:]) <= most:
        return features
    height, width = features.shape[-2:]
    return F.adaptive_avg_pool2d(features, (min(height, most), min(width, most)))
