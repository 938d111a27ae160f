"""One hash of integers, the same on every machine and version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["GOLDEN", "mixed"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: numbers in turn lie far apart


def mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of keys: the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx._hashing import mixed
    >>> hex(int(mixed(np.array([1], np.uint64))[0]))
    '0x5692161d100b05e5'
    """
    with np.errstate(over="ignore"):
        z = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
