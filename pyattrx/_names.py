"""Names of networks in little space: what is left out is the middle, and no two become alike."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["FEWEST", "shortened"]

FEWEST = 9  # of a name; with fewer characters, numbers are clearer
_ELLIPSIS = "…"
# Shares of what is kept that are the beginning of a name; the first with which all differ is taken.
_HEADS = (0.5, 0.7, 0.3, 0.9, 0.1, 1.0, 0.0)


def shortened(names: Sequence[str], width: int) -> list[str] | None:
    """Shorten what is longer than a width; None where names would become alike, or unreadable.

    Examples
    --------
    >>> from pyattrx._names import shortened
    >>> shortened(["timm:resnet50.a1_in1k", "timm:vgg11"], 12)
    ['timm:r…_in1k', 'timm:vgg11']
    """
    if all(len(name) <= width for name in names):
        return list(names)
    if width < FEWEST:
        return None
    for share in _HEADS:
        head = round((width - 1) * share)
        found = [_cut(name, width, head) for name in names]
        if len(set(found)) == len(set(names)):
            return found
    return None


def _cut(name: str, width: int, head: int) -> str:
    if len(name) <= width:
        return name
    tail = width - 1 - head
    return name[:head] + _ELLIPSIS + (name[-tail:] if tail else "")
