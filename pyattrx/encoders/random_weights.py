"""``NAME@random`` and ``NAME@random=SEED``: random weights, the same ones each time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pyattrx._ambient import neutral

__all__ = ["drawn_from", "random_seed"]

_FORM = re.compile(r"random(?:=([0-9]{1,18}))?")


def random_seed(variant: str) -> int | None:
    """Read what follows the ``@`` of a specification; None where no random weights are meant.

    Examples
    --------
    >>> from pyattrx.encoders.random_weights import random_seed
    >>> random_seed("random"), random_seed("random=7"), random_seed("IMAGENET1K_V1")
    (0, 7, None)
    """
    found = _FORM.fullmatch(variant)
    return None if found is None else int(found[1] or 0)


@contextmanager
def drawn_from(seed: int | None) -> Iterator[None]:
    """Draw weights from a seed, whatever the caller has set; with None change nothing.

    The caller's random numbers go on where they were.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.random_weights import drawn_from
    >>> with drawn_from(7):
    ...     first = torch.rand(3)
    >>> with drawn_from(7):
    ...     torch.equal(torch.rand(3), first)
    True
    """
    if seed is None:
        yield
        return
    with neutral(), torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which seeds the generators of all devices.
        torch.default_generator.manual_seed(seed)
        yield
