"""Where the pixels of probes wait: in memory while they are few, then in a scratch file."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx._scratch import Scratch, ScratchFile, ScratchFolder

__all__ = ["PixelStore", "Pixels", "as_float32", "digest"]

Pixels = NDArray[Any]  # uint8, or float32 in [0, 1]

# Pixels kept in memory; one byte more and all of them move to a file.
_MEMORY_BYTES = 64 << 20


def as_float32(pixels: Pixels) -> NDArray[np.float32]:
    """Return float32 pixels: uint8 is divided by 255 with one correctly rounded division."""
    if pixels.dtype == np.uint8:
        return np.divide(pixels, np.float32(255), dtype=np.float32)
    return pixels


def digest(image: Pixels) -> bytes:
    """SHA-256 of the float32 pixels of one image, [3, H, W], however they are stored."""
    return hashlib.sha256(as_float32(image).astype("<f4", order="C", copy=False).data).digest()


class PixelStore:
    """Images of one shape and type: appended one by one, read in ranges.

    Parameters
    ----------
    scratch : path or Scratch, optional
        Where they go beyond 64 MiB.
    """

    def __init__(self, scratch: ScratchFolder = None) -> None:
        self._scratch = Scratch.of(scratch)
        self._room = self._scratch.room(_MEMORY_BYTES)
        self._kept: list[Pixels] = []
        self._file: ScratchFile | None = None
        self._digests = bytearray()
        self.shape: tuple[int, int, int] | None = None
        self.dtype: np.dtype[Any] | None = None

    def __len__(self) -> int:
        return len(self._digests) // 32

    def digests(self, stop: int) -> bytes:
        """Digests of the first `stop` images, 32 bytes each."""
        return bytes(self._digests[: 32 * stop])

    def append(self, image: Pixels, image_digest: bytes) -> None:
        """Add an image, [3, H, W], C order, uint8 or float32; it is kept, not copied."""
        if self.shape is None:
            self.shape, self.dtype = image.shape, image.dtype
        if self._file is None and (len(self) + 1) * image.nbytes > self._room:
            self._spill()
        if self._file is None:
            self._kept.append(image)
        else:
            self._file.write(image.data, len(self) * image.nbytes)
        self._digests += image_digest

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Images start to stop - 1 as a new array, [B, 3, H, W]."""
        return as_float32(self.raw(start, stop))

    @property
    def in_memory(self) -> bool:
        """Whether reading never waits for a file."""
        return self._file is None

    def raw(self, start: int, stop: int, out: Pixels | None = None) -> Pixels:
        """Images start to stop - 1 as they are stored; into `out`, contiguous, if it is given."""
        assert self.shape is not None
        if out is None:
            out = np.empty((stop - start, *self.shape), self.dtype)
        if self._file is None:
            for place, image in zip(out, self._kept[start:stop], strict=True):
                place[...] = image
        elif len(out):
            self._file.read(out.data, start * out[0].nbytes)
        return out

    def _spill(self) -> None:
        self._file = ScratchFile(self._scratch, "probes")
        at = 0
        for image in self._kept:
            self._file.write(image.data, at)
            at += image.nbytes
        self._kept.clear()
