"""Rows on disk: append-only files of records, every row with a checksum of its own.

A record is rows, one after another, and then the XXH3-64 of each of them. The checksums are seeded
with the record's identity and the row's number, so that bytes that are right but in the wrong
place do not pass. What is in a file is never written again nor cut off: a writer begins behind it,
whatever the catalog says, and takes back no more than what it wrote itself.

Files are read at given positions, not mapped: a file that is cut short by someone else then is an
error that can be reported, where a mapping would kill the process, and rows of a million networks
do not pile up in the memory of this one.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from xxhash import xxh3_64_intdigest

from pyattrx._files import read_exactly, sync_folder, write_all
from pyattrx.errors import ZooDamagedError

__all__ = ["Appender", "Record", "RecordWriter", "Segments", "segment_name", "segment_sizes"]

# A segment that has reached this size is not appended to.
SEGMENT_BYTES = 1 << 30
_ALIGNMENT = 64
_OPEN_FILES = 64
_MASK = (1 << 64) - 1
_DTYPES = {
    name: getattr(torch, name) for name in ("float32", "float64", "float16", "bfloat16", "int8")
}


def segment_name(segment: int) -> str:
    """File name of a segment."""
    return f"{segment:06d}.rows"


@dataclass(frozen=True)
class Record:
    """Where rows lie, and what they are.

    Parameters
    ----------
    segment, offset : int
        File and first byte.
    rows, width : int
    dtype : str
        Name of a torch type.
    identity : int
        Seed of the checksums, 64 bits.
    checksum : int
        XXH3-64 of the rows' checksums.
    """

    segment: int
    offset: int
    rows: int
    width: int
    dtype: str
    identity: int
    checksum: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.width * int(_DTYPES[self.dtype].itemsize)

    @property
    def length(self) -> int:
        """Bytes of the record, checksums included."""
        return self.rows * (self.row_bytes + 8)


class Segments:
    """The folder of segment files, for reading.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: OrderedDict[int, int] = OrderedDict()

    def read(self, record: Record, probes: np.ndarray | None = None) -> Tensor:
        """Read rows of a record.

        Parameters
        ----------
        record : Record
        probes : ndarray [B], int64, optional
            Numbers of rows, in any order; all of them if left out.

        Returns
        -------
        Tensor [B, width]

        Raises
        ------
        ZooDamagedError
            The file is missing or shorter than it was, or a checksum does not match.
        """
        file = self._file(record.segment)
        if probes is None:
            both = np.empty(record.length, np.uint8)
            self._fill(file, record, both, record.offset)
            rows = both[: record.rows * record.row_bytes]
            checks = both[record.rows * record.row_bytes :].view("<u8")
            probes = np.arange(record.rows)
        else:
            checks = np.empty(record.rows, "<u8")
            self._fill(
                file, record, checks.view(np.uint8), record.offset + record.rows * record.row_bytes
            )
            rows = np.empty(len(probes) * record.row_bytes, np.uint8)
            for start, stop in _runs(probes):
                part = rows[start * record.row_bytes : stop * record.row_bytes]
                at = record.offset + int(probes[start]) * record.row_bytes
                self._fill(file, record, part, at)
        if xxh3_64_intdigest(checks.data, record.identity) != record.checksum:
            raise ZooDamagedError(
                f"{segment_name(record.segment)}: checksums at byte {record.offset}"
            )
        for index, probe in enumerate(probes.tolist()):
            data = rows[index * record.row_bytes : (index + 1) * record.row_bytes].data
            if xxh3_64_intdigest(data, (record.identity + probe) & _MASK) != checks[probe]:
                at = record.offset + probe * record.row_bytes
                raise ZooDamagedError(f"{segment_name(record.segment)}: row at byte {at}")
        return torch.from_numpy(rows).view(_DTYPES[record.dtype]).view(len(probes), record.width)

    def read_first(self, record: Record) -> bytes | None:
        """The bytes of a record of one row, or None where anything is wrong: for many at once."""
        try:
            both = os.pread(self._file(record.segment), record.length, record.offset)
        except (OSError, ZooDamagedError):
            return None
        row, check = both[: record.row_bytes], both[record.row_bytes :]
        if (
            len(both) != record.length
            or xxh3_64_intdigest(row, record.identity) != int.from_bytes(check, "little")
            or xxh3_64_intdigest(check, record.identity) != record.checksum
        ):
            return None
        return row

    def close(self) -> None:
        """Close all files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _file(self, segment: int) -> int:
        if segment in self._files:
            self._files.move_to_end(segment)
            return self._files[segment]
        try:
            file = os.open(self.folder / segment_name(segment), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ZooDamagedError(f"{segment_name(segment)}: {error.strerror}") from error
        self._files[segment] = file
        if len(self._files) > _OPEN_FILES:
            os.close(self._files.popitem(last=False)[1])
        return file

    @staticmethod
    def _fill(file: int, record: Record, into: np.ndarray, at: int) -> None:
        try:
            complete = read_exactly(file, into.data, at)
        except OSError as error:
            raise ZooDamagedError(f"{segment_name(record.segment)}: {error.strerror}") from error
        if not complete:
            raise ZooDamagedError(f"{segment_name(record.segment)}: the file ends before byte {at}")


def segment_sizes(folder: Path) -> dict[int, int]:
    """Bytes of every segment file that there is."""
    found = {}
    for path in folder.glob("[0-9]*.rows"):
        if path.stem.isdigit():
            found[int(path.stem)] = path.stat().st_size
    return found


def _runs(probes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of neighbouring rows."""
    starts = np.flatnonzero(np.diff(probes, prepend=probes[:1] - 2) != 1).tolist()
    yield from zip(starts, [*starts[1:], len(probes)], strict=True)


class Appender:
    """Appends records to one segment; nothing counts until the catalog says so.

    Parameters
    ----------
    folder : Path
    segment : int
    """

    def __init__(self, folder: Path, segment: int) -> None:
        self.segment = segment
        path = folder / segment_name(segment)
        created = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if created:
                sync_folder(folder)
            # Behind everything, also behind what a process that was killed left unfinished.
            self.end = self._committed = os.fstat(self._file).st_size
        except BaseException:
            os.close(self._file)
            raise

    def begin(self, rows: int, like: Tensor, identity: int) -> RecordWriter:
        """Make place for rows such as those of `like`, [B, width]."""
        offset = -(-self.end // _ALIGNMENT) * _ALIGNMENT
        dtype = str(like.dtype).removeprefix("torch.")
        record = Record(self.segment, offset, rows, like.shape[1], dtype, identity, 0)
        self.end = offset + record.length
        return RecordWriter(self._file, record)

    def sync(self) -> None:
        """Make what was written durable."""
        os.fsync(self._file)
        self._committed = self.end

    def close(self) -> None:
        """Close the file, without what was not made durable."""
        try:
            if self.end > self._committed:
                os.ftruncate(self._file, self._committed)
        finally:
            os.close(self._file)


class RecordWriter:
    """Takes the rows of a record, in any order."""

    def __init__(self, file: int, record: Record) -> None:
        self._file = file
        self._record = record
        self._checks = np.zeros(record.rows, "<u8")
        self._missing = record.rows

    def write(self, first: int, rows: Tensor) -> None:
        """Write rows first, first + 1, ..."""
        record = self._record
        data = rows.detach().cpu().contiguous().view(torch.uint8).numpy().data.cast("B")
        for index in range(len(rows)):
            row = data[index * record.row_bytes : (index + 1) * record.row_bytes]
            seed = (record.identity + first + index) & _MASK
            self._checks[first + index] = xxh3_64_intdigest(row, seed)
        write_all(self._file, data, record.offset + first * record.row_bytes)
        self._missing -= len(rows)

    def finish(self) -> Record:
        """Write the checksums; return where everything is."""
        assert self._missing == 0
        record = self._record
        write_all(self._file, self._checks.data, record.offset + record.rows * record.row_bytes)
        checksum = xxh3_64_intdigest(self._checks.data, record.identity)
        return Record(**{**record.__dict__, "checksum": checksum})
