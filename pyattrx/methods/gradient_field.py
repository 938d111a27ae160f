"""ModelGiF: how integrated gradients grow along a path, as a description of a network."""

from __future__ import annotations

import torch
from torch import Tensor

from pyattrx._checks import flag, integer
from pyattrx.methods.attribution import Forward, InputAttribution
from pyattrx.methods.paths import baseline_of, checked_baseline, gauss_legendre, shown_baseline
from pyattrx.methods.scalars import Scalar

__all__ = ["GradientField"]


class GradientField(InputAttribution):
    """Integrated gradients that grow along a path from black (ModelGiF, Song et al. 2023).

    On a straight path from a baseline x' to the image x, at the points a_1 < ... < a_S of a
    Gauss-Legendre rule with weights w_k, the field of a network with scalar F has the maps ::

        F_k = (x - x') * sum over l <= k of w_l * dF(x' + a_l (x - x')) / dx

    of which the last is integrated gradients. A row is all S maps, each over its own length, so
    that the cosine of two rows is the mean over the steps of the cosines of their maps (steps on
    which a map is zero are left out of its length).

    Parameters
    ----------
    steps : int
        Points on the path, at least 1; passes an image.
    baseline : float, sequence of three, or tensor [3, H, W]
        Where paths begin: a gray level, a color or an image in [0, 1], preprocessed as probes are.
    unit_steps : bool
        Whether each map is brought to unit length. If not, a row is the field as it is, in which
        the maps nearer to the image count for more.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For any of them.

    Notes
    -----
    Song, Xu, Wu, Chen, Song: *ModelGiF: Gradient Fields for Model Functional Distance*, ICCV 2023.
    The published software takes another probe as the baseline unless it is told otherwise, and for
    networks that answer with maps the sum over channels of each channel's largest value; here the
    scalar is the method's, and the baseline is the same for all probes: it takes part in every
    score, but needs no second image.

    A pass takes `batch_size` points of the path, of one image or several: memory does not grow with
    the steps, but a row does: S times as long as a map. ``grid=``, ``pixels=`` (the same of every
    map) and ``storage=`` make it shorter.

    Examples
    --------
    >>> import pyattrx
    >>> method = pyattrx.Method("gradient_field", steps=10)
    >>> pyattrx.Method(pyattrx.methods.GradientField(10)).name == method.name
    True
    """

    name = "gradient_field"
    combine = "identity"

    def __init__(self, steps: int = 50, baseline: object = 0.0, unit_steps: bool = True) -> None:
        self.steps = integer("steps", steps, least=1)
        self.baseline = checked_baseline(baseline)
        self.unit_steps = flag("unit_steps", unit_steps)

    @property
    def maps(self) -> int:
        """One a step."""
        return self.steps

    @property
    def unit_maps(self) -> bool:
        """Whether each is brought to unit length."""
        return self.unit_steps

    def gradient(self, forward: Forward, x: Tensor, scalar: Scalar) -> Tensor | None:
        """Run the network along the paths of a batch.

        Returns
        -------
        Tensor [N, steps, C, H, W] or None
            The field, as for every attribution.
        """
        start = baseline_of(forward, x, self.baseline)
        points, weights = (torch.tensor(one, dtype=x.dtype) for one in gauss_legendre(self.steps))
        points, weights = points.to(x.device), weights.to(x.device)
        path = x - start
        field = x.new_zeros(len(x) * self.steps, *x.shape[1:])
        at_once = getattr(forward, "batch_size", len(field))
        found = False
        for first in range(0, len(field), at_once):
            numbers = torch.arange(first, min(first + at_once, len(field)), device=x.device)
            image, step = numbers // self.steps, numbers % self.steps
            there = start + points[step, None, None, None] * path[image]
            if not x.is_contiguous():
                there = there.contiguous(memory_format=torch.channels_last)
            gradient = super().gradient(forward, there, scalar)
            if gradient is not None:
                found = True
                torch.mul(
                    gradient, weights[step, None, None, None], out=field[first : first + len(step)]
                )
        if not found:
            return None
        field = field.view(len(x), self.steps, *x.shape[1:]).cumsum_(1)
        return field.mul_(path[:, None])

    def __repr__(self) -> str:
        return (
            f"GradientField(steps={self.steps}, baseline={shown_baseline(self.baseline)}, "
            f"unit_steps={self.unit_steps})"
        )
