"""Where map rows wait until they are compared: device memory, host memory, then a scratch file.

Rows arrive network by network and leave probe by probe. What is kept in memory is bounded by fixed
budgets, so that neither the number of networks nor that of probes decides how much memory a run
needs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyattrx._closing import Closing
from pyattrx._scratch import Scratch, ScratchFile, ScratchFolder

__all__ = ["Place", "Room", "RowStore"]

_HOST_BYTES = 128 << 20
_DEVICE_SHARE = 0.4  # of what is free when the run begins


class Room:
    """How much of the memory is left for rows; stores of one run share it.

    Parameters
    ----------
    device : torch.device
        Where rows are made and compared.
    scratch : Scratch, optional
        Beside others, how much stays in host memory; 128 MiB if left out.

    Attributes
    ----------
    on_device, on_host : int
        Bytes that are left.
    """

    def __init__(self, device: torch.device, scratch: Scratch | None = None) -> None:
        self.on_device = 0
        if device.type == "cuda":
            self.on_device = int(torch.cuda.mem_get_info(device)[0] * _DEVICE_SHARE)
        self.on_host = (scratch or Scratch()).room(_HOST_BYTES)


class RowStore(Closing):
    """Rows of networks, [N, D] each, read back as blocks of probes.

    Parameters
    ----------
    n_probes : int
    device : torch.device
        Where rows are made and compared.
    scratch : path or Scratch, optional
        Where they go beyond that.
    room : Room, optional
        What it may take of the memory, beside other stores; a room of its own if left out.
    """

    def __init__(
        self,
        n_probes: int,
        device: torch.device,
        scratch: ScratchFolder = None,
        room: Room | None = None,
    ) -> None:
        self._n = n_probes
        self._device = device
        self._scratch = Scratch.of(scratch)
        self._room = Room(device, self._scratch) if room is None else room
        self._networks: list[Place] = []
        self._file: ScratchFile | None = None
        self._end = 0

    def __len__(self) -> int:
        return len(self._networks)

    @property
    def width(self) -> int | None:
        """Elements of a row; None before the first network."""
        return self._networks[0].size if self._networks else None

    @property
    def row_bytes(self) -> int:
        """Bytes of the longest network's row."""
        return max((n.row_bytes for n in self._networks), default=0)

    def begin(self, like: Tensor) -> Place:
        """Make place for a network whose rows look like `like`, [B, D]; fill it with `write`.

        Where its `on_host` is true, rows are best written from the host.
        """
        size = self._n * like.shape[1] * like.element_size()
        place: Place
        if size <= self._room.on_device:
            self._room.on_device -= size
            place = _Memory(self._n, like, self._device)
        elif size <= self._room.on_host:
            self._room.on_host -= size
            place = _Memory(self._n, like, torch.device("cpu"))
        else:
            place = _File(self._open(), self._end, like)
            self._end += size
        self._networks.append(place)
        return place

    def keep_first(self, count: int) -> None:
        """Forget all networks but the first ones, and use their place for others."""
        while len(self._networks) > count:
            place = self._networks.pop()
            size = self._n * place.row_bytes
            if isinstance(place, _File):
                self._end -= size
            elif place.on_host:
                self._room.on_host += size
            else:
                self._room.on_device += size

    def block(self, networks: slice, probes: np.ndarray) -> Tensor:
        """Rows of some networks on some probes, [M, B, D], on the device."""
        chosen = self._networks[networks]
        wide = any(place.dtype == torch.float64 for place in chosen)
        block = torch.empty(
            (len(chosen), len(probes), chosen[0].size),
            dtype=torch.float64 if wide else torch.float32,
            device=self._device,
        )
        for rows, place in zip(block, chosen, strict=True):
            rows.copy_(place.read(probes))
        return block

    def close(self) -> None:
        """Free everything; the scratch file is gone even if this is never called."""
        self._networks.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> ScratchFile:
        if self._file is None:
            self._file = ScratchFile(self._scratch, "map rows")
        return self._file


class _Memory:
    def __init__(self, n: int, like: Tensor, device: torch.device) -> None:
        self.on_host = device.type == "cpu"
        self._rows = torch.empty((n, like.shape[1]), dtype=like.dtype, device=device)
        self.dtype = like.dtype
        self.row_bytes = like.shape[1] * like.element_size()
        self.size = like.shape[1]

    def write(self, first: int, rows: Tensor) -> None:
        self._rows[first : first + len(rows)] = rows

    def read(self, probes: np.ndarray) -> Tensor:
        start, stop = int(probes[0]), int(probes[-1]) + 1
        if stop - start == len(probes):  # rising without gaps
            return self._rows[start:stop]
        return self._rows[torch.from_numpy(probes).to(self._rows.device)]


class _File:
    on_host = True

    def __init__(self, file: ScratchFile, offset: int, like: Tensor) -> None:
        self._file = file
        self._offset = offset
        self.dtype = like.dtype
        self.row_bytes = like.shape[1] * like.element_size()
        self.size = like.shape[1]

    def write(self, first: int, rows: Tensor) -> None:
        at = self._offset + first * self.row_bytes
        self._file.write(_bytes(rows.cpu().contiguous()), at)

    def read(self, probes: np.ndarray) -> Tensor:
        rows = torch.empty((len(probes), self.size), dtype=self.dtype)
        data = _bytes(rows)
        # Runs of neighbouring probes are read at once.
        starts = np.flatnonzero(np.diff(probes, prepend=probes[0] - 2) != 1)
        for start, stop in zip(starts, [*starts[1:], len(probes)], strict=True):
            into = data[start * self.row_bytes : stop * self.row_bytes]
            at = self._offset + int(probes[start]) * self.row_bytes
            self._file.read(into, at)
        return rows


Place = _Memory | _File


def _bytes(rows: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    return rows.view(torch.uint8).numpy().data.cast("B")  # NumPy has no bfloat16
