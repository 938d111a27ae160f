"""What a network carries from one image to the next: tensors that were made of another image.

A network may keep what it saw first (a cache, statistics that the first batch sets) and answer to
every image by it. It answers alike each time then, alone and in a batch, and all of its numbers
depend on which image came first. So what is made of an image is followed from pass to pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from pyattrx._modes import Arguments, DispatchMode, Function, Named
from pyattrx.encoders.copying import tensors_in

__all__ = ["Carried"]

# What these fill has nothing left of what was in it.
_OVERWRITE = (
    torch.ops.aten.copy_.default,
    torch.ops.aten.fill_.Scalar,
    torch.ops.aten.fill_.Tensor,
    torch.ops.aten.zero_.default,
)


class Carried:
    """Follows what is made of images, by where it is stored, from pass to pass.

    Tensors only: numbers that Python code reads out of them are for `Decisions`. A tensor that is
    written in part, or multiplied by zero, counts as made of what was there.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.carried import Carried
    >>> carried, kept = Carried(), []
    >>> for image, x in enumerate(torch.ones(2, 1, 3)):
    ...     with carried.following(x.clone(), image) as x:
    ...         kept.append(x.mean())
    ...         answer = x - kept[0]
    ...     carried.sources([answer])
    {0}
    {0, 1}
    """

    def __init__(self) -> None:
        # By the address of a storage, which is nobody else's while there is a reference to it.
        self._made: dict[int, tuple[StorageWeakRef, frozenset[int]]] = {}

    @contextmanager
    def following(self, x: Tensor, image: int) -> Iterator[Tensor]:
        """Follow a pass.

        Parameters
        ----------
        x : Tensor
            What the network is given.
        image : int
            What it is called.
        """
        self._made = {at: made for at, made in self._made.items() if not made[0].expired()}
        self._set(x, frozenset([image]))
        with _Following(self):
            yield x

    def sources(self, tensors: Iterable[Tensor]) -> set[int]:
        """Return which images tensors were made of."""
        found: set[int] = set()
        for tensor in tensors:
            storage = _storage(tensor)
            if storage is not None and storage._cdata in self._made:
                found |= self._made[storage._cdata][1]
        return found

    def note(self, function: Function, given: list[Tensor], answers: Iterable[Tensor]) -> None:
        """Note that tensors were made of others."""
        if function in _OVERWRITE and _is_whole(given[0]):
            self._set(given[0], frozenset(self.sources(given[1:])))
            return
        images = self.sources(given)
        if images:
            for answer in answers:  # which may be views, and hold more than was written now
                self._set(answer, frozenset(images | self.sources([answer])))

    def _set(self, tensor: Tensor, images: frozenset[int]) -> None:
        storage = _storage(tensor)
        if storage is not None:
            self._made[storage._cdata] = (StorageWeakRef(storage), images)


class _Following(DispatchMode):
    """Sees the operators of a pass."""

    def __init__(self, carried: Carried) -> None:
        super().__init__()
        self._carried = carried

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        answer = function(*arguments, **named)
        given = list(tensors_in((arguments, named)))
        self._carried.note(function, given, tensors_in(answer))
        return answer


def _storage(tensor: Tensor) -> Any:
    try:
        return tensor.untyped_storage()
    except Exception:  # of any kind: sparse tensors and wrappers have no storage
        return None


def _is_whole(tensor: Tensor) -> bool:
    """Whether a tensor is all that its storage holds."""
    storage = _storage(tensor)
    return storage is not None and tensor.numel() * tensor.element_size() == storage.nbytes()
