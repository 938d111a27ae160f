"""The share of one job among several that have the same command line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyattrx.errors import InvalidValueError

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """One of several shares of networks.

    Shares are of one size, give or take a network, whatever the order of the names; large networks,
    whose names are often alike, are spread.

    Parameters
    ----------
    number : int
        From 1.
    count : int

    Examples
    --------
    >>> from pyattrx.cli.sharing import Part
    >>> names = [f"timm:resnet{depth}" for depth in (18, 34, 50, 101)]
    >>> [Part.of(f"{number}/2").names(names) for number in (1, 2)]
    [['timm:resnet18', 'timm:resnet50'], ['timm:resnet34', 'timm:resnet101']]
    """

    number: int = 1
    count: int = 1

    @classmethod
    def of(cls, given: str | None) -> Part:
        """Read I/N; everything for None.

        Raises
        ------
        InvalidValueError
        """
        if given is None:
            return cls()
        found = re.fullmatch(r"(\d+)/(\d+)", given)
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count:
            expected = "I/N with I from 1 to N, such as 3/16"
            raise InvalidValueError("shard", given, expected)
        return cls(number, count)

    def names(self, names: Sequence[str]) -> list[str]:
        """Names of networks that are in this share, in their order."""
        shuffled = sorted(set(names), key=_digest)
        ours = set(shuffled[self.number - 1 :: self.count])
        return [name for name in names if name in ours]


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()
