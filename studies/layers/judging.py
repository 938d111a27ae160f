"""Methods and rules that name a stage, judged by what decoders on it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from .scores import METHODS, Scores
from .truth import IMAGES, SOURCES, STAGES, TARGETS, Row, pairs

__all__ = ["RULES", "document"]

_DRAWS = 2000
_MAIN = "recommended"
# What needs no network of the task; `others` names the stage that is best for the other tasks.
RULES = ("depth", "middle", "others", "chance")
_Losses = dict[int, NDArray[np.float64]]  # by number of images: [pairs, stages]


def document(rows: list[Row], scores: Scores) -> dict[str, Any]:
    """Judge every method and rule, as JSON types.

    Returns
    -------
    dict
        ``pairs``: their number. ``judged``: by method or rule, and number of images, ``regret``
        with its interval (`low`, `high`), ``best``: how often the best stage is named,
        ``spearman``: of score and loss over stages, the mean over pairs. ``differences``: of
        regret, the recommended method less a rule, with intervals. ``losses``: by stage, the mean
        over pairs, in units of the task's best constant. ``best stages``: how often each is best.
    """
    losses, known = _table(rows)
    said = {name: _said(name, scores, losses, known) for name in (*METHODS, *RULES)}
    asked = {name: of for name, of in said.items() if of is not None}
    draws = _drawn(known)
    return {
        "pairs": len(known),
        "judged": {
            name: {str(count): _judged(of[count], losses[count], draws) for count in IMAGES}
            for name, of in asked.items()
        },
        "differences": {
            rule: {
                str(count): _difference(
                    asked[_MAIN][count], asked[rule][count], losses[count], draws
                )
                for count in IMAGES
            }
            for rule in RULES
        },
        "losses": {
            str(count): dict(zip(STAGES, losses[count].mean(0).tolist(), strict=True))
            for count in IMAGES
        },
        "best stages": {
            str(count): {
                stage: int((losses[count].argmin(1) == place).sum())
                for place, stage in enumerate(STAGES)
            }
            for count in IMAGES
        },
    }


def _table(rows: list[Row]) -> tuple[_Losses, list[tuple[str, str]]]:
    found = {(task, source, count, stage): loss for task, source, count, stage, loss in rows}
    known = [
        (task, source)
        for task, source in pairs()
        if all((task, source, n, stage) in found for n in IMAGES for stage in STAGES)
    ]
    return {
        n: np.array([[found[task, source, n, stage] for stage in STAGES] for task, source in known])
        for n in IMAGES
    }, known


def _said(
    name: str, scores: Scores, losses: _Losses, known: list[tuple[str, str]]
) -> dict[int, NDArray[np.float64]] | None:
    """Scores [pairs, stages] by number of images; None where a method was not asked."""
    if name in RULES:
        return {n: _rule(name, losses[n], known) for n in IMAGES}
    if not all((name, *pair) in scores for pair in known):
        return None
    said = np.array([[scores[(name, *pair)][stage] for stage in STAGES] for pair in known])
    return dict.fromkeys(IMAGES, said)


def _rule(
    name: str, losses: NDArray[np.float64], known: list[tuple[str, str]]
) -> NDArray[np.float64]:
    count = len(STAGES)
    rules: Mapping[str, Callable[[], NDArray[np.float64]]] = {
        "depth": lambda: np.arange(count, dtype=float),
        "middle": lambda: -np.abs(np.arange(count) - count // 2).astype(float),
        "chance": lambda: np.zeros(count),
    }
    if name != "others":
        return np.tile(rules[name](), (len(known), 1))
    tasks = np.array([task for task, _ in known])
    return np.array([-losses[tasks != task].mean(0) for task, _ in known])


def _costs(said: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a choice costs, and a stage drawn by chance: [pairs, 2]; equal scores share a choice."""
    least = losses.min(1)
    chosen = said == said.max(1, keepdims=True)
    mean = (losses * chosen).sum(1) / chosen.sum(1)
    return np.stack([mean - least, losses.mean(1) - least], 1)


def _drawn(known: list[tuple[str, str]]) -> NDArray[np.float64]:
    """How often each pair is in a draw of tasks and of sources anew, [draws, pairs]."""
    rng = np.random.default_rng(0)
    tasks = [TARGETS.index(task) for task, _ in known]
    sources = [SOURCES.index(source) for _, source in known]
    of_tasks = rng.multinomial(len(TARGETS), np.full(len(TARGETS), 1 / len(TARGETS)), _DRAWS)
    of_sources = rng.multinomial(len(SOURCES), np.full(len(SOURCES), 1 / len(SOURCES)), _DRAWS)
    return np.asarray(of_tasks[:, tasks] * of_sources[:, sources], float)


def _judged(
    said: NDArray[np.float64], losses: NDArray[np.float64], draws: NDArray[np.float64]
) -> dict[str, float | None]:
    costs = _costs(said, losses)
    drawn = draws @ costs
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    total = costs.sum(0)
    flat = bool((np.ptp(said, axis=1) == 0).all())
    chosen = said == said.max(1, keepdims=True)
    right = chosen[np.arange(len(said)), losses.argmin(1)] / chosen.sum(1)
    ranks = [] if flat else [spearmanr(a, -b).statistic for a, b in zip(said, losses, strict=True)]
    return {
        "regret": float(total[0] / total[1]),
        "low": float(low),
        "high": float(high),
        "best": float(right.mean()),
        "spearman": None if flat else float(np.mean(ranks)),
    }


def _difference(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    losses: NDArray[np.float64],
    draws: NDArray[np.float64],
) -> dict[str, float]:
    ours, theirs = _costs(one, losses), _costs(other, losses)
    apart = np.stack([ours[:, 0] - theirs[:, 0], ours[:, 1]], 1)
    drawn, total = draws @ apart, apart.sum(0)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return {"regret": float(total[0] / total[1]), "low": float(low), "high": float(high)}
