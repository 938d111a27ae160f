"""Probes as one file: magic, header, digests, checksums, pixels.

``PYATTRXP`` | length of the header, u64 | XXH3-64 of all up to the pixels, u64 | header, JSON |
SHA-256 of every image, 32 bytes each | XXH3-64 of every image's bytes as stored, u64 each | images,
C order. Numbers are little-endian.
"""

from __future__ import annotations

import json
import os
import struct
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from pyattrx._files import atomic_write, read_exactly
from pyattrx.errors import InvalidTypeError, ProbeError
from pyattrx.photos import Pixels, PixelStore

__all__ = ["open_file", "write_file"]

_MAGIC = b"PYATTRXP"
_HEAD = struct.Struct("<8sQQ")
_DTYPES = {"uint8": "u1", "float32": "<f4"}


def write_file(path: Any, store: PixelStore, count: int, facts: dict[str, Any]) -> Path:
    """Write the first `count` images of a store, and what else there is to know."""
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidTypeError("path", path, "a file name")
    assert store.dtype is not None
    header = {"count": count, "shape": store.shape, "dtype": str(store.dtype), **facts}
    encoded = json.dumps(header).encode()
    checks = np.empty(count, "<u8")
    for index in range(count):
        checks[index] = xxh3_64_intdigest(_stored(store, index))
    facts_block = encoded + store.digests(count) + checks.tobytes()
    with atomic_write(path) as out:
        out.write(_HEAD.pack(_MAGIC, len(encoded), xxh3_64_intdigest(facts_block)))
        out.write(facts_block)
        for index in range(count):
            out.write(_stored(store, index))
    return Path(path)


def _stored(store: PixelStore, index: int) -> bytes:
    pixels = store.raw(index, index + 1)
    return pixels.astype(_DTYPES[str(store.dtype)], copy=False).tobytes()


def open_file(path: Any) -> tuple[PixelStore, dict[str, Any]]:
    """Open a file of probes; everything but the pixels is checked."""
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidTypeError("path", path, "a file name")
    file = open(path, "rb", buffering=0)  # noqa: SIM115, closed with the store
    try:
        return _open(file, Path(path))
    except BaseException:
        file.close()
        raise


def _open(file: Any, path: Path) -> tuple[PixelStore, dict[str, Any]]:
    size = os.fstat(file.fileno()).st_size
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or head[:8] != _MAGIC:
        raise ProbeError(f"{path}: not a file of probes")
    _, length, checksum = _HEAD.unpack(head)
    if length > size:
        raise ProbeError(f"{path}: damaged: it ends within its header")
    encoded = file.read(length)
    try:
        header = json.loads(encoded)
        count, shape, dtype = header["count"], tuple(header["shape"]), header["dtype"]
        stored = np.dtype(_DTYPES[dtype])
        image_bytes = int(np.prod(shape)) * stored.itemsize
    except (ValueError, KeyError, TypeError) as error:
        raise ProbeError(f"{path}: damaged: its header cannot be read ({error})") from error
    pixels = _HEAD.size + length + 40 * count
    if size != pixels + count * image_bytes:
        expected = pixels + count * image_bytes
        raise ProbeError(f"{path}: damaged: it has {size} bytes, expected {expected}")
    tables = file.read(40 * count)
    if xxh3_64_intdigest(encoded + tables) != checksum:
        raise ProbeError(f"{path}: damaged: the checksum of its header does not match")
    digests, checks = tables[: 32 * count], np.frombuffer(tables, "<u8", offset=32 * count)
    return _FilePixels(file, path, pixels, shape, stored, digests, checks), header


class _FilePixels(PixelStore):
    def __init__(
        self,
        file: Any,
        path: Path,
        offset: int,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        digests: bytes,
        checks: Any,
    ) -> None:
        super().__init__()
        self._digests = bytearray(digests)
        self._path = path
        self._offset = offset
        self._checks = checks
        self._handle = file
        self.shape, self.dtype = shape, np.dtype(dtype.newbyteorder("="))
        weakref.finalize(self, file.close)

    def append(self, image: Pixels, image_digest: bytes) -> None:
        raise AssertionError("a saved file of probes does not grow")

    @property
    def in_memory(self) -> bool:
        return False

    def raw(self, start: int, stop: int, out: Pixels | None = None) -> Pixels:
        assert self.shape is not None
        assert self.dtype is not None
        if out is None:
            out = np.empty((stop - start, *self.shape), self.dtype)
        if not len(out):
            return out
        view = out.data.cast("B")
        complete = read_exactly(self._handle.fileno(), view, self._offset + start * out[0].nbytes)
        for index, image in enumerate(out, start):
            if not complete or xxh3_64_intdigest(image.data) != self._checks[index]:
                raise ProbeError(f"{self._path}: damaged: the pixels of probe {index}")
        return out
