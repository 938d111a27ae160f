"""Attribution to an inner layer, along a path from a baseline to the image."""

from __future__ import annotations

import torch
from torch import Tensor

from pyattrx._checks import integer
from pyattrx.errors import EncoderError, InvalidValueError
from pyattrx.methods.attribution import Forward, InputAttribution, differentiated
from pyattrx.methods.network import Network
from pyattrx.methods.paths import baseline_of, checked_baseline, gauss_legendre, shown_baseline
from pyattrx.methods.scalars import Scalar

__all__ = ["INNER", "InnerAttribution"]

INNER = {
    "conductance": "what of the output flows through an inner layer on a path from black "
    "(conductance, Dhamdhere et al. 2019)",
    "naa": "change of an inner layer times its mean gradient on a path from black (NAA, Zhang et "
    "al. 2022, without noise)",
    "layer_ig": "integrated gradients of what comes after an inner layer, from what it answers to "
    "black",
}


class InnerAttribution(InputAttribution):
    """Attribution to an inner layer: the one that ``Encoder(features=...)`` names.

    For a layer y(x), the scalar F and the straight path x_a = x' + a (x - x') from a baseline x' to
    the image x, with n steps:

    - ``"conductance"``: sum over k < n of dF/dy at x_{k/n}, times y(x_{(k+1)/n}) - y(x_{k/n}). The
      sum over the layer tends to F(x) - F(x') as n grows, if all of F goes through the layer.
    - ``"naa"``: y(x) - y(x') times the mean of dF/dy at x_1, x_{(n-1)/n}, ..., x_{1/n}. The product
      of means has no such sum.
    - ``"layer_ig"``: y(x) - y(x') times the mean of dF/dy where y itself goes straight from y(x')
      to y(x), by a Gauss-Legendre rule; the rest of the network sees x. Its sum is that of
      conductance, and nearly exact.

    Maps are the layer's, of its height and width, resampled to the grid of the method as all maps
    are, and the mean over its channels unless the method says otherwise.

    Parameters
    ----------
    name : {"conductance", "naa", "layer_ig"}
    steps : int
        Points on the path, at least 1. An image takes one or two passes more than that.
    baseline : float, sequence of three, or tensor [3, H, W]
        Where paths begin: a gray level, a color or an image in [0, 1], preprocessed as probes are.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For any of them. When a network is run, `EncoderError` if it names no layer as its
        features, or one that does not answer with maps [N, C, H, W].

    Notes
    -----
    Dhamdhere, Sundararajan, Yan: *How important is a neuron?*, ICLR 2019; Zhang et al.: *Improving
    adversarial transferability via neuron attribution-based attacks*, CVPR 2022; Sundararajan,
    Taly, Yan: *Axiomatic attribution for deep networks*, ICML 2017. These are captum's
    LayerConductance with ``method="riemann_trapezoid"`` (of which only the points count there, not
    the weights), the layer's change times InternalInfluence with ``"riemann_right"``, and
    LayerIntegratedGradients with ``"gausslegendre"``, each with as many steps and the method's
    scalar. The published NAA adds noise to the points, attributes the softmax of the label, and
    divides the sum of gradients by its length; here there is no noise and no label, and the length
    is of no matter to a cosine.

    Memory does not grow with the steps.

    Examples
    --------
    >>> import torch, pyattrx
    >>> first, last = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 2, 3)
    >>> body = torch.nn.Sequential(first, torch.nn.Tanh(), last)
    >>> network = pyattrx.Encoder(body, name="small", features="1")
    >>> images = torch.rand(2, 3, 8, 8)
    >>> method = pyattrx.Method(pyattrx.InnerAttribution("conductance", steps=8), grid=(6, 6))
    >>> pyattrx.attribute(network, images, method).shape
    torch.Size([2, 6, 6])
    """

    combine = "identity"
    inner = True

    def __init__(self, name: str = "conductance", steps: int = 30, baseline: object = 0.0) -> None:
        if name not in INNER:
            raise InvalidValueError("name", name, f"one of {', '.join(map(repr, INNER))}")
        self.name = name
        self.steps = integer("steps", steps, least=1)
        self.baseline = checked_baseline(baseline)

    def gradient(self, forward: Forward, x: Tensor, scalar: Scalar) -> Tensor:
        """Run the network along the paths of a batch; return the attribution [N, C, H, W]."""
        if not isinstance(forward, Network):
            raise InvalidValueError("forward", forward, "a Network, which knows the inner layer")
        path = _Path(forward, x, baseline_of(forward, x, self.baseline), scalar)
        rule = {"conductance": path.conductance, "naa": path.naa, "layer_ig": path.layer_ig}
        return rule[self.name](self.steps)

    def __repr__(self) -> str:
        baseline = shown_baseline(self.baseline)
        return f"InnerAttribution({self.name!r}, steps={self.steps}, baseline={baseline})"


class _Path:
    """What a layer answers, and the output's derivative by it, along a path."""

    def __init__(self, network: Network, x: Tensor, start: Tensor, scalar: Scalar) -> None:
        self._network = network
        self._x = x
        self._start = start
        self._scalar = scalar

    def conductance(self, steps: int) -> Tensor:
        by, here = self._derivative(self._at(0.0))
        total = torch.zeros_like(here)
        for step in range(1, steps + 1):
            point = self._at(step / steps)
            if step < steps:
                by_next, there = self._derivative(point)
            else:
                by_next, there = by, self._features(point)  # not needed any more
            total += by * (there - here)
            by, here = by_next, there
        return total

    def naa(self, steps: int) -> Tensor:
        total, there = self._derivative(self._x)
        for step in range(1, steps):
            total = total + self._derivative(self._at((steps - step) / steps))[0]
        return (there - self._features(self._at(0.0))) * (total / steps)

    def layer_ig(self, steps: int) -> Tensor:
        first, last = self._features(self._at(0.0)), self._features(self._x)
        total = torch.zeros_like(last)
        for point, weight in zip(*gauss_legendre(steps), strict=True):
            inner = first + float(point) * (last - first)
            total += float(weight) * self._derivative(self._x, inner)[0]
        return (last - first) * total

    def _at(self, share: float) -> Tensor:
        if share == 1:
            return self._x
        there = self._start + share * (self._x - self._start)
        # As the network wants its input laid out.
        plain = self._x.is_contiguous()
        return there if plain else there.contiguous(memory_format=torch.channels_last)

    def _features(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._maps(self._network.through(x)[1])

    def _derivative(self, x: Tensor, inner: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Derivative of the scalar by the layer's answer, and this answer."""
        with torch.enable_grad():
            output, features = self._network.through(x.detach(), inner)
            by = differentiated(self._scalar(output).sum(), features)
        if by is None:
            raise EncoderError(
                f"network {self._network.name!r}: the output does not depend on the layer of "
                "features= through differentiable operations; name another"
            )
        return by, self._maps(features.detach())

    def _maps(self, features: Tensor) -> Tensor:
        if features.dim() != 4:
            raise EncoderError(
                f"network {self._network.name!r}: the layer of features= answers "
                f"{['N', *features.shape[1:]]}, which is no map: name one that answers "
                "[N, C, H, W]"
            )
        return features
