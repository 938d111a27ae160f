"""Standard errors against other formulas and against simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pyattrx.affinities.statistics import PairMoments, clustered_stderr, paired_p_values


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.integers(0, 1000))
def test_moments_equal_the_direct_formula(labels, seed):
    groups = np.sort(np.unique(labels, return_inverse=True)[1])
    values = np.random.default_rng(seed).normal(0.3, 1e-3, size=(len(groups), 2, 2))
    moments = PairMoments((2, 2))
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


def test_intervals_of_grouped_probes_cover():
    """95 % intervals of means over 12 groups of different size, 4000 simulated sets of probes."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(3, 6, size=12)
    groups = np.repeat(np.arange(12), sizes)
    shared = rng.normal(size=(12, 4000))[groups]
    values = 0.2 + shared + 0.7 * rng.normal(size=(len(groups), 4000))
    reach = stats.t.ppf(0.975, 11) * clustered_stderr(values, groups)
    covered = np.abs(values.mean(0) - 0.2) < reach
    assert 0.93 < covered.mean() < 0.97


def test_p_values_are_holms():
    difference, stderr = np.array([0.5, 0.0, 0.3]), np.array([0.1, 0.1, 0.1])
    plain = 2 * stats.t.sf(np.abs(difference) / stderr, 9)
    expected = [3 * plain[0], 1.0, 2 * plain[2]]
    assert paired_p_values(difference, stderr, 10) == pytest.approx(expected)


def test_p_values_of_certain_and_unknown_differences():
    assert paired_p_values(np.array([0.1, 0.0]), np.zeros(2), 5).tolist() == [0.0, 1.0]
    assert paired_p_values(np.array([0.1]), np.array([np.nan]), 1).tolist() == [1.0]
    assert paired_p_values(np.array([]), np.array([]), 5).tolist() == []
