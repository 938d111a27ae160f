"""What a pass draws and writes beside its answer: signs that a network is no pure function."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Watch"]

_SIMPLE = (bool, int, float, str)


class Watch:
    """Sees whether random numbers were drawn, or a module was written to, since it was made.

    Neither is a fault: a drawn number may not matter, and a cache may be written. It says where a
    closer look is due.

    Parameters
    ----------
    module : nn.Module
    device : torch.device
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._module = module
        self._device = device
        self._random = self._random_state()
        self._held = self._state()

    def drew(self) -> bool:
        """Tell whether a generator of torch, NumPy or Python, or of the module's own, moved on."""
        return not _same(self._random, self._random_state())

    def wrote(self) -> bool:
        """Tell whether tensors of the module, or its numbers, are others."""
        return self._held != self._state()

    def _random_state(self) -> list[Any]:
        states: list[Any] = [
            torch.get_rng_state(),
            random.getstate(),
            np.random.get_state(),  # noqa: NPY002 (the global state)
        ]
        if self._device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self._device))
        for part in self._module.modules():
            for value in vars(part).values():
                if isinstance(value, torch.Generator):
                    states.append(value.get_state())
                elif isinstance(value, np.random.Generator):
                    states.append(value.bit_generator.state)
                elif isinstance(value, random.Random):
                    states.append(value.getstate())
        return states

    def _state(self) -> list[Any]:
        found: list[Any] = []
        for part in self._module.modules():
            held = (*part._parameters.values(), *part._buffers.values())
            found.extend((id(value), value._version) for value in held if value is not None)
            for key, value in vars(part).items():
                if isinstance(value, _SIMPLE):
                    found.append((key, value))
                elif isinstance(value, Tensor):
                    found.append((key, id(value), value._version))
                elif isinstance(value, (list, dict, set)):
                    found.append((key, len(value)))
        return found


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
