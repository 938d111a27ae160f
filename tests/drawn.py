"""Networks of `assembled` drawn at random: what the tests that draw them have in common."""

import os

import pytest
import torch
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

import pyattrx
from assembled import (
    BAD,
    GOOD,
    HEADS,
    PATCHES,
    STEMS,
    assemble,
    copies_of,
    oracle,
    transform,
)

__all__ = ["VARIES", "close", "expected", "few", "many", "named", "other", "said"]

VARIES = "as many as there are bright pixels"
# float32 through a dozen layers; at a kink a unit may be on one side or the other.
_TOLERANCE = 2e-3
# Networks are small already: looking for smaller ones takes minutes.
_SETTINGS = {
    "deadline": None,
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}


def _drawn(methods, most):
    parts = sorted(GOOD) + sorted(BAD)
    return given(
        stem=st.sampled_from(sorted(STEMS)),
        # Half of them without a mistake: most of the others are refused.
        parts=st.lists(st.sampled_from(sorted(GOOD)), max_size=most)
        | st.lists(st.sampled_from(parts), max_size=most),
        head=st.sampled_from(sorted(set(HEADS) - {VARIES})),
        patch=st.sampled_from(sorted(PATCHES)),
        name=st.sampled_from(sorted(methods)),
        batch_size=st.sampled_from([1, 2, 3, 4, 32]),
    )


def few(count, methods, most):
    """Draw the same networks each time: one that nobody has met yet is for `many` to find."""

    def decorate(test):
        drawn = _drawn(methods, most)(test)
        return settings(max_examples=count, derandomize=True, **_SETTINGS)(drawn)

    return decorate


def many(count, methods, most):
    """Draw other networks each time, for minutes: PYATTRX_MANY_NETWORKS=1 asks for it."""
    asked = os.environ.get("PYATTRX_MANY_NETWORKS")

    def decorate(test):
        drawn = settings(max_examples=count, **_SETTINGS)(_drawn(methods, most)(test))
        skipped = pytest.mark.skipif(not asked, reason="asked for by name only")(drawn)
        return pytest.mark.slow(skipped)

    return decorate


def said(answer):
    """Count an answer, for --hypothesis-show-statistics: numbers, and why there are none."""
    if isinstance(answer, float):
        event("a number" if answer else "zero")
    else:
        event(f"refused: {getattr(answer, 'assumption', type(answer).__name__)}")


def named(network, name):
    return pyattrx.Encoder(network, name=name, transform=transform)


def other():
    """A well-behaved network to compare with."""
    return assemble("strided conv", ["tanh", "conv"], "pooled", seed=5)


def expected(network, head, name):
    """The affinity of a network with `other`, by the oracle."""
    torch.manual_seed(0)
    return oracle(network, other(), name, copies_of(head))


def close(found, right):
    return abs(found - right) < _TOLERANCE
