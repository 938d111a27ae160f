"""Whether a map, or the features, of a network are more than what rounding left of nothing.

Where the attributed scalar is constant in exact arithmetic (half the squared norm of outputs of
unit length, the mean of softmax or LayerNorm outputs), its gradient is rounding noise, and noise
has a direction: networks would be compared by it, with small standard errors. So maps that are far
smaller than what the network does to its input are computed once more in other arithmetic. Those
that are not there again are zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pyattrx.attribution import resolve_scalar
from pyattrx.descriptors import AttributionMaps
from pyattrx.encoders import PreparedEncoder
from pyattrx.encoders.passes import Pass
from pyattrx.errors import AssumptionError, PyattrxError

__all__ = ["MapFloor", "check_features", "refuse_maps"]

# Roundings of what a network does to its input that a gradient may be, and be nothing else.
_ROUNDINGS = 1000
# Share of a map that has to be there again.
_AGAIN = 0.5
# The same for float64, against float32: noise is smaller by the ratio of their roundings.
_VANISHED = 3e-8
# Maps of which a network is known by: if these are all noise, so are the others.
ENOUGH = 8
# Rounding of features, relative to how they differ between two images, that is looked at closely.
_CLOSE = 1e-2


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
        self._doubted = 0
        if _doubtful(prepared, "output"):
            self.floor = float("inf")
        else:
            self._set_floor(prepared.looked.plain)

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
        if largest == 0:  # whatever answers elsewhere is looked at
            self.floor = float("inf")
            return
        units = seen.output[0].numel()
        moved = largest * float((gradient / largest).norm(dim=1).max()) / units**0.5
        output = seen.output.detach().double().requires_grad_()
        with torch.enable_grad():
            scalar = resolve_scalar(self._descriptor.method.scalar)(output)
            if not scalar.requires_grad:
                return
            (by,) = torch.autograd.grad(scalar.sum(), output)
        self.floor = self._share * moved * float(by.flatten(1).norm(dim=1).max())
        # A scalar that is the same for different images hardly answers to any.
        spread = float((scalar.detach()[0] - scalar.detach()[-1]).abs())
        whole = float((by * output.detach()).abs().flatten(1).sum(1).max())
        if len(scalar) > 1 and spread <= self._share * whole:
            self.floor = float("inf")

    def is_noise(self, image: Tensor) -> bool:
        """Compute the map of a suspect once more, in other arithmetic.

        Parameters
        ----------
        image : Tensor [1, 3, H, W]
        """
        ours, size = self._descriptor.rows_and_sizes(self._prepared, image)
        if float(size) >= self.floor:  # meanwhile another one has shown that this is a map
            return False
        ours = ours.double()
        if not bool(ours.any()):  # there in one batch, and gone in another
            return True
        try:
            theirs = self._descriptor.rows(self._exact(), image).double()
        except PyattrxError:
            theirs = self._nudged(image)
        if self._wide:
            noise = bool(ours.norm() <= _VANISHED * theirs.norm())
        else:
            unit = ours.abs().amax()
            noise = bool(((ours - theirs) / unit).norm() > _AGAIN * (ours / unit).norm())
        if not noise:
            self.floor = min(self.floor, float(size) / 10)
        return noise

    def _nudged(self, image: Tensor) -> Tensor:
        """The map of an image with other last bits, for a network that knows one type only."""
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, image.shape, generator=generator).mul_(2).sub_(1)
        step = 4 * torch.finfo(image.dtype).eps
        moved = image * (1 + step * signs.to(image.device))
        return self._descriptor.rows(self._prepared, moved).double()


def refuse_maps(name: str, method: object, count: int, *, vanished: bool = False) -> None:
    """Refuse a network none of whose maps says anything.

    Raises
    ------
    AssumptionError
    """
    what = (
        "are zero, though its output answers to the image: its derivative is zero almost "
        "everywhere, as after rounding or in a quantised network"
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


def check_features(
    prepared: PreparedEncoder,
    exact: Callable[[], PreparedEncoder],
    images: Callable[[], Tensor],
) -> None:
    """Refuse a network whose output, or features, differ between images by rounding only.

    Parameters
    ----------
    prepared : PreparedEncoder
    exact : callable
        Returns the network in other arithmetic.
    images : callable
        Returns some probes [N, 3, H, W]; called where two images leave a doubt.

    Raises
    ------
    AssumptionError
    """
    names = ("output", "features")
    doubts = [(which, name) for which, name in enumerate(names) if _doubtful(prepared, name)]
    if not doubts:
        return
    some = images()
    ours = _one_by_one(prepared, some)
    try:
        theirs = _one_by_one(exact(), some)
    except PyattrxError:
        theirs = _one_by_one(prepared, some * (1 + 4 * torch.finfo(some.dtype).eps))
    for which, name in doubts:
        here, there = (_spread(both[which].double().flatten(1)) for both in (ours, theirs))
        largest = here.abs().amax()
        if not bool(largest > 0):
            continue
        if prepared.dtype == torch.float64:
            nothing = bool(largest <= _VANISHED * there.abs().amax())
        else:
            nothing = bool(((here - there) / largest).norm() > _AGAIN * (here / largest).norm())
        if nothing:
            raise AssumptionError(
                "features",
                f"network {prepared.name!r}: its {name} hardly varies: the differences between "
                f"{len(some)} probes are rounding errors. Choose another with {name}=",
            )


def _doubtful(prepared: PreparedEncoder, name: str) -> bool:
    """Whether rounding is a good part of how two images differ in the output, or the features."""
    plain, again = prepared.looked.plain, prepared.looked.prepared
    one, other = getattr(plain, name).double(), getattr(again, name).double()
    if len(one) < 2:
        return False
    rounding = float((one - other).abs().amax())
    signal = float((one[0] - one[1]).abs().amax())
    finite = bool(np.isfinite([rounding, signal]).all())
    return finite and signal > 0 and rounding > _CLOSE * signal


def _one_by_one(prepared: PreparedEncoder, images: Tensor) -> list[Tensor]:
    """Output and features of every image alone, as a network may need it."""
    found = [
        prepared.outputs(prepared.preprocess(images[at : at + 1])) for at in range(len(images))
    ]
    return [torch.cat(part) for part in zip(*found, strict=True)]


def _spread(values: Tensor) -> Tensor:
    return values - values.mean(0)
