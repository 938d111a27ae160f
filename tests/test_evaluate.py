"""Rankings against brute force, SciPy and cases worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import precision_at_k, random_precision, recall_at_k, spearman

MEASURES = [precision_at_k, recall_at_k, spearman]


def ranked(row, columns):
    return sorted(columns, key=lambda column: (-row[column], column))


def brute_force_hits(affinity, truth, candidates, k, relevant):
    return [
        len(set(ranked(a, columns)[:k]) & set(ranked(t, columns)[:relevant]))
        for a, t, columns in zip(affinity, truth, candidates, strict=True)
    ]


@st.composite
def rankings(draw):
    """Tables of one shape with ties, and what a target may draw from."""
    targets, sources = draw(st.integers(1, 6)), draw(st.integers(3, 7))
    scores = st.integers(-3, 3)
    table = st.lists(
        st.lists(scores, min_size=sources, max_size=sources), min_size=targets, max_size=targets
    )
    affinity = np.array(draw(table), dtype=float)
    truth = np.array(draw(table), dtype=float)
    if targets != sources:  # one hole in each row, on both sides or in the truth alone
        for row in range(targets):
            column = draw(st.integers(0, sources - 1))
            truth[row, column] = np.nan
            if draw(st.booleans()):
                affinity[row, column] = np.nan
    candidates = [
        [c for c in range(sources) if not np.isnan(truth[r, c]) and (targets != sources or c != r)]
        for r in range(targets)
    ]
    k = draw(st.integers(1, sources - 1))
    relevant = draw(st.integers(1, sources - 1))
    return affinity, truth, candidates, k, relevant


@settings(max_examples=200, deadline=None)
@given(rankings())
def test_precision_and_recall_are_what_counting_gives(case):
    affinity, truth, candidates, k, relevant = case
    hits = np.array(brute_force_hits(affinity, truth, candidates, k, relevant))
    precision = precision_at_k(affinity, truth, k, relevant, per_target=True)
    recall = recall_at_k(affinity, truth, k, relevant, per_target=True)
    np.testing.assert_allclose(precision, hits / k)
    np.testing.assert_allclose(recall, hits / relevant)
    assert precision_at_k(affinity, truth, k, relevant) == pytest.approx(hits.mean() / k)
    assert recall_at_k(affinity, truth, k, relevant) == pytest.approx(hits.mean() / relevant)


@settings(max_examples=200, deadline=None)
@given(rankings())
def test_spearman_is_that_of_scipy(case):
    affinity, truth, candidates, _, _ = case
    expected = []
    for a, t, columns in zip(affinity, truth, candidates, strict=True):
        if len(set(t[columns])) == 1:
            with pytest.raises(InvalidValueError, match="different values"):
                spearman(affinity, truth)
            return
        flat = len(set(a[columns])) == 1
        expected.append(0.0 if flat else spearmanr(a[columns], t[columns]).statistic)
    np.testing.assert_allclose(spearman(affinity, truth, per_target=True), expected, atol=1e-12)
    assert spearman(affinity, truth) == pytest.approx(np.mean(expected), abs=1e-12)


def test_the_truth_ranks_itself_perfectly():
    truth = np.random.default_rng(0).normal(size=(9, 9))
    assert precision_at_k(truth, truth) == 1.0
    assert recall_at_k(truth, truth) == 1.0
    assert spearman(truth, truth) == pytest.approx(1.0)
    assert spearman(-truth, truth) == pytest.approx(-1.0)


def test_defaults_are_five_and_five():
    rng = np.random.default_rng(1)
    affinity, truth = rng.normal(size=(2, 12, 12))
    assert precision_at_k(affinity, truth) == precision_at_k(affinity, truth, k=5, relevant=5)
    assert precision_at_k(affinity, truth) != precision_at_k(affinity, truth, k=4, relevant=5)


@pytest.mark.parametrize(("count", "usual"), [(3, 1), (4, 1), (5, 2), (6, 2), (7, 5)])
def test_defaults_fit_few_networks(count, usual):
    """Of `count` networks each has one candidate fewer."""
    affinity, truth = np.random.default_rng(count).normal(size=(2, count, count))
    for measure in (precision_at_k, recall_at_k):
        assert measure(affinity, truth) == measure(affinity, truth, k=usual, relevant=usual)
        assert measure(affinity, truth, 1) == measure(affinity, truth, k=1, relevant=usual)
    assert random_precision(count - 1) == random_precision(count - 1, usual) < 1


def test_the_diagonal_of_a_square_table_does_not_count():
    affinity, truth = np.random.default_rng(2).normal(size=(2, 7, 7))
    expected = [measure(affinity, truth) for measure in MEASURES]
    for filling in (np.nan, 1e9, -np.inf):
        np.fill_diagonal(affinity, filling)
        np.fill_diagonal(truth, -filling)
        assert [measure(affinity, truth) for measure in MEASURES] == expected


def test_ties_rank_by_column():
    truth = np.array([[0, 1, 2, 3]], dtype=float)[:, :4]
    truth = np.vstack([truth, truth])
    flat = np.zeros((2, 4))
    assert precision_at_k(flat, truth, k=1, relevant=1) == 0.0
    assert precision_at_k(flat, truth[:, ::-1], k=1, relevant=1) == 1.0
    assert precision_at_k(truth, flat, k=2, relevant=2) == 0.0
    assert spearman(flat, truth) == 0.0


def test_infinite_scores_rank_first_and_last():
    truth = [[3.0, 2.0, 1.0]] * 2
    affinity = [[np.inf, 5.0, -np.inf], [1.0, 2.0, np.inf]]
    assert precision_at_k(affinity, truth, k=1, relevant=1, per_target=True).tolist() == [1.0, 0.0]
    assert spearman(affinity, truth, per_target=True).tolist() == pytest.approx([1.0, -1.0])


class TestTables:
    affinity, truth = np.random.default_rng(3).normal(size=(2, 7, 7))
    names = tuple("abcdefg")

    @pytest.mark.parametrize("measure", MEASURES)
    @pytest.mark.parametrize(
        "as_table",
        [
            np.ndarray.tolist,
            np.float32,
            pd.DataFrame,
            torch.tensor,
            lambda x: SimpleNamespace(values=x),
            lambda x: SimpleNamespace(values=x, names=list("abcdefg")),
            lambda x: pd.DataFrame(x, index=list("abcdefg"), columns=list("abcdefg")),
        ],
    )
    def test_any_table(self, measure, as_table):
        expected = measure(self.affinity, self.truth)
        assert measure(as_table(self.affinity), as_table(self.truth)) == pytest.approx(expected)
        assert measure(as_table(self.affinity), self.truth) == pytest.approx(expected)
        assert measure(self.affinity, as_table(self.truth)) == pytest.approx(expected)

    @pytest.mark.parametrize("measure", MEASURES)
    def test_the_own_name_is_no_candidate_wherever_it_stands(self, measure):
        labels = {"index": self.names, "columns": self.names}
        affinity, truth = (pd.DataFrame(x, **labels) for x in (self.affinity, self.truth))
        # Fewer targets, and sources in another order: without ties that order is free.
        columns = list("gfedcba")
        short_a, short_t = affinity.loc[list("bd"), columns], truth.loc[list("bd"), columns]
        expected = measure(affinity, truth, per_target=True)[[1, 3]]
        np.testing.assert_allclose(measure(short_a, short_t, per_target=True), expected)
        np.testing.assert_allclose(measure(short_a.to_numpy(), short_t, per_target=True), expected)

    def test_a_square_of_different_names_has_all_candidates(self):
        labels = {"index": list("uvwxyz1"), "columns": self.names}
        affinity, truth = (pd.DataFrame(x, **labels) for x in (self.affinity, self.truth))
        hits = brute_force_hits(self.affinity, self.truth, [range(7)] * 7, 3, 3)
        result = precision_at_k(affinity, truth, k=3, relevant=3, per_target=True)
        np.testing.assert_allclose(result, np.array(hits) / 3)
        assert precision_at_k(affinity, truth, k=7, relevant=7) == 1.0

    def test_names_must_agree(self):
        first = pd.DataFrame(self.affinity, index=self.names, columns=self.names)
        other = first.iloc[:, ::-1]
        with pytest.raises(InvalidValueError, match=r"truth=.*same order"):
            precision_at_k(first, other)


class TestErrors:
    good = np.arange(42.0).reshape(6, 7)

    @pytest.mark.parametrize("measure", MEASURES)
    def test_shapes_differ(self, measure):
        with pytest.raises(InvalidValueError, match=r"truth=\(6, 6\).*\(6, 7\)"):
            measure(self.good, self.good[:, :6])

    @pytest.mark.parametrize("measure", MEASURES)
    @pytest.mark.parametrize("bad", [np.empty((0, 3)), np.zeros(3), np.zeros((2, 2, 2)), 1.0])
    def test_no_table(self, measure, bad):
        with pytest.raises(InvalidValueError, match="affinity="):
            measure(bad, bad)

    @pytest.mark.parametrize("measure", MEASURES)
    @pytest.mark.parametrize(
        "bad", ["text", None, {"a": [1]}, [[1, 2], [3]], [["1"]], np.eye(3) * 1j]
    )
    def test_no_numbers(self, measure, bad):
        with pytest.raises(InvalidTypeError, match="affinity="):
            measure(bad, self.good)
        with pytest.raises(InvalidTypeError, match="truth="):
            measure(self.good, bad)

    @pytest.mark.parametrize("measure", MEASURES)
    def test_tensor_that_needs_gradients(self, measure):
        with pytest.raises(InvalidTypeError, match="detach"):
            measure(torch.eye(6, requires_grad=True), np.eye(6))

    @pytest.mark.parametrize("measure", MEASURES)
    def test_nan_for_a_candidate(self, measure):
        affinity = self.good.copy()
        affinity[2, 3] = np.nan
        with pytest.raises(InvalidValueError, match=r"affinity=nan.*row 2, column 3"):
            measure(affinity, self.good)

    @pytest.mark.parametrize("measure", MEASURES)
    def test_target_without_candidates(self, measure):
        truth = self.good.copy()
        truth[4] = np.nan
        with pytest.raises(InvalidValueError, match=r"truth=.*row 4"):
            measure(self.good, truth)

    @pytest.mark.parametrize("measure", [precision_at_k, recall_at_k])
    @pytest.mark.parametrize("argument", ["k", "relevant"])
    def test_counts_out_of_range(self, measure, argument):
        truth = self.good.copy()
        truth[1, :3] = np.nan
        for value in (0, -1, 5):
            with pytest.raises(InvalidValueError, match=f"{argument}={value}: .* from 1 to 4"):
                measure(self.good, truth, **{"k": 2, "relevant": 2, argument: value})
        for value in (2.0, "2", True):
            with pytest.raises(InvalidTypeError, match=f"{argument}="):
                measure(self.good, truth, **{"k": 2, "relevant": 2, argument: value})
        assert measure(self.good, truth, **{"k": 2, "relevant": 2, argument: np.int64(4)}) > 0

    def test_rank_correlation_needs_two_candidates(self):
        with pytest.raises(InvalidValueError, match="two or more"):
            spearman(np.eye(2), np.eye(2))

    def test_rank_correlation_needs_a_truth_that_ranks(self):
        with pytest.raises(InvalidValueError, match="row 0"):
            spearman(np.random.default_rng(0).normal(size=(2, 3)), np.ones((2, 3)))


def test_random_precision_is_the_mean_over_random_rankings():
    rng = np.random.default_rng(4)
    truth = rng.normal(size=(4000, 10))
    measured = precision_at_k(rng.normal(size=truth.shape), truth, k=3, relevant=4)
    assert random_precision(10, 4) == 0.4
    assert measured == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, 1), InvalidValueError),
        ((5, 6), InvalidValueError),
        ((5, 0), InvalidValueError),
        ((5.0, 1), InvalidTypeError),
        ((5, 1.0), InvalidTypeError),
        ((True, 1), InvalidTypeError),
    ],
)
def test_random_precision_refuses(arguments, error):
    with pytest.raises(error, match=r"n_sources=|relevant="):
        random_precision(*arguments)
