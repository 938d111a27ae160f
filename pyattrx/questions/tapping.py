"""What a method of features sees of many layers, in one pass of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pyattrx._scratch import Scratch, ScratchFile, ScratchFolder
from pyattrx.encoders import PreparedEncoder, Taps
from pyattrx.errors import PyattrxError
from pyattrx.methods import ROUNDINGS, FeatureMethod

__all__ = ["AtLayers", "BlurredError", "Rooms"]

# Rounding of a layer, relative to how two images differ in it, that is too much: regressions
# multiply it.
_CLOSE = 2e-3
_IN_MEMORY = 256 << 20


class BlurredError(PyattrxError):
    """Rounding is a good part of how images differ in some layers; `layers` has their numbers."""

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__(f"layers {list(layers)}")
        self.layers = tuple(layers)


@dataclass(frozen=True)
class AtLayers:
    """Observes what a method of features sees of every layer, as if it were output and features.

    What it observes of a layer has the layer's number before its name, ``3/output``.

    Parameters
    ----------
    inner : FeatureMethod
    taps : Taps
        The output of the encoder that it is used with.
    """

    inner: FeatureMethod
    taps: Taps
    still: dict[int, Tensor] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """That of the method."""
        return self.inner.name

    @property
    def all_units_alike(self) -> bool:
        """No: `of_layer` sees to it, layer by layer."""
        return False

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network once, and ask the method of every layer."""
        self._check_rounding(encoder)
        passes = _Passes(encoder)
        found: dict[str, Tensor] = {}
        for index in range(len(self.taps.layers)):
            view = cast(PreparedEncoder, _AtLayer(encoder, passes, self.taps, index))
            for name, part in self.inner.observe(view, images, probes).items():
                found[f"{index}/{name}"] = part
        return found

    def of_layer(self, observed: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        """Take what was observed of a layer out of all, under the names that the method gave."""
        prefix = f"{index}/"
        names = [name for name in observed if name.startswith(prefix)]
        found = {name.removeprefix(prefix): observed.pop(name) for name in names}
        if self.inner.all_units_alike and index in self.still:
            for values in found.values():
                # What differs by rounding only would count as much as any other unit.
                spread = values.amax(0).double() - values.amin(0).double()
                rounding = self.still[index]
                if spread.shape == rounding.shape:
                    still = (spread <= ROUNDINGS * rounding) & (rounding > 0)
                    values[:, still] = values[0, still]
        return found

    def _check_rounding(self, encoder: PreparedEncoder) -> None:
        """Tell whether layers are read well enough, by what was seen when the copy was made.

        Raises
        ------
        BlurredError
            Some are not.
        """
        if self.still or encoder.dtype not in (torch.float32, torch.float64):
            return
        plain, again = encoder.looked.plain.output, encoder.looked.prepared.output
        blurred = []
        for index in range(len(self.taps.layers)):
            one, other = (self.taps.part(seen, index).double() for seen in (plain, again))
            apart = (one - other).abs().amax(0)
            self.still[index] = apart.cpu()
            if len(one) < 2 or not bool(one.isfinite().all()):
                continue
            signal = float((one[0] - one[1]).abs().amax())
            least = torch.finfo(plain.dtype).eps * float(one.abs().amax())
            if max(float(apart.amax()), least) > _CLOSE * signal:
                blurred.append(index)
        if blurred:
            self.still.clear()
            raise BlurredError(blurred)


class _Passes:
    """Passes over the images of one batch: what was asked before is not run again."""

    def __init__(self, encoder: PreparedEncoder) -> None:
        self._encoder = encoder
        self._seen: list[tuple[Tensor, Tensor]] = []  # images, and as the network sees them
        self._answers: list[tuple[Tensor, tuple[Tensor, ...]]] = []

    def preprocessed(self, images: Tensor) -> Tensor:
        for known, x in self._seen:
            if known is images or (known.shape == images.shape and torch.equal(known, images)):
                return x
        self._seen.append((images, self._encoder.preprocess(images)))
        return self._seen[-1][1]

    def answers(self, x: Tensor) -> tuple[Tensor, ...]:
        for known, answers in self._answers:
            if known is x:
                return answers
        self._answers.append((x, self._encoder.each(x)))
        return self._answers[-1][1]


class _AtLayer:
    """A prepared network whose output, and features, are one of its layers."""

    def __init__(self, encoder: PreparedEncoder, passes: _Passes, taps: Taps, index: int) -> None:
        self._encoder, self._passes, self._taps, self._index = encoder, passes, taps, index

    def preprocess(self, images: Tensor, *, gradient: bool = False) -> Tensor:
        if gradient:
            return self._encoder.preprocess(images, gradient=True)
        return self._passes.preprocessed(images)

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # A method may write into what it is given.
        answer = self._passes.answers(x)[self._index]
        return answer, answer

    def forward(self, x: Tensor) -> Tensor:
        return self._taps.part(self._encoder.forward(x), self._index)

    def __getattr__(self, name: str) -> Any:  # its name, device, type, ...
        return getattr(self._encoder, name)


class Rooms:
    """Tensors for what is observed: in memory as long as they fit, then in nameless files.

    Parameters
    ----------
    scratch : path or Scratch, optional
        Where they are, and how many bytes stay in memory.
    """

    def __init__(self, scratch: ScratchFolder) -> None:
        self._scratch = Scratch.of(scratch)
        self._left = self._scratch.room(_IN_MEMORY)

    def __call__(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Make a tensor of a shape and a type, of any values."""
        made = torch.empty(0, dtype=dtype)
        size = int(np.prod(shape)) * made.element_size()
        if size <= self._left:
            self._left -= size
            return torch.empty(shape, dtype=dtype)
        file = ScratchFile(self._scratch, "layers")
        return torch.from_numpy(file.empty(shape, made.numpy().dtype))
