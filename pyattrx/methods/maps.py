"""Attribution maps of a network: one row per probe, as few passes as the attribution takes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyattrx import ops
from pyattrx._hashing import GOLDEN, mixed
from pyattrx.encoders import PreparedEncoder
from pyattrx.errors import EncoderError, InvalidValueError, PyattrxError
from pyattrx.methods.map_method import Method
from pyattrx.methods.network import Network
from pyattrx.methods.scalars import resolve_scalar

__all__ = ["AttributionMaps", "choose_pixels"]


class AttributionMaps:
    """Attribution maps of any network, on one grid, under one method.

    Parameters
    ----------
    method : Method
    size : (int, int)
        Height and width of the probes, the grid unless the method has its own.

    Raises
    ------
    InvalidValueError
        ``method.pixels`` exceeds the map.
    """

    def __init__(self, method: Method, size: tuple[int, int]) -> None:
        self.method = method
        self.grid = method.grid or size
        self._attribution = method.traced
        self._scalar = resolve_scalar(method.scalar)
        area = self.grid[0] * self.grid[1]
        if method.pixels is not None and method.reduce != "none" and method.pixels > area:
            raise InvalidValueError("pixels", method.pixels, f"at most {area}, the pixels of a map")
        self._size = size
        self._chosen: dict[int, Tensor] = {}
        self._chosen_there: dict[tuple[int, torch.device], Tensor] = {}

    @property
    def maps(self) -> int:
        """How many maps a row holds: images of a pass are fewer by that."""
        return self._attribution.maps

    def rows(self, encoder: PreparedEncoder, images: Tensor) -> Tensor:
        """Describe a batch of probes: the maps of `rows_and_sizes`."""
        return self.rows_and_sizes(encoder, images)[0]

    def rows_and_sizes(self, encoder: PreparedEncoder, images: Tensor) -> tuple[Tensor, Tensor]:
        """Describe a batch of probes.

        Parameters
        ----------
        encoder : PreparedEncoder
        images : Tensor [N, 3, H, W]
            Probes, float32 in [0, 1], on any device.

        Returns
        -------
        maps : Tensor [N, D]
            Not normalised, unless the attribution says so, on the encoder's device; float64 for a
            float64 network, float32 otherwise. Those of a field one behind another. Zero where the
            output does not depend on the input at all.
        sizes : Tensor [N], float64
            Norms of what the attribution's backward pass left; of a centered map as much of them as
            centering left of the map.

        Raises
        ------
        EncoderError
            The network fails, or depends on its input in a way that has no derivative.
        """
        x = encoder.preprocess(images)
        gradient = self._gradient(encoder, x)
        if gradient is None:
            encoder.explain_no_gradient(x)  # raises unless the input is ignored
            gradient = x.new_zeros(len(x), *([self.maps] if self.maps > 1 else []), *x.shape[1:])
        self._check_shape(encoder, gradient, x)
        return self.of_gradient_and_sizes(gradient, x)

    def of_gradient_and_sizes(self, gradient: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Make what `rows_and_sizes` returns of what a backward pass left, [N, C, H, W], at x."""
        gradient = gradient.detach()
        sizes = torch.linalg.vector_norm(gradient.flatten(1), dim=1, dtype=torch.float64)
        maps, left = self._made(gradient, x)
        return maps, sizes if left is None else sizes * left

    def adjoint(self, rows: Tensor, x: Tensor) -> Tensor:
        """Transpose of what makes maps of gradients: where it is linear, what a row asks of them.

        Parameters
        ----------
        rows : Tensor [N, D]
        x : Tensor [N, C, H, W]
            What the network saw.

        Returns
        -------
        Tensor [N, C, H, W]
            Its inner product with any gradient g is that of `rows` with ``of_gradient(g, x)``, but
            for rounding.

        Raises
        ------
        InvalidValueError
            The method is not linear in the gradient: saliency, "abs_mean", or rounded maps.

        Examples
        --------
        >>> import torch, pyattrx
        >>> maps = pyattrx.AttributionMaps(pyattrx.Method(grid=(2, 2)), (4, 4))
        >>> x, g, rows = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), torch.rand(1, 4)
        >>> one, other = (maps.of_gradient(g, x) * rows).sum(), (maps.adjoint(rows, x) * g).sum()
        >>> bool((one - other).abs() < 1e-6)
        True
        """
        method, combine = self.method, self._attribution.combine
        if combine == "saliency" or method.reduce == "abs_mean" or method.storage is not None:
            expected = "one that is linear in the gradient: no magnitudes, and no storage"
            raise InvalidValueError("method", str(method), expected)
        count, channels, height, width = x.shape
        kept = channels if method.reduce == "none" else 1
        if method.pixels is not None:
            whole = rows.new_zeros(count, kept * self.grid[0] * self.grid[1])
            whole[:, self._pixels_on(rows.device, whole.shape[1])] = rows
            rows = whole
        if method.center:
            rows = rows - rows.mean(1, keepdim=True)
        image = rows.view(count, kept, *self.grid)
        if (height, width) != self.grid:
            with torch.enable_grad():
                zero = image.new_zeros(count, kept, height, width, requires_grad=True)
                resampled = F.interpolate(zero, size=self.grid, mode="area")
                (image,) = torch.autograd.grad(resampled, zero, image)
        if method.reduce == "mean":
            image = image.expand(count, channels, height, width) / channels
        image = image.to(x.dtype)
        return image * x if combine == "grad_x_input" else image

    def _gradient(self, encoder: PreparedEncoder, x: Tensor) -> Tensor | None:
        try:
            self._attribution.check(encoder.module)
            network = Network(encoder, self._size)
            if self._attribution.inner:
                # What several passes answered, put together, is no layer that an output is made of.
                (found,) = encoder.sizes.run(lambda part: [self._inner(network, part)], x)
                return found
            return self._attribution.gradient(network, x, self._scalar)
        except EncoderError as error:
            named = encoder.name in str(error)
            raise error if named else EncoderError(f"network {encoder.name!r}: {error}") from error
        except PyattrxError:
            raise
        except Exception as error:
            remedy = encoder.remedy and f"; {encoder.remedy}"
            raise EncoderError(
                f"network {encoder.name!r} cannot be differentiated: "
                f"{type(error).__name__}: {error}{remedy}"
            ) from error

    def _inner(self, network: Network, x: Tensor) -> Tensor:
        found = self._attribution.gradient(network, x, self._scalar)
        if found is None:
            raise EncoderError(f"the attribution {self._attribution!r} found no derivative")
        return found

    def _check_shape(self, encoder: PreparedEncoder, gradient: Tensor, x: Tensor) -> None:
        own = self._attribution.combine == "identity"
        wanted: tuple[int, ...] = tuple(gradient.shape[-3:] if own else x.shape[1:])
        if self.maps > 1:
            wanted = (self.maps, *wanted)
        if tuple(gradient.shape) != (len(x), *wanted):
            raise EncoderError(
                f"network {encoder.name!r}: the attribution {self._attribution!r} returned shape "
                f"{tuple(gradient.shape)} for an input of shape {tuple(x.shape)}"
            )

    def of_gradient(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Make maps [N, D] of what the attribution's backward pass left, [N, C, H, W], at x."""
        return self._made(gradient, x)[0]

    def _made(self, gradient: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Maps, and the share of each that centering has left of it."""
        if self.maps == 1:
            return self._map(gradient, x)
        # One behind another; without an input of their own, which only one map could be of.
        maps, left = self._map(gradient.flatten(0, 1), gradient.flatten(0, 1))
        if self._attribution.unit_maps:
            maps = ops.attribution_maps(maps[:, None, None], None, "identity", "none")
        left = None if left is None else left.view(len(gradient), -1).amax(1)
        return maps.view(len(gradient), -1), left

    def _map(self, gradient: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
        left = None
        count, channels, height, width = gradient.shape
        kept = channels if self.method.reduce == "none" else 1
        # What has to be resampled or centered is needed whole.
        whole = (height, width) != self.grid or self.method.center or self.method.pixels is None
        maps = ops.attribution_maps(
            gradient.to(x.dtype),
            x,
            self._attribution.combine,
            self.method.reduce,
            normalize=False,
            places=None if whole else self._pixels(kept * height * width),
        )
        if (height, width) != self.grid:
            image = maps.view(count, kept, height, width)
            maps = F.interpolate(image, size=self.grid, mode="area").flatten(1)
        if self.method.center:
            # In float64, so that a constant map becomes zero and not what rounding left of it.
            wide = maps.double()
            centered = wide - wide.mean(1, keepdim=True)
            norm = wide.norm(dim=1)
            left = centered.norm(dim=1) / torch.where(norm > 0, norm, 1.0)
            maps = centered.to(maps.dtype)
        if whole and self.method.pixels is not None:
            maps = maps[:, self._pixels_on(maps.device, maps.shape[1])]
        return maps, left

    def _pixels_on(self, device: torch.device, size: int) -> Tensor:
        if (size, device) not in self._chosen_there:
            # Waited for once, so that it is there for any stream.
            self._chosen_there[size, device] = self._pixels(size).to(device)
        return self._chosen_there[size, device]

    def _pixels(self, size: int) -> Tensor:
        if size not in self._chosen:
            assert self.method.pixels is not None
            if self.method.pixels > size:
                raise InvalidValueError("pixels", self.method.pixels, f"at most {size}")
            chosen = choose_pixels(size, self.method.pixels, self.method.pixel_seed)
            self._chosen[size] = torch.from_numpy(chosen)
        return self._chosen[size]


def choose_pixels(size: int, count: int, seed: int) -> np.ndarray:
    """Choose `count` of `size` elements at random, the same on every machine and version.

    Elements are ranked by a 64-bit hash (the SplitMix64 finaliser) of seed and place.

    Returns
    -------
    ndarray [count], int64, rising

    Examples
    --------
    >>> from pyattrx.methods import choose_pixels
    >>> len(choose_pixels(100, 10, seed=0))
    10
    """
    with np.errstate(over="ignore"):
        keys = (np.arange(size, dtype=np.uint64) + np.uint64(1)) * GOLDEN
        keys ^= np.uint64(seed) * np.uint64(0xD1342543DE82EF95)
    z = mixed(keys)
    return np.sort(np.argsort(z, kind="stable")[:count]).astype(np.int64)
