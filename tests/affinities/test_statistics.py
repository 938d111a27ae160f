"""Standard errors against other formulas and against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pyattrx.statistics import (
    PairMoments,
    clustered_stderr,
    degrees_of_freedom,
    paired_p_values,
    reach,
)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.integers(0, 1000))
def test_moments_equal_the_direct_formula(labels, seed):
    groups = np.sort(np.unique(labels, return_inverse=True)[1])
    values = np.random.default_rng(seed).normal(0.3, 1e-3, size=(len(groups), 2, 2))
    moments = PairMoments((2, 2), len(groups))
    half = len(groups) // 2
    moments.add(values[:half], groups[:half])
    moments.add(values[half:], groups[half:])
    mean, stderr = moments.mean_and_stderr()
    assert np.allclose(mean, values.mean(0), rtol=1e-14)
    assert np.allclose(stderr, clustered_stderr(values, groups), rtol=1e-8, equal_nan=True)


def test_probes_of_their_own_give_the_usual_standard_error():
    values = np.random.default_rng(0).normal(size=(20, 3))
    assert np.allclose(clustered_stderr(values, np.arange(20)), stats.sem(values))


def test_equal_groups_give_the_standard_error_of_the_group_means():
    values = np.random.default_rng(0).normal(size=(12, 3))
    groups = np.repeat(np.arange(4), 3)
    means = values.reshape(4, 3, 3).mean(1)
    assert np.allclose(clustered_stderr(values, groups), stats.sem(means))


def test_copies_of_a_probe_teach_nothing():
    values = np.random.default_rng(0).normal(size=10)
    copies, groups = np.repeat(values, 7), np.repeat(np.arange(10), 7)
    assert clustered_stderr(copies, groups) == pytest.approx(stats.sem(values))


SIZES = {
    "alone": lambda rng, count: np.ones(count, int),
    "equal": lambda rng, count: np.full(count, 6),
    "unequal": lambda rng, count: rng.integers(1, 12, count),
}


@pytest.mark.parametrize("count", [8, 12, 30, 100])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("within", [0.0, 0.7, 1.0])
def test_intervals_cover(count, sizes, within):
    """95 % intervals of means over groups of any sizes, 4000 simulated sets of probes."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(count), SIZES[sizes](rng, count))
    shared = rng.normal(size=(count, 4000))[groups]
    own = rng.normal(size=(len(groups), 4000))
    values = 0.2 + within**0.5 * shared + (1 - within) ** 0.5 * own
    half = reach(0.95, degrees_of_freedom(groups)) * clustered_stderr(values, groups)
    covered = np.abs(values.mean(0) - 0.2) < half
    assert 0.93 < covered.mean() < 0.97


def test_a_few_large_groups_make_wide_intervals_and_not_wrong_ones():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), [30] + 11 * [1])
    values = rng.normal(size=(12, 4000))[groups]
    half = reach(0.95, degrees_of_freedom(groups)) * clustered_stderr(values, groups)
    assert degrees_of_freedom(groups) < 2
    assert (np.abs(values.mean(0)) < half).mean() > 0.93


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40))
def test_degrees_of_freedom_are_those_of_the_matrices(labels):
    groups = np.unique(labels, return_inverse=True)[1]
    sizes = np.bincount(groups).astype(float)
    count = len(sizes)
    if count < 2:
        assert degrees_of_freedom(groups) == 0
        return
    share = sizes / sizes.sum()
    residual = np.eye(count) - np.outer(share, np.ones(count))
    form = residual.T @ np.diag(1 / (1 - share)) @ residual
    m = np.diag(sizes) @ form @ np.diag(sizes)
    expected = np.clip(np.trace(m) ** 2 / np.square(m).sum(), 1, count - 1)
    assert degrees_of_freedom(groups) == pytest.approx(expected, rel=1e-6)


def test_p_values_are_holms():
    difference, stderr = np.array([0.5, 0.0, 0.3]), np.array([0.1, 0.1, 0.1])
    plain = 2 * stats.t.sf(np.abs(difference) / stderr, 9)
    expected = [3 * plain[0], 1.0, 2 * plain[2]]
    assert paired_p_values(difference, stderr, 9) == pytest.approx(expected)


def test_p_values_of_certain_and_unknown_differences():
    assert paired_p_values(np.array([0.1, 0.0]), np.zeros(2), 4).tolist() == [0.0, 1.0]
    assert paired_p_values(np.array([0.1]), np.array([np.nan]), 0).tolist() == [1.0]
    assert paired_p_values(np.array([]), np.array([]), 4).tolist() == []
