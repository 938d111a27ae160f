"""A zoo whose right answers are known: predicted sources beside those that really transfer best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pyattrx import evaluate
from pyattrx.affinities import Affinity, affinity
from pyattrx.demo import minitaskonomy
from pyattrx.errors import InvalidValueError
from pyattrx.statistics import Match

__all__ = ["KnownZoo", "rank_known"]

_PROBES = 32


@dataclass(frozen=True, eq=False)
class KnownZoo:
    """What a method says of the shipped networks, and what is true.

    Attributes
    ----------
    target : str
        A task.
    predicted : list of Match
        Its nearest sources.
    best : list of (str, float)
        The sources that really transfer best to it, and the loss that they reach.
    affinity : Affinity
        Of all networks.
    precision, spearman : float
        P@5 and Spearman's correlation, the mean over all 18 targets.
    """

    target: str
    predicted: list[Match]
    best: list[tuple[str, float]]
    affinity: Affinity
    precision: float
    spearman: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "method": self.affinity.provenance["method_name"],
            "probes": self.affinity.n_probes,
            "target": self.target,
            "predicted": [match.to_dict() for match in self.predicted],
            "best": [{"name": name, "loss": loss} for name, loss in self.best],
            "precision_at_5": self.precision,
            "spearman": self.spearman,
        }


def rank_known(
    target: str = "rgb2sfnorm",
    *,
    k: int = 5,
    batch_size: int = 32,
    device: str | torch.device | None = None,
) -> KnownZoo:
    """Rank the shipped networks as sources by the recommended method, beside the truth.

    Parameters
    ----------
    target : str
        One of the 18 tasks that transfers to were measured.
    k : int
        Sources to list.
    batch_size, device
        As for `pyattrx.affinity`.

    Returns
    -------
    KnownZoo

    Raises
    ------
    InvalidValueError
        There is no such target.
    MissingDependencyError
        This installation has no weights.
    """
    truth = minitaskonomy.transfers()
    if target not in truth.targets:
        raise InvalidValueError("target", target, f"one of {', '.join(truth.targets)}")
    found = affinity(
        minitaskonomy.specifications(),
        minitaskonomy.probes().head(_PROBES),
        "recommended",
        batch_size,
        device,
    )
    named = evaluate.Table(found.values, tuple(found.names), tuple(found.names))
    scores, measured = evaluate.align(named, truth)
    losses = dict(zip(truth.sources, -truth.select([target], truth.sources).values[0], strict=True))
    losses.pop(target)
    best = sorted(losses.items(), key=lambda pair: pair[1])[:k]
    return KnownZoo(
        target,
        list(found.nearest(target, k)),
        [(name, float(loss)) for name, loss in best],
        found,
        evaluate.precision_at_k(scores, measured, 5),
        evaluate.spearman(scores, measured),
    )
