"""Whether a map, or the features, of a network are more than what rounding left of nothing.

Where the attributed scalar is constant in exact arithmetic (half the squared norm of outputs of
unit length, the mean of softmax or LayerNorm outputs), its gradient is rounding noise, and noise
has a direction: networks would be compared by it, with small standard errors. So maps that are far
smaller than what the network does to its input are computed once more in other arithmetic. Those
that are not there again are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyattrx.encoders import Pass, PreparedEncoder
from pyattrx.errors import AssumptionError, PyattrxError
from pyattrx.methods import ROUNDINGS, AttributionMaps, resolve_scalar

__all__ = ["ENOUGH", "MapFloor", "needs_other_arithmetic", "refuse_maps"]

# Roundings of what a network does to its input that a gradient may be, and be nothing else.
_ROUNDINGS = 1000
# Share of a map that has to be there again.
_AGAIN = 0.5
# Share of a map that may be rounding: cosines change by its square.
_ROUNDED = 1e-2
# The same for float64, against float32: noise is smaller by the ratio of their roundings.
_VANISHED = 3e-8
# Rounding of an output, relative to how it differs between two images, beyond which all maps are
# computed once more.
_CLOSE_MAPS = 1e-2
# The same of how features differ, where there is no other arithmetic.
_BLURRED = 0.05
# Norm of a float32 gradient below which numbers on its way have lost digits, or vanished.
_UNDERFLOWS = 1e3 * torch.finfo(torch.float32).tiny
# The least share of what it could be that a gradient in float64 has to be.
_LEAST = 1e-12
_NAMES = ("output", "features")
# Maps of which a network is known by: if these are all noise, so are the others.
ENOUGH = 8
# Rounding of features, relative to how they differ between two images, that is looked at closely:
# a regression multiplies it.
_CLOSE = 2e-3


class MapFloor:
    """Tells maps from rounding noise, for one network and one method.

    Parameters
    ----------
    prepared : PreparedEncoder
    descriptor : AttributionMaps
    precision : str
        Of the passes; a reduced one rounds more.
    exact : callable
        Returns the network in other arithmetic (made when it is first needed).

    Attributes
    ----------
    floor : float
        A gradient of smaller norm is looked at closely.
    """

    def __init__(
        self,
        prepared: PreparedEncoder,
        descriptor: AttributionMaps,
        precision: str,
        exact: Callable[[], PreparedEncoder],
    ) -> None:
        self._prepared = prepared
        self._descriptor = descriptor
        self._exact = exact
        self._wide = prepared.dtype == torch.float64
        reduced = {"bfloat16": torch.finfo(torch.bfloat16).eps, "tf32": 2.0**-11}
        rounding = reduced.get(precision, torch.finfo(prepared.dtype).eps)
        self._share = min(_ROUNDINGS * rounding, 0.3)
        self.floor = 0.0
        self._size = 0.0  # of the gradient that the network's units could have
        self._whole = 0.0  # of the terms of the scalar
        self._empty = 0
        self._set_floor(prepared.looked.plain)
        # Of an output that rounding is a part of, one right map says nothing of the others.
        self._always = _doubtful(prepared, "output", _CLOSE_MAPS)
        if self._always:
            self.floor = float("inf")

    def suspects(self, sizes: Tensor) -> Tensor:
        """Which gradients [N], by their norms, may be noise."""
        return sizes < self.floor

    def _set_floor(self, seen: Pass) -> None:
        if seen.gradient is None:
            return
        gradient = seen.gradient.double().flatten(1)
        largest = float(gradient.abs().amax())
        if not largest < float("inf"):
            return
        units, unit = seen.output[0].numel(), largest or 1.0
        moved = largest * float((gradient / unit).norm(dim=1).max()) / units**0.5
        output = seen.output.detach().double().requires_grad_()
        with torch.enable_grad():
            scalar = resolve_scalar(self._descriptor.method.scalar)(output)
            if not scalar.requires_grad:
                return
            (by,) = torch.autograd.grad(scalar.sum(), output)
        self._size = moved * float(_flat(by).norm(dim=1).max())
        self.floor = max(self._share * self._size, 0.0 if self._wide else _UNDERFLOWS)
        # A scalar that is the same for different images hardly answers to any.
        spread = float((scalar.detach()[0] - scalar.detach()[-1]).abs())
        self._whole = float(_flat(by * output.detach()).abs().sum(1).max())
        if len(scalar) > 1 and spread <= self._share * self._whole:
            self.floor = float("inf")
        if largest == 0:  # whatever answers elsewhere is looked at
            self.floor = float("inf")

    def mended(self, image: Tensor) -> Tensor | None:
        """Compute the map of a suspect once more, in other arithmetic.

        Parameters
        ----------
        image : Tensor [1, 3, H, W]

        Returns
        -------
        Tensor [D] or None
            What stands for the map: zeros where it is noise, what float64 finds where rounding is
            a part of it, or all of it. None where it is right as it is.
        """
        ours, size = self._descriptor.rows_and_sizes(self._prepared, image)
        row, nothing = ours[0], torch.zeros_like(ours[0])
        if not bool(row.any()):
            return self._from_nothing(image, row)
        if float(size) >= self.floor:  # meanwhile another one has shown that this is a map
            return None
        other = self._in_other_arithmetic(image)
        if self._wide:
            if other is not None and bool(row.norm() <= _VANISHED * other.row.double().norm()):
                return nothing
        else:
            apart = 0.0 if other is None else _apart(row, other.row)
            most = _ROUNDED if float(size) >= _UNDERFLOWS else 0.0
            if other is not None and apart > most and self._is_there(image, other):
                return _narrowed(other.row, row.dtype)
            if apart > _AGAIN:
                return nothing
            # Float32 ones that were widened may repeat noise.
            if (other is None or not other.wide) and self._repeats(image, row) > _AGAIN:
                return nothing
        if not self._always:
            self.floor = min(self.floor, float(size) / 10)
        return None

    def _from_nothing(self, image: Tensor, row: Tensor) -> Tensor:
        """What float64 finds where there is no map: of a unit that is saturated, say."""
        if self._wide or self._empty >= ENOUGH:
            return row
        other = self._in_other_arithmetic(image)
        if other is not None and self._is_there(image, other):
            return _narrowed(other.row, row.dtype)
        self._empty += 1
        return row

    def _in_other_arithmetic(self, image: Tensor) -> _Other | None:
        """The map of a network that can be run in other arithmetic."""
        try:
            exact = self._exact()
            wide = _is_wide(exact.forward(exact.preprocess(image)))
            rows, sizes = self._descriptor.rows_and_sizes(exact, image)
        except PyattrxError:
            return None
        return _Other(rows[0], float(sizes), wide)

    def _is_there(self, image: Tensor, other: _Other) -> bool:
        """Tell whether a map that was made in float64 is more than rounding.

        It is more than what the network's units, and the scalar's size, explain; and it is there
        again for images with other last bits.
        """
        exact = self._exact()
        change = other.size * float(exact.preprocess(image).double().norm())
        enough = other.size > _LEAST * self._size and change > _LEAST * self._whole
        if not (other.wide and enough and bool(other.row.any())):
            return False
        # It was not rounding that left nothing in float32, but the range of its exponents.
        most = _AGAIN if other.size < _UNDERFLOWS else _ROUNDED
        return self._repeats(image, other.row, exact) <= most

    def _repeats(self, image: Tensor, row: Tensor, by: PreparedEncoder | None = None) -> float:
        """How far maps of the image with other last bits are away, at most."""
        by = by or self._prepared
        again = (self._descriptor.rows(by, _nudged(image, seed))[0] for seed in range(3))
        return max(_apart(row, one) for one in again)


@dataclass(frozen=True)
class _Other:
    """A map in other arithmetic.

    Attributes
    ----------
    row : Tensor [D]
    size : float
        Norm of the gradient.
    wide : bool
        Whether the output shows that it was computed in float64.
    """

    row: Tensor
    size: float
    wide: bool


def refuse_maps(name: str, method: object, count: int, *, vanished: bool = False) -> None:
    """Refuse a network none of whose maps says anything.

    Raises
    ------
    AssumptionError
    """
    what = (
        "are zero, though its output answers to the image: its derivative is zero almost "
        "everywhere, as after rounding or in a quantised network, or too small for its dtype, as "
        "after a sigmoid that is saturated (dtype=torch.float64 may hold it)"
        if vanished
        else "are rounding noise: what is attributed hardly depends on the image, as half the "
        "squared norm of outputs of unit length, or the mean of softmax or LayerNorm outputs"
    )
    raise AssumptionError(
        "scalar",
        f"network {name!r}: all of the {count} attribution maps looked at ({method}) {what}. "
        "Attribute another output (output=) or another scalar (scalar=), or compare features "
        "(method='recommended')",
    )


def needs_other_arithmetic(
    prepared: PreparedEncoder,
    exact: Callable[[], PreparedEncoder],
    images: Callable[[], Tensor],
    names: Sequence[str] = _NAMES,
    columns: int | None = None,
) -> bool:
    """Tell whether rounding is a good part of how output, or features, differ between images.

    Parameters
    ----------
    prepared : PreparedEncoder
    exact : callable
        Returns the network in other arithmetic.
    images : callable
        Returns some probes [N, 3, H, W]; called where two images leave a doubt.
    names : sequence of {"output", "features"}
        Of what that is asked.
    columns : int, optional
        Ask that of the first numbers of an image only.

    Returns
    -------
    bool
        Whether they are to be read in other arithmetic, which is float64: there they are not.

    Raises
    ------
    AssumptionError
        They differ by rounding only, in whatever arithmetic.
    """
    doubts = [
        (_NAMES.index(name), name) for name in names if _doubtful(prepared, name, columns=columns)
    ]
    if not doubts:
        return False
    some, needed = images(), False
    ours = _one_by_one(prepared, some)
    wide = prepared.dtype == torch.float64
    other_bits = _nudged(some)
    nudged = _one_by_one(prepared, other_bits)
    try:
        reader = exact()
        theirs, theirs_nudged = (_one_by_one(reader, x) for x in (some, other_bits))
    except PyattrxError:
        theirs, theirs_nudged = ours, nudged
    for which, name in doubts:
        values = _flat(ours[which], columns)
        here, there = _spread(values), _spread(_flat(theirs[which], columns))
        largest, found = float(here.abs().amax()), float(there.abs().amax())
        rounding = torch.finfo(prepared.dtype).eps * float(values.abs().amax())
        if wide:
            nothing = largest <= _VANISHED * found
            nothing |= _apart(here, _spread(_flat(nudged[which], columns))) > _AGAIN
        elif _is_wide(theirs[which]):
            # Noise is smaller by about the ratio of roundings; some values may be equal by luck.
            # It is not there again.
            nothing = found <= _VANISHED * max(largest, rounding)
            nothing |= _apart(there, _spread(_flat(theirs_nudged[which], columns))) > _AGAIN
            needed |= not nothing
        else:  # it knows one type only
            blurred = _apart(here, _spread(_flat(nudged[which], columns))) > _BLURRED
            nothing = blurred or largest <= ROUNDINGS * rounding
        if nothing and largest > 0:
            raise AssumptionError(
                "features",
                f"network {prepared.name!r}: its {name} hardly varies: the differences between "
                f"{len(some)} probes are rounding errors, or in part. Choose another with {name}=",
            )
    return needed


def _doubtful(
    prepared: PreparedEncoder, name: str, share: float = _CLOSE, columns: int | None = None
) -> bool:
    """Whether rounding is a good part of how two images differ in the output, or the features."""
    plain, again = prepared.looked.plain, prepared.looked.prepared
    one, other = (_flat(getattr(seen, name), columns) for seen in (plain, again))
    if len(one) < 2:
        return False
    rounding = float((one - other).abs().amax())
    signal = float((one[0] - one[1]).abs().amax())
    # Two that are equal may be so after rounding only.
    least = torch.finfo(prepared.dtype).eps * float(one.abs().amax())
    finite = bool(np.isfinite([rounding, signal]).all())
    return finite and max(rounding, least) > share * signal


def _one_by_one(prepared: PreparedEncoder, images: Tensor) -> list[Tensor]:
    """Output and features of every image alone, as a network may need it."""
    found = [
        prepared.outputs(prepared.preprocess(images[at : at + 1])) for at in range(len(images))
    ]
    return [torch.cat(part) for part in zip(*found, strict=True)]


def _nudged(images: Tensor, seed: int = 0) -> Tensor:
    """Images with other last bits: enough of them to be others after any layer."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, images.shape, generator=generator).mul_(2).sub_(1)
    return images * (1 + 64 * torch.finfo(images.dtype).eps * signs.to(images.device))


def _is_wide(values: Tensor) -> bool:
    """Whether values are float64, and not float32 ones that were widened."""
    return values.dtype == torch.float64 and bool((values.float().double() != values).any())


def _apart(one: Tensor, other: Tensor) -> float:
    """How far one is from another, as a share of its length; of any scale."""
    unit = float(one.abs().amax())
    if unit == 0:
        return float("inf") if bool(other.any()) else 0.0
    first, second = one.double() / unit, other.double() / unit
    return float((first - second).norm() / first.norm())


def _narrowed(row: Tensor, dtype: torch.dtype) -> Tensor:
    """A map in a narrower type; where it would vanish times a power of two: cosines stay."""
    largest = float(row.abs().amax())
    if 0 < largest < torch.finfo(dtype).tiny:
        row = row * 2.0 ** min(-math.frexp(largest)[1], 1023)
    return row.to(dtype)


def _flat(values: Tensor, columns: int | None = None) -> Tensor:
    """One row an image; an image may have one number only, without a dimension of its own."""
    return values.reshape(len(values), -1)[:, :columns].double()


def _spread(values: Tensor) -> Tensor:
    return values - values.mean(0)
