"""Where the pixels of probes wait: in memory while they are few, then in a scratch file."""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx._files import read_exactly, write_all
from pyattrx.errors import InvalidTypeError, InvalidValueError, ProbeError

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
    scratch : path, optional
        Folder of the scratch file; the system's temporary folder if left out.
    """

    def __init__(self, scratch: str | os.PathLike[str] | None = None) -> None:
        if scratch is not None and not isinstance(scratch, (str, os.PathLike)):
            raise InvalidTypeError("scratch", scratch, "the path of a folder")
        if scratch is not None and not Path(scratch).is_dir():
            raise InvalidValueError("scratch", str(scratch), "an existing folder")
        self._folder = scratch
        self._kept: list[Pixels] = []
        self._file: int | None = None
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
        if self._file is None and (len(self) + 1) * image.nbytes > _MEMORY_BYTES:
            self._spill()
        if self._file is None:
            self._kept.append(image)
        else:
            self._write(self._file, image, len(self) * image.nbytes)
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
            self._read_file(self._file, out, start * out[0].nbytes)
        return out

    def _spill(self) -> None:
        try:
            # Nameless, so that its space is given back whatever happens to this process.
            file = tempfile.TemporaryFile(  # noqa: SIM115
                prefix="pyattrx-probes-", dir=self._folder, buffering=0
            )
        except OSError as error:
            raise self._full(error) from error
        weakref.finalize(self, file.close)
        self._file = file.fileno()
        at = 0
        for image in self._kept:
            self._write(self._file, image, at)
            at += image.nbytes
        self._kept.clear()

    def _write(self, file: int, image: Pixels, at: int) -> None:
        try:
            write_all(file, image.data, at)
        except OSError as error:
            raise self._full(error) from error

    def _read_file(self, file: int, out: Pixels, at: int) -> None:
        # At given positions, so that threads and forked processes may read at the same time.
        if not read_exactly(file, out.data.cast("B"), at):
            raise ProbeError("the scratch file of probes ended early")

    def _full(self, error: OSError) -> ProbeError:
        folder = tempfile.gettempdir() if self._folder is None else self._folder
        return ProbeError(
            f"cannot write the scratch file of probes in {folder}: {error.strerror}; "
            "another folder can be chosen with scratch="
        )
