"""Every score of features against labels: seconds and memory, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyattrx import scores

from .measure import (
    Say,
    Settings,
    document,
    limited_threads,
    median,
    ratios_to,
    time_rounds,
    wall_seconds,
    with_peak_memory,
)
from .score_oracles import ORACLES, small_case

__all__ = ["run"]

_SHAPE = {"images": 10_000, "features": 2048, "classes": 10, "source_classes": 1000}
_QUICK = {"images": 200, "features": 16, "classes": 3, "source_classes": 8}
_ROUNDS = 3
# How far apart classes are, in standard deviations of a feature: most images can be told, or all.
_SPREAD, _SEPARABLE = 0.07, 1.0
_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(settings: Settings, say: Say) -> dict[str, Any]:
    """Time every score, and see how much memory it takes beyond its input.

    Ahead of that each is compared, on few images, with an independent computation in float64.

    Parameters
    ----------
    settings : Settings
        Three rounds if left out.
    say : callable
        Told what is running.

    Returns
    -------
    dict
        See `document`; a case is a score, and ``linear_probe`` twice: where classes are perfectly
        separable it goes on to its smallest penalty.

    Raises
    ------
    AssertionError
        A score is off by more than it may be.
    """
    cases = []
    for name in scores.SCORES:
        for title, spread in _titles(name):
            say(title)
            cases.append(_measured(name, title, spread, settings))
    with limited_threads(settings.threads):
        return document("scores", settings, cases=cases)


def _titles(name: str) -> list[tuple[str, float]]:
    more = [(f"{name}, separable", _SEPARABLE)] if name == "linear_probe" else []
    return [(name, _SPREAD), *more]


def _measured(name: str, title: str, spread: float, settings: Settings) -> dict[str, Any]:
    if settings.quick:  # times say nothing, and processes take seconds to begin
        return _measure(name, title, spread, settings)
    # The BLAS reads its number of threads once, as it is loaded.
    threads = dict.fromkeys(_BLAS, str(settings.threads))
    with _environment(threads), multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, Any] = pool.apply(_measure, (name, title, spread, settings))
    return found


@contextmanager
def _environment(changed: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _measure(name: str, title: str, spread: float, settings: Settings) -> dict[str, Any]:
    needs, options, oracle, limit = ORACLES[name]
    few, labels = small_case(needs)
    error = abs(scores.score(name, few, labels, **options).value - oracle(few, labels))
    if not error <= limit:
        raise AssertionError(f"{title} is off by {error}, beyond {limit}")
    shape = _QUICK if settings.quick else _SHAPE
    given, labels = _drawn(scores.SCORES[name].needs, spread, shape)

    def score() -> scores.Score:
        return scores.score(name, given, labels)

    with limited_threads(settings.threads):
        first, peak = with_peak_memory(score)
        rounds = Settings(settings.quick, settings.threads, settings.rounds or _ROUNDS)
        seconds = time_rounds({"pyattrx": score}, wall_seconds, rounds)
    candidates = ratios_to("pyattrx", seconds)
    candidates["pyattrx"] |= {"error": error, "peak_memory_bytes": peak}
    return {
        "name": title,
        "score": name,
        "shape": shape,
        "input_bytes": given.nbytes,
        "rounds": len(seconds["pyattrx"]),
        "seconds": median(seconds["pyattrx"]),
        "value": first.value,
        "stderr": first.stderr,
        "facts": first.facts,
        "error_limit": limit,
        "candidates": candidates,
        "left_out": {},
    }


def _drawn(needs: str, spread: float, shape: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """What a score takes, and labels [N]."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(shape["images"]) % shape["classes"])
    if needs == "features":
        x = rng.standard_normal((shape["images"], shape["features"]), dtype=np.float32)
        centres = rng.standard_normal((shape["classes"], shape["features"]), dtype=np.float32)
        for some in np.array_split(np.arange(len(x)), 16):
            x[some] += np.float32(spread) * centres[labels[some]]
        return x, labels
    theta = rng.standard_exponential((shape["images"], shape["source_classes"]), dtype=np.float32)
    # Half of the probability is that of a source class which the label has more often than others.
    theta /= 2 * theta.sum(1, keepdims=True)
    favoured = (labels + rng.integers(0, 3, len(labels))) % shape["source_classes"]
    theta[np.arange(len(theta)), favoured] += 0.5
    return (theta, labels) if needs == "probabilities" else (theta.argmax(1), labels)
