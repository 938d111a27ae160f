"""Kendall's tau-b against SciPy, and precision and recall where scores are tied."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, weightedtau

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import (
    kendall,
    precision_at_k,
    recall_at_k,
    regret_at_k,
    weighted_kendall,
)

tables = st.integers(3, 6).flatmap(
    lambda n: st.tuples(
        *[
            st.lists(
                st.lists(st.integers(-2, 2), min_size=n, max_size=n), min_size=n - 1, max_size=n - 1
            )
        ]
        * 2
    )
)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_kendall_is_that_of_scipy(case):
    affinity, truth = case
    if any(len(set(row)) == 1 for row in truth):
        with pytest.raises(InvalidValueError, match="different values"):
            kendall(affinity, truth)
        return
    expected = [
        0.0 if len(set(a)) == 1 else kendalltau(a, t).statistic
        for a, t in zip(affinity, truth, strict=True)
    ]
    np.testing.assert_allclose(kendall(affinity, truth, per_target=True), expected, atol=1e-12)
    assert kendall(affinity, truth) == pytest.approx(np.mean(expected), abs=1e-12)


def test_kendall_leaves_out_the_diagonal_and_orders_infinities():
    truth = np.array([[9.0, 1, 2], [1, -9, 2], [np.nan, 1, 9]])
    affinity = np.array([[np.nan, 0, np.inf], [np.inf, 0, -np.inf], [5, 6, 7]])
    with pytest.raises(InvalidValueError, match=r"two or more.*row 2"):
        kendall(affinity, truth)
    truth[2, 0] = 0
    assert kendall(affinity, truth, per_target=True).tolist() == [1.0, -1.0, 1.0]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 9).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(-2, 2), min_size=n, max_size=n), st.permutations(range(n))
        )
    )
)
def test_weighted_kendall_is_that_of_scipy(case):
    affinity, truth = (np.array(row, dtype=float) for row in case)
    found = weighted_kendall([affinity], [truth])
    if len(set(affinity)) == 1:
        assert found == 0
    else:
        expected = weightedtau(affinity, truth, rank=np.argsort(np.argsort(-truth))).statistic
        assert found == pytest.approx(expected, abs=1e-12)


def weighted_by_pairs(affinity, truth):
    """The definition; the weight of equals is the mean over all orders of them."""
    weight = {
        value: np.mean([1 / place for place, v in enumerate(sorted(truth)[::-1], 1) if v == value])
        for value in truth
    }
    alike = of_affinity = of_truth = 0.0
    for i, j in itertools.combinations(range(len(truth)), 2):
        pair = weight[truth[i]] + weight[truth[j]]
        a, t = np.sign(affinity[i] - affinity[j]), np.sign(truth[i] - truth[j])
        alike += a * t * pair
        of_affinity += abs(a) * pair
        of_truth += abs(t) * pair
    return alike / np.sqrt(of_affinity * of_truth) if of_affinity else 0.0


@settings(max_examples=150, deadline=None)
@given(tables)
def test_weighted_kendall_with_equals_in_the_truth(case):
    affinity, truth = case
    if all(len(set(row)) > 1 for row in truth):
        found = weighted_kendall(affinity, truth, per_target=True)
        rows = zip(affinity, truth, strict=True)
        np.testing.assert_allclose(found, [weighted_by_pairs(*row) for row in rows], atol=1e-12)


def test_kendall_refuses_what_is_no_table():
    with pytest.raises(InvalidTypeError, match="affinity="):
        kendall("text", np.eye(3))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=4, max_size=5),
    st.integers(1, 4),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_ties_count_the_mean_over_all_orders(scores, k, relevant, random):
    truth = list(range(len(scores)))
    random.shuffle(truth)
    orders = []
    for noise in itertools.permutations(np.linspace(0, 0.5, len(scores))):
        orders.append(precision_at_k([np.add(scores, noise)], [truth], k, relevant))
    precision = precision_at_k([scores], [truth], k, relevant, ties="mean")
    assert precision == pytest.approx(np.mean(orders), abs=1e-12)
    recall = recall_at_k([scores], [truth], k, relevant, ties="mean")
    assert recall == pytest.approx(precision * k / relevant)


def test_without_ties_both_ways_agree():
    affinity, truth = np.random.default_rng(0).normal(size=(2, 8, 8))
    for k in (1, 3, 5):
        assert precision_at_k(affinity, truth, k) == precision_at_k(affinity, truth, k, ties="mean")


def test_a_constant_score_is_chance_exactly():
    truth = np.random.default_rng(1).normal(size=(6, 6))
    assert precision_at_k(np.zeros((6, 6)), truth, k=2, relevant=3, ties="mean") == pytest.approx(
        3 / 5
    )


def test_unknown_ties():
    with pytest.raises(InvalidValueError, match="ties='last'"):
        precision_at_k(np.eye(7), np.eye(7), ties="last")


class TestRegret:
    def test_of_the_best_and_of_chance(self):
        rng = np.random.default_rng(0)
        truth = rng.normal(size=(6, 7))
        assert regret_at_k(truth, truth) == 0
        assert regret_at_k(np.zeros((6, 7)), truth, ties="mean") == pytest.approx(1)
        worst = regret_at_k(-truth, truth, per_target=True)
        expected = (truth.max(1) - truth.min(1)) / (truth.max(1) - truth.mean(1))
        np.testing.assert_allclose(worst, expected)
        assert regret_at_k(-truth, truth, 7) == 0

    @given(
        st.lists(st.integers(-3, 3), min_size=5, max_size=5),
        st.lists(st.integers(-50, 50), min_size=5, max_size=5).filter(lambda x: len(set(x)) > 1),
        st.integers(1, 5),
    )
    def test_ties_are_the_mean_of_all_orders(self, scores, truth, k):
        short = max(truth) - np.array(truth)
        orders = [
            min(short[list(order[:k])])
            for order in itertools.permutations(range(5))
            if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
        ]
        found = regret_at_k([scores], [truth], k, ties="mean")
        assert found == pytest.approx(np.mean(orders) / short.mean())
        first = np.argsort(-np.array(scores), kind="stable")[:k]
        assert regret_at_k([scores], [truth], k) == pytest.approx(min(short[first]) / short.mean())

    @given(st.integers(-1060, 960), st.floats(-2, 2))
    def test_units_do_not_matter(self, exponent, shift):
        rng = np.random.default_rng(1)
        truth, scores = rng.integers(1, 9, (2, 4, 6)).astype(float)
        truth[:, :2] = 0, 9
        expected = regret_at_k(scores, truth, 2)
        assert regret_at_k(scores, truth + shift, 2) == pytest.approx(expected)
        assert regret_at_k(scores, np.ldexp(truth, exponent), 2) == pytest.approx(expected)

    def test_of_what_diverged(self):
        truth = [[3.0, 1.0, -np.inf, 2.0]]
        assert regret_at_k([[0, 0, 1, 0]], truth) == regret_at_k([[0, 1, 0, 0]], truth)
        assert regret_at_k([[0, 0, 1, 0]], truth) == pytest.approx(2 / 1.25)
        for bad in ([[np.inf, 0.0, 1.0]], [[-np.inf, 2.0, 2.0]], [[1.0, 1.0, 1.0]]):
            with pytest.raises(InvalidValueError, match="truth="):
                regret_at_k([[0, 1, 2]], bad)
        with pytest.raises(InvalidValueError, match="k=5"):
            regret_at_k([[0, 0, 1, 0]], truth, 5)
        with pytest.raises(InvalidValueError, match="ties="):
            regret_at_k([[0, 0, 1, 0]], truth, ties="last")
