"""A network as an attribution sees it: its output, its inner layer, and how images reach it."""

from __future__ import annotations

from torch import Tensor

from pyattrx.encoders import PreparedEncoder

__all__ = ["Network"]


class Network:
    """What an attribution may ask of a network. Called, it is the network's output.

    Parameters
    ----------
    encoder : PreparedEncoder
    size : (int, int)
        Height and width of the probes.

    Attributes
    ----------
    name : str
    size : (int, int)
    batch_size : int
        Images in one pass, at most.

    Examples
    --------
    Gradient times activation at an inner layer, as a method of one's own:

    >>> import torch, pyattrx
    >>> class GradXActivation(pyattrx.InputAttribution):
    ...     name, combine, inner = "grad_x_activation", "identity", True
    ...     def gradient(self, network, x, scalar):
    ...         with torch.enable_grad():
    ...             output, features = network.through(x)
    ...             (gradient,) = torch.autograd.grad(scalar(output).sum(), features)
    ...         return gradient * features
    >>> body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> encoder = pyattrx.Encoder(body, features="0")
    >>> pyattrx.attribute(encoder, torch.rand(2, 3, 8, 8), GradXActivation()).shape
    torch.Size([2, 8, 8])
    """

    def __init__(self, encoder: PreparedEncoder, size: tuple[int, int]) -> None:
        self._encoder = encoder
        self.name = encoder.name
        self.size = size
        self.batch_size = encoder.batch_size

    def __call__(self, x: Tensor) -> Tensor:
        """Return the output [N, ...] for what the network sees; differentiable."""
        return self._encoder.forward(x)

    def through(self, x: Tensor, inner: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output, and the answer of the inner layer that it comes from, of one pass.

        Parameters
        ----------
        x : Tensor [N, C, H, W]
            What the network sees. The layer's answer depends on it only if it asks for a gradient.
        inner : Tensor [N, ...], optional
            What goes on from the layer in the place of its own answer.

        Returns
        -------
        output, features : Tensor [N, ...]
            Where gradients are switched on, the output can be differentiated by the features.

        Raises
        ------
        EncoderError
            ``Encoder(features=...)`` names no layer, or the output does not come after it.
        """
        return self._encoder.through(x, inner)

    def preprocess(self, images: Tensor) -> Tensor:
        """Turn images [N, 3, H, W] in [0, 1] into what the network sees."""
        return self._encoder.preprocess(images)
