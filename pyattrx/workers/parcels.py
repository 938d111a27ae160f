"""Results on their way between processes of one machine: large arrays go through files."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyattrx.errors import ScratchError

__all__ = ["Parcel", "pack", "unpack"]

_INLINE_BYTES = 1 << 20  # arrays of a result that go with it
_ALIGNED = 64


@dataclass(frozen=True)
class Parcel:
    """A pickled value, and its arrays beside it.

    Attributes
    ----------
    data : bytes
    arrays : sequence of bytes
        Where they are few.
    file : str or None
        Where they are many: a file that belongs to whoever unpacks it.
    places : sequence of (int, int)
        First byte and size of each array in the file.
    """

    data: bytes
    arrays: Sequence[bytes] = ()
    file: str | None = None
    places: Sequence[tuple[int, int]] = ()


def pack(value: Any, folder: str) -> Parcel:
    """Pickle a value; arrays of more than 1 MiB together go to a file in a folder.

    Raises
    ------
    ScratchError
        The file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.workers.parcels import pack, unpack
    >>> unpack(pack({"ones": np.ones(3)}, "/tmp"))
    {'ones': array([1., 1., 1.])}
    """
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    if sum(one.nbytes for one in raw) <= _INLINE_BYTES:
        return Parcel(data, [bytes(one) for one in raw])
    places = []
    path = None
    try:
        file, path = tempfile.mkstemp(prefix="result-", dir=folder)
        with os.fdopen(file, "wb") as out:
            for one in raw:
                out.seek(-out.tell() % _ALIGNED, os.SEEK_CUR)
                places.append((out.tell(), one.nbytes))
                out.write(one)
    except OSError as error:
        if path is not None:
            os.unlink(path)
        message = f"a worker cannot write its result in {folder}: {error.strerror}"
        raise ScratchError(message) from error
    return Parcel(data, (), path, places)


def unpack(parcel: Parcel) -> Any:
    """Return what was packed; arrays of a file are mapped, and the file is gone with them."""
    if parcel.file is None:
        return pickle.loads(parcel.data, buffers=[bytearray(one) for one in parcel.arrays])
    try:
        # Private: whoever writes to an array writes to a copy.
        mapped = np.memmap(parcel.file, np.uint8, "c")
    finally:
        os.unlink(parcel.file)
    views = [mapped[at : at + size].data for at, size in parcel.places]
    return pickle.loads(parcel.data, buffers=views)
