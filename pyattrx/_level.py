"""Which line a warning belongs to."""

from __future__ import annotations

import sys

__all__ = ["outside"]


def outside() -> int:
    """Return the `stacklevel`, in the caller, of the line that called this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith("pyattrx."):
        frame, level = frame.f_back, level + 1
    return level
