"""Batches of probes on their way to a device, and what comes back from it.

On a CUDA device a thread reads the next batch into pinned memory and queues its copy on a stream of
its own, as it is stored (8 bits a value, mostly), while the network runs on the batch before; one
batch is being used and one is on its way, whatever the number of probes. Results are looked at one
batch later than they were asked for, so that the device always has work to do.

On the CPU nothing is copied. A thread reads ahead where the probes are in a file, and sleeps while
the disk works; probes in memory are read at once, since a thread would only take a core from the
network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from pyattrx.photos import as_float32, ordered_map
from pyattrx.probes import Probes

__all__ = ["Arriving", "Begun", "beside", "feed", "in_turn", "lag", "unit_floats"]

# Batches that are read, or copied, while one is used. More would take memory and gain nothing:
# a network takes longer than a copy.
_AHEAD = 1

_Begun = TypeVar("_Begun")
_Done = TypeVar("_Done")


class _Loader(Protocol):
    """Where batches come from."""

    ahead: int  # batches that a thread reads ahead; 0 without a thread

    def load(self, chosen: np.ndarray) -> Any:
        """Read some probes, and begin to move them; in the thread if there is one."""

    def hand_over(self, loaded: Any) -> Tensor:
        """Make what was loaded safe to use for the caller."""


def feed(
    probes: Probes, device: torch.device, batch_size: int, order: np.ndarray
) -> Generator[Tensor, None, None]:
    """Yield probes in batches, on a device.

    Parameters
    ----------
    probes : Probes
    device : torch.device
    batch_size : int
    order : ndarray [n], int64
        Which probes, in which order.

    Yields
    ------
    Tensor [B, 3, H, W]
        float32 in [0, 1], the same bits on every device. Of `batch_size` probes, but for the last.

    Raises
    ------
    ProbeError
        Whatever reading raises comes out here, where the batch would have, with the traceback of
        the thread.

    Notes
    -----
    Close it, if it is not used up: the thread is gone when `close` returns, which waits for the one
    batch that is being read.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from pyattrx.running.feeding import feed
    >>> from pyattrx.probes import Probes
    >>> probes = Probes.from_tensor(torch.rand(5, 3, 4, 4))
    >>> [len(batch) for batch in feed(probes, torch.device("cpu"), 2, np.arange(5))]
    [2, 2, 1]
    """
    loader = _loader(probes, device)
    parts = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    if not loader.ahead:
        for part in parts:
            yield loader.hand_over(loader.load(part))
        return
    loaded = ordered_map(loader.load, parts, workers=1, ahead=loader.ahead, wait=True)
    try:
        for one in loaded:
            yield loader.hand_over(one)
    finally:
        loaded.close()


def _loader(probes: Probes, device: torch.device) -> _Loader:
    if device.type == "cuda":
        return _ToCuda(probes, device)
    return _OnHost(probes, device)


class _OnHost:
    """Batches in host memory; other devices than CUDA's get them by an ordinary copy."""

    def __init__(self, probes: Probes, device: torch.device) -> None:
        self.ahead = 0 if probes.in_memory else _AHEAD
        self._probes = probes
        self._device = device

    def load(self, chosen: np.ndarray) -> Tensor:
        with torch.inference_mode(False):  # else they could never be differentiated
            return torch.from_numpy(as_float32(self._probes.stored(chosen)))

    def hand_over(self, loaded: Tensor) -> Tensor:
        with torch.inference_mode(False):
            return loaded.to(self._device)


class _ToCuda:
    """Batches copied by a stream of their own, from pinned memory, while the network runs."""

    ahead = _AHEAD

    def __init__(self, probes: Probes, device: torch.device) -> None:
        self._probes = probes
        self._device = device
        self._dtype = torch.uint8 if probes.stored_dtype == np.uint8 else torch.float32
        self._stream = torch.cuda.Stream(device)

    def load(self, chosen: np.ndarray) -> tuple[Tensor, torch.cuda.Event]:
        shape = (len(chosen), *self._probes.shape[1:])
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            # PyTorch takes pinned memory back when the copy from it is done, and uses it again.
            pixels = _pinned(shape, self._dtype)
            self._probes.stored(chosen, pixels.numpy())
            images = unit_floats(pixels.to(self._device, non_blocking=True))
            copied = torch.cuda.Event()
            copied.record(self._stream)
        return images, copied

    def hand_over(self, loaded: tuple[Tensor, torch.cuda.Event]) -> Tensor:
        images, copied = loaded
        current = torch.cuda.current_stream(self._device)
        current.wait_event(copied)
        images.record_stream(current)  # its memory is not given away before that stream is done
        return images


def unit_floats(pixels: Tensor) -> Tensor:
    """Turn pixels as they are stored into float32 in [0, 1], by one correctly rounded division.

    Parameters
    ----------
    pixels : Tensor
        uint8, or float32, which is returned as it is.

    Returns
    -------
    Tensor
        On the same device, with the bits that a CPU makes of it.
    """
    if pixels.dtype != torch.uint8:
        return pixels
    # By a tensor: a division by a number is a product with its reciprocal on a GPU.
    return pixels.float().div_(torch.full((), 255.0, device=pixels.device))


@contextmanager
def beside(function: Callable[[], _Done], device: torch.device) -> Iterator[Callable[[], _Done]]:
    """Call a function in a thread while a CUDA device computes; elsewhere when it is asked for.

    What it reads from the device is what the caller has queued so far; it does not wait for what
    is queued later. Its result is on the host.

    Yields
    ------
    callable
        Returns what the function returned, or raises what it raised.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.running.feeding import beside
    >>> with beside(lambda: 6 * 7, torch.device("cpu")) as answer:
    ...     pass
    >>> answer()
    42
    """
    if device.type != "cuda":
        yield function
        return
    # A stream of its own: the thread's default one would not wait for the caller's, and on that one
    # every copy to the host would wait for the batch that is queued.
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))

    def on_stream() -> _Done:
        with torch.cuda.stream(stream):
            return function()

    with ThreadPoolExecutor(1, thread_name_prefix="pyattrx-beside") as pool:
        yield pool.submit(on_stream).result


def lag(device: torch.device) -> int:
    """How many batches are begun before the results of one are looked at.

    On a CUDA device one, so that it computes while the host looks; elsewhere results are there when
    the call returns.
    """
    return 1 if device.type == "cuda" else 0


def in_turn(
    begun: Iterable[_Begun], finish: Callable[[_Begun], _Done], behind: int
) -> Generator[_Done, None, None]:
    """Finish what was begun, in its order, so many batches behind.

    Parameters
    ----------
    begun : iterable
        Taking the next one begins it.
    finish : callable
        Called once for each; what it raises ends everything.
    behind : int
        How many are begun and not finished when one is finished.

    Yields
    ------
    object
        What `finish` returned.

    Raises
    ------
    Exception
        What beginning one raises, but only when everything before it was finished: an error of an
        earlier batch comes first, as if there were no lag.

    Examples
    --------
    >>> from pyattrx.running.feeding import in_turn
    >>> list(in_turn(range(3), lambda number: 10 * number, behind=1))
    [0, 10, 20]
    """
    waiting: deque[_Begun] = deque()
    source = iter(begun)
    while True:
        try:
            waiting.append(next(source))
        except StopIteration:
            break
        except Exception:
            while waiting:
                finish(waiting.popleft())
            raise
        if len(waiting) > behind:
            yield finish(waiting.popleft())
    while waiting:
        yield finish(waiting.popleft())


class Arriving:
    """Tensors on their way to the host; nobody waits before `wait`.

    Parameters
    ----------
    tensors : sequence of Tensor
        On one device, and not changed afterwards. Their copies are queued behind what is queued
        already, so that what is queued later is not waited for.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = list(tensors)
        self._copied: torch.cuda.Event | None = None
        if self._tensors and self._tensors[0].is_cuda:
            device = self._tensors[0].device
            self._tensors = [_pinned_copy(tensor) for tensor in self._tensors]
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(device))

    def wait(self) -> list[Tensor]:
        """Return the tensors on the host."""
        if self._copied is not None:
            self._copied.synchronize()
        return [tensor.cpu() for tensor in self._tensors]


def _pinned_copy(tensor: Tensor) -> Tensor:
    return _pinned(tensor.shape, tensor.dtype).copy_(tensor, non_blocking=True)


def _pinned(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="cpu", pin_memory=True)


@dataclass(frozen=True)
class Begun:
    """A batch that a device is working on."""

    chosen: np.ndarray
    names: list[str]
    arriving: Arriving
    rows: Sequence[Tensor | None] = ()  # that stay on the device; None for one on its way
    images: Tensor | None = None  # on the device, for a second look
