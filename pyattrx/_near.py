"""What a misspelt name may have been meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]

_ALIKE = 0.7
_SHOWN = 3


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return the end of a message that names what is spelt alike, or nothing.

    Examples
    --------
    >>> from pyattrx._near import did_you_mean
    >>> did_you_mean("salincy", ["saliency", "elrp"])
    "; did you mean 'saliency'?"
    >>> did_you_mean("cka", ["saliency", "elrp"])
    ''
    """
    names = list(dict.fromkeys(known))
    if not isinstance(given, str) or given in names:
        return ""
    near = difflib.get_close_matches(given, names, _SHOWN, _ALIKE)
    if not near:
        return ""
    *first, last = [repr(name) for name in near]
    return f"; did you mean {', '.join(first)}{' or ' if first else ''}{last}?"
