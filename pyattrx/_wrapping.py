"""Sentences in the width of a terminal."""

from __future__ import annotations

import shutil
import textwrap

__all__ = ["wrapped"]

_UNKNOWN = 80  # columns of a terminal that does not say


def wrapped(text: str, width: int | None = None) -> str:
    """Break a line between words where it is wider than `width` (the terminal's if left out).

    What follows is indented. A word that is wider stays whole, as do numbers and paths in it.

    Examples
    --------
    >>> from pyattrx._wrapping import wrapped
    >>> print(wrapped("40 images are few; 100 or more tell more apart.", 30))
    40 images are few; 100 or more
      tell more apart.
    """
    room = width or shutil.get_terminal_size((_UNKNOWN, 24)).columns
    return textwrap.fill(
        text, room, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
