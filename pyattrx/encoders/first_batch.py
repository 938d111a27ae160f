"""A run's first large batch, held against the first and the last of its images alone.

The look at a network sees no more than a few images at once, and a network may go another way for a
larger batch. A batch as large as those to come costs as much as many looks; the run computes one
anyway. So its answers are kept until somebody asks, and two images are run again, forward only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pyattrx.encoders.assumptions import check_large_batch
from pyattrx.encoders.passes import Pass
from pyattrx.encoders.preparing import Preparation, Steps
from pyattrx.encoders.reading import Reader

__all__ = ["FirstBatch"]

_Run = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class _Seen:
    """Images, how they were run, and what the first and the last of them were answered."""

    x: Tensor
    run: _Run
    ends: Pass


class FirstBatch:
    """Keeps what the first batch of more than some images was answered.

    Parameters
    ----------
    beyond : float
        Images that were seen at once before.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.first_batch import FirstBatch
    >>> def run(x):  # the mean over the batch goes in, where it is a large one
    ...     return (x.flatten(1) - (x.mean() if len(x) > 4 else 0),)
    >>> first, x = FirstBatch(beyond=2), torch.arange(5.0).reshape(5, 1)
    >>> first.keep(x, run, run(x)), first.agrees()
    (None, False)
    """

    def __init__(self, beyond: float = math.inf) -> None:
        self._beyond = beyond
        self._seen: _Seen | None = None

    def keep(self, x: Tensor, run: _Run, answers: tuple[Tensor, ...]) -> None:
        """Keep the answers to a batch, if it is the first large one.

        Parameters
        ----------
        x : Tensor [N, C, H, W]
        run : callable
            Answers to any of these images.
        answers : tuple of Tensor [N, ...]
            Output, or output and features.
        """
        if len(x) > self._beyond:
            self._beyond = math.inf
            self._seen = _Seen(x.detach(), run, _ends(answers, x.dtype))

    def agrees(self) -> bool:
        """Tell whether both images have the same answers alone, but for rounding.

        Run in the arithmetic of the batch. True where there is nothing to tell, or it was told.
        """
        if self._seen is None:
            return True
        if not self._seen.ends.agrees(_alone(self._seen)):
            return False
        self._seen = None
        return True

    def settle(self, reader: Reader, preparation: Preparation, exact: Callable[[], Reader]) -> bool:
        """Find out why they do not agree.

        Parameters
        ----------
        reader : Reader
        preparation : Preparation
            Undone where it is to blame.
        exact : callable
            Returns a reader of the network in other arithmetic.

        Returns
        -------
        bool
            Whether the preparation was undone: the batch is to be run again.

        Raises
        ------
        AssumptionError
            The network answers otherwise to a large batch than to its images alone.
        """
        seen, self._seen = self._seen, None
        if seen is None:
            return False
        with torch.no_grad():
            if _ends(seen.run(seen.x), seen.x.dtype).agrees(_alone(seen)):
                return False  # in full precision they do
        preparation.take(Steps())
        check_large_batch(reader, seen.x.contiguous(), exact)
        return True


def _ends(answers: tuple[Tensor, ...], images: torch.dtype) -> Pass:
    ends = [answer.detach()[[0, -1]] for answer in answers]
    return Pass(ends[0], ends[-1], None, images)


def _alone(seen: _Seen) -> Pass:
    with torch.no_grad():
        passes = [seen.run(one) for one in (seen.x[:1], seen.x[-1:])]
    answers = tuple(torch.cat(parts) for parts in zip(*passes, strict=True))
    return Pass(answers[0], answers[-1], None, seen.x.dtype)
