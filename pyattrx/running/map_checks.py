"""Maps of one network by one method: counted, and mended where rounding is a part of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from pyattrx.encoders import PreparedEncoder
from pyattrx.errors import PyattrxError
from pyattrx.methods import ROUNDINGS, AttributionMaps, quantize
from pyattrx.running.rounding import ENOUGH, MapFloor, refuse_maps

__all__ = ["MapChecks"]


class MapChecks:
    """What is to be known of the maps of a network while they are made.

    Parameters
    ----------
    prepared : PreparedEncoder
    maps : AttributionMaps
    precision : str
        Of the passes.
    exact : callable
        Returns the network in other arithmetic, made where it is needed.

    Attributes
    ----------
    seen : int
        Maps so far.
    zero, noise, exact : int
        How many of them are zero; held rounding noise, which was taken out; were computed in
        float64, because rounding was a part of them.
    """

    def __init__(
        self,
        prepared: PreparedEncoder,
        maps: AttributionMaps,
        precision: str,
        exact: Callable[[], PreparedEncoder],
    ) -> None:
        self._prepared, self._maps = prepared, maps
        self._precision, self._in_other = precision, exact
        self.seen = self.zero = self.noise = self.exact = 0
        self._silent = 0  # probes that nothing answers to

    @cached_property
    def _floor(self) -> MapFloor:
        # Not before there are maps, which say better what is wrong with a scalar.
        return MapFloor(self._prepared, self._maps, self._precision, self._in_other)

    def flags(self, maps: Tensor, sizes: Tensor) -> Tensor:
        """What to know of maps [B, D], [4, B]: finite, zero, suspect, and without a gradient."""
        zero = (maps == 0).all(1)
        return torch.stack([maps.isfinite().all(1), zero, self._floor.suspects(sizes), sizes == 0])

    def checked(self, rows: Tensor, flags: Sequence[Tensor], images: Tensor) -> Tensor:
        """Count a batch of finite maps, and put others in the place of those that are rounding.

        Parameters
        ----------
        rows : Tensor [B, D]
            As they are kept.
        flags : sequence of Tensor [B]
            See `flags`.
        images : Tensor [B, 3, H, W]

        Raises
        ------
        AssumptionError
            All maps so far are noise.
        """
        _, zero, suspect, silent = flags
        self.seen += len(rows)
        self._silent += int(silent.sum())
        mended = self._mended(suspect, zero, images)
        noise = _zeros(mended)
        self.noise += noise
        self.exact += len(mended) - noise
        self.zero += noise + sum(at not in mended for at in _where(zero))
        if self.seen >= ENOUGH and self.noise == self.seen:
            refuse_maps(self._prepared.name, self._maps.method, self.seen)
        if not mended:
            return rows
        rows = rows.clone()
        for index, row in mended.items():
            rows[index] = quantize(row[None], self._maps.method.storage)[0].to(rows.device)
        return rows

    def _mended(self, suspects: Tensor, zero: Tensor, images: Tensor) -> dict[int, Tensor]:
        """What stands for those maps of a batch that are rounding, or partly so."""
        found: dict[int, Tensor] = {}
        for index in _where(suspects):
            row = self._floor.mended(images[index : index + 1])
            if row is not None and bool(row.any() | ~zero[index]):
                found[index] = row
            if _zeros(found) == ENOUGH == index + 1 and self.seen == len(suspects):
                # So early, nothing is lost yet.
                refuse_maps(self._prepared.name, self._maps.method, ENOUGH)
        return found

    def check_something_is_left(self, images: Callable[[], Tensor]) -> None:
        """Refuse a network all of whose maps are noise or, though it sees the image, zero.

        Parameters
        ----------
        images : callable
            Returns some probes, to be looked at once more.

        Raises
        ------
        AssumptionError
        """
        if self.zero < self.seen or not self.seen:
            return
        # Of an output that answers to the image, as far as two images show; centering leaves
        # nothing of a linear network's gradient, and is meant to.
        silent = self._silent == self.seen and not self._maps.method.center
        if silent and _alike(self._prepared.looked.plain.output):
            silent = self._answers_exactly(images)  # as one that is saturated does
        if self.noise or silent:
            refuse_maps(self._prepared.name, self._maps.method, self.seen, vanished=not self.noise)

    def _answers_exactly(self, images: Callable[[], Tensor]) -> bool:
        """Whether there is a map of any of some probes in other arithmetic."""
        if self._prepared.dtype == torch.float64:
            return False
        try:
            return bool(self._maps.rows(self._in_other(), images()).any())
        except PyattrxError:
            return False


def _where(flags: Tensor) -> list[int]:
    return [int(at) for at in flags.nonzero()[:, 0]]


def _zeros(rows: dict[int, Tensor]) -> int:
    return sum(not bool(row.any()) for row in rows.values())


def _alike(output: Tensor) -> bool:
    """Whether all images have the same output, but for rounding."""
    spread = (output - output[:1]).abs().amax()
    return bool(spread <= ROUNDINGS * torch.finfo(output.dtype).eps * output.abs().amax())
