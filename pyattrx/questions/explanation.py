"""Why two networks are near: channels, what each has to do with it, and its reference images."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyattrx._checks import integer
from pyattrx.errors import InvalidValueError
from pyattrx.statistics import jsonable, reach

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ChannelExamples", "ChannelShare", "Explanation", "reference_probes"]

ORDERS = ("sum", "max", "share")
_LEVEL = 0.95


@dataclass(frozen=True)
class ChannelShare:
    """One channel's part in an affinity.

    Attributes
    ----------
    channel : int
        From 0.
    share : float
        In units of the affinity.
    stderr : float
        Over the probes; NaN where it cannot be known.
    low, high : float
        Ends of the 95 % interval.
    references : tuple of str
        Names of the probes that the channel answers to most.
    """

    channel: int
    share: float
    stderr: float
    low: float
    high: float
    references: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, None for NaN."""
        numbers = {k: jsonable(getattr(self, k)) for k in ("share", "stderr", "low", "high")}
        return {"channel": self.channel, **numbers, "references": list(self.references)}


@dataclass(frozen=True, eq=False)
class ChannelExamples:
    """A channel's reference images, and what in them it answers to.

    Attributes
    ----------
    channel : int
    probes : ndarray [R], int64
        Numbers of the images.
    photos : ndarray [R, H, W, 3], uint8
    maps : ndarray [R, h, w]
        The conditional map: the part of the network's attribution map that comes by this channel.
    others : ndarray [R, h, w]
        Map of the other network on the same images.
    """

    channel: int
    probes: np.ndarray
    photos: np.ndarray
    maps: np.ndarray
    others: np.ndarray


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which channels of a layer carry the affinity of two networks.

    Attributes
    ----------
    target, source : str
        Names of the networks.
    of : {"target", "source"}
        Whose layer it is.
    layer : str
        Its name; "output" for the network's own.
    method : str
    affinity, affinity_stderr : float
        As `pyattrx.affinity` says.
    shares, stderr : ndarray [C]
        What each channel has to do with it, in the same units, and the standard error over the
        probes (groups count as one), NaN where it cannot be known.
    covered, covered_stderr : float
        The sum of the shares.
    remainder, remainder_stderr : float
        The rest of the affinity: of maps what goes around the layer, by skip connections; of a
        source's features what is lost with no single channel, since others do for it.
    relevance : dict of str to ndarray [N, C]
        How far each probe is a channel's: "sum" and "max" over its locations of the magnitude of
        its relevance (of maps, what its answer adds to the number that is attributed; else its
        activation).
    by_probe : ndarray [N, C] or None
        Shares of single probes, whose mean they are; None of a method that compares all at once.
    groups : ndarray [N], int64
    probes : tuple of str
        Names of the images.
    examples : tuple of ChannelExamples
        Of the channels with the largest shares.
    zero_maps : int
        Probes on which one of the networks has nothing to compare.
    provenance : dict
    """

    target: str
    source: str
    of: str
    layer: str
    method: str
    affinity: float
    affinity_stderr: float
    shares: np.ndarray
    stderr: np.ndarray
    covered: float
    covered_stderr: float
    remainder: float
    remainder_stderr: float
    relevance: dict[str, np.ndarray]
    by_probe: np.ndarray | None
    groups: np.ndarray
    degrees_of_freedom: float
    probes: tuple[str, ...]
    examples: tuple[ChannelExamples, ...] = ()
    zero_maps: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of channels."""
        return len(self.shares)

    @property
    def remainder_is_around(self) -> bool:
        """Whether shares are parts of a sum, and `remainder` what goes around the layer."""
        return self.by_probe is not None or self.of == "target"

    def top(self, k: int = 10) -> list[ChannelShare]:
        """Channels with the largest shares, the largest first.

        Parameters
        ----------
        k : int
            How many at most, at least 1.

        Returns
        -------
        list of ChannelShare

        Raises
        ------
        InvalidValueError, InvalidTypeError
        """
        k = integer("k", k, least=1)
        order = np.argsort(-self.shares, kind="stable")[:k]
        half = reach(_LEVEL, self.degrees_of_freedom) * self.stderr
        return [
            ChannelShare(
                int(channel),
                float(self.shares[channel]),
                float(self.stderr[channel]),
                float(self.shares[channel] - half[channel]),
                float(self.shares[channel] + half[channel]),
                tuple(self.probes[probe] for probe in self.references(int(channel))),
            )
            for channel in order
        ]

    def references(self, channel: int, k: int = 4, *, by: str = "sum") -> np.ndarray:
        """Numbers of the probes that a channel answers to most: its reference images.

        Parameters
        ----------
        channel : int
        k : int
            How many at most; of a group of probes, one.
        by : {"sum", "max", "share"}
            Summed over its locations, or at one of them (relevance maximization; Achtibat et al.,
            Nature Machine Intelligence 2023); or what it adds to the affinity there.

        Returns
        -------
        ndarray [k], int64
            First the one that it answers to most.

        Raises
        ------
        InvalidValueError, InvalidTypeError
        """
        channel = integer("channel", channel, least=0, most=len(self) - 1)
        k = integer("k", k, least=1)
        if by not in ORDERS:
            raise InvalidValueError("by", by, f"one of {', '.join(map(repr, ORDERS))}")
        if by == "share" and self.by_probe is None:
            raise InvalidValueError("by", by, f"'sum' or 'max', as {self.method} compares no probe")
        values = self.by_probe if by == "share" else self.relevance[by]
        assert values is not None
        return reference_probes(values[:, channel], self.groups, k)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but images, maps and what is known of single probes, as JSON types."""
        numbers = {
            name: jsonable(getattr(self, name))
            for name in (
                "affinity", "affinity_stderr", "covered", "covered_stderr", "remainder",
                "remainder_stderr",
            )
        }  # fmt: skip
        return {
            "target": self.target,
            "source": self.source,
            "of": self.of,
            "layer": self.layer,
            "method": self.method,
            **numbers,
            "shares": jsonable(self.shares),
            "stderr": jsonable(self.stderr),
            "n_probes": len(self.groups),
            "n_groups": int(self.groups.max()) + 1,
            "zero_maps": self.zero_maps,
            "top": [one.to_dict() for one in self.top()],
            "provenance": self.provenance,
        }

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the channels with the largest shares: reference images, and what of them is seen.

        Parameters
        ----------
        path : str or path, optional
            Where to write it, .png or .svg.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependencyError
            matplotlib is not installed.
        InvalidValueError
            There are no examples, or `path` has another suffix.
        """
        from pyattrx import report  # matplotlib only when it is asked for

        if not self.examples:
            raise InvalidValueError("examples", self.examples, "some: explain(..., channels=6)")
        return report.channels_figure(self, path=path)

    def __repr__(self) -> str:
        return (
            f"Explanation({self.source!r} for {self.target!r}, affinity {self.affinity:.3f}; "
            f"{len(self)} channels of the {self.of}'s {self.layer!r} carry {self.covered:.3f})"
        )


def reference_probes(values: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the probes with the largest values, one of a group.

    Parameters
    ----------
    values : ndarray [N]
    groups : ndarray [N], int64
    k : int

    Returns
    -------
    ndarray, int64
        At most k; of equal ones the first.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.questions.explanation import reference_probes
    >>> reference_probes(np.array([1.0, 3.0, 4.0]), np.array([0, 1, 1]), 2).tolist()
    [2, 0]
    """
    order = np.argsort(-values, kind="stable")
    _, first = np.unique(groups[order], return_index=True)
    return order[np.sort(first)[:k]].astype(np.int64)
