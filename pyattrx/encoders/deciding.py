"""Which way a network takes: numbers that its Python code reads out of tensors.

A network may ask its images which way to go (``if x.mean() > 0: ...``). Asked of a whole batch, the
answer for one image depends on the others, and two images need not show it. So what is read is
noted, and a network that reads what may depend on its images runs one image at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pyattrx._modes import Arguments, DispatchMode, Function, FunctionMode, Named
from pyattrx.encoders.copying import all_tensors
from pyattrx.encoders.rebinding import stored_at

__all__ = ["Decisions", "Number", "always_the_same"]

Number = bool | int | float | complex

# The answers of these are numbers.
_READ = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
# The sizes of their answers are.
_SIZED = (
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten._unique2.default,
    torch.ops.aten.unique_dim.default,
)
# These do not pass through the dispatcher.
_ESCAPES = (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__)


class Decisions:
    """Notes the numbers that are read out of tensors in a pass, but for those of the module itself.

    Parameters
    ----------
    module : nn.Module
        The network; what is read out of its own tensors is the same for every image.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.deciding import Decisions
    >>> decisions = Decisions(torch.nn.Identity())
    >>> numbers = []
    >>> with decisions.noted(numbers):
    ...     bool(torch.ones(2).sum() > 1)
    True
    >>> numbers
    [True]
    """

    def __init__(self, module: nn.Module) -> None:
        self._own = {stored_at(tensor) for tensor in all_tensors(module).values()} - {None}

    @contextmanager
    def noted(self, numbers: list[Number]) -> Iterator[None]:
        """Append the numbers that are read in this context."""

        def note(tensor: Tensor, values: Sequence[Number]) -> None:
            if stored_at(tensor) not in self._own:
                numbers.extend(values)

        with _Escapes(note), _Reads(note):
            yield


def always_the_same(passes: Iterable[Sequence[Number]]) -> bool:
    """Tell whether passes read the same numbers, which depend on no image then.

    Parameters
    ----------
    passes : iterable of sequence of numbers
        What was read in each pass.

    Returns
    -------
    bool
        False where truth values were read: those that happen to be the same in all passes may be
        others for other images.

    Examples
    --------
    >>> from pyattrx.encoders.deciding import always_the_same
    >>> always_the_same([[0.5], [0.5]]), always_the_same([[0.5], [0.25]])
    (True, False)
    >>> always_the_same([[True], [True]])
    False
    """
    counts = [Counter(map(repr, numbers)) for numbers in passes]
    return all(count == counts[0] and not count.keys() & {"True", "False"} for count in counts)


class _Reads(DispatchMode):
    """Hears of ``item``, ``bool``, ``float`` and ``int``, also inside programs."""

    def __init__(self, note: Callable[[Tensor, Sequence[Number]], None]) -> None:
        super().__init__()
        self._note = note

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        answer = function(*arguments, **named)
        if function in _READ:
            self._note(arguments[0], [answer])
        elif function in _SIZED:
            found = answer[0] if isinstance(answer, tuple) else answer
            self._note(arguments[0], [found.numel()])
        return answer


class _Escapes(FunctionMode):
    """Hears of tensors that become lists and arrays."""

    def __init__(self, note: Callable[[Tensor, Sequence[Number]], None]) -> None:
        super().__init__()
        self._note = note

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        answer = function(*arguments, **named)
        if function in _ESCAPES:
            tensor = arguments[0]
            with torch._C.DisableTorchFunction():
                self._note(tensor, _told(tensor.detach()))
        return answer


def _told(tensor: Tensor) -> list[Number]:
    """What stands for all values of a tensor: one number, or a truth value where they are such."""
    if tensor.dtype == torch.bool:
        return [True]
    return [
        hash(tensor.cpu().resolve_conj().flatten().contiguous().view(torch.uint8).numpy().tobytes())
    ]
