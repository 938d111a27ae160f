"""Whether the more faithful method ranks better, by the criterion of this package's description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from pyattrx import evaluate
from pyattrx.demo import minitaskonomy
from pyattrx.statistics import clustered_stderr, degrees_of_freedom, interval

from ..transfer.paths import RUN
from ..transfer.scores import read_scores, score_file
from . import METHODS
from .measuring import FILLS, PATCHES, Gains, settings
from .orders import Areas

__all__ = ["document", "rank_quality"]

_LEVEL = 0.95
_PROBES = "rendered"


def rank_quality(root: Path, methods: tuple[str, ...] = METHODS) -> dict[str, dict[str, float]]:
    """Spearman's correlation of affinities with transfers, by method and target.

    Parameters
    ----------
    root : Path
        With the tables of the study of transfer.
    methods : tuple of str
    """
    truth = minitaskonomy.transfers()
    found = {}
    for name in methods:
        values = read_scores(score_file(root, RUN, _PROBES, name), truth.sources)
        rows = [list(truth.sources).index(target) for target in truth.targets]
        scores = evaluate.Table(values[rows], truth.targets, truth.sources)
        each: Any = evaluate.spearman(scores, truth, per_target=True)
        found[name] = dict(zip(truth.targets, map(float, each), strict=True))
    return found


def document(
    gains: Gains, quality: dict[str, dict[str, float]], orders: Sequence[Areas] = ()
) -> dict[str, Any]:
    """Judge, as JSON types.

    Returns
    -------
    dict
        ``targets``, ``methods``: how many. ``settings``: for each, ``spearman`` (mean over the
        targets) with its interval (`low`, `high`), and the part of the targets where it is
        ``positive``. ``answer``: by the criterion. ``by method``: means over the targets of gains
        in each setting, and of the ``rank quality``. ``orders``: what `measure_orders` wrote.
    """
    methods = [name for name in quality if any(key[1] == name for key in gains)]
    targets = [
        target
        for target in next(iter(quality.values()))
        if all((target, m, f, p) in gains for m in methods for f in FILLS for p in PATCHES)
    ]
    ranks = np.array([[quality[name][target] for name in methods] for target in targets])
    judged, faithful = {}, {}
    for what, fill, patch in settings():
        values = np.array(
            [[gains[target, name, fill, patch][what] for name in methods] for target in targets]
        )
        label = f"{what}, {fill}, {patch}"
        judged[label] = _judged(values, ranks)
        faithful[label] = dict(zip(methods, values.mean(0).tolist(), strict=True))
    return {
        "targets": len(targets),
        "methods": len(methods),
        "settings": judged,
        "orders": [asdict(one) for one in orders],
        "answer": _answer(list(judged.values())),
        "by method": {
            name: {
                "rank quality": float(ranks[:, place].mean()),
                **{label: of[name] for label, of in faithful.items()},
            }
            for place, name in enumerate(methods)
        },
    }


def _judged(values: NDArray[np.float64], ranks: NDArray[np.float64]) -> dict[str, float]:
    each = np.array([spearmanr(a, b).statistic for a, b in zip(values, ranks, strict=True)])
    groups = np.arange(len(each))
    mean, error = float(each.mean()), float(clustered_stderr(each, groups))
    low, high = interval(mean, error, _LEVEL, degrees_of_freedom(groups))
    return {"spearman": mean, "low": low, "high": high, "positive": float((each > 0).mean())}


def _answer(judged: list[dict[str, float]]) -> str:
    if all(one["low"] > 0 for one in judged):
        return "yes"
    return "the other way round" if all(one["high"] < 0 for one in judged) else "no"
