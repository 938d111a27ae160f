"""Baselines against loops, and what they must not look at."""

import numpy as np
import pytest

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import (
    Table,
    baseline_scores,
    family_scores,
    popularity_scores,
    precision_at_k,
    random_scores,
    retest_scores,
    spearman,
    static_scores,
    symmetrised_scores,
)

SOURCES = tuple("abcdef")
TARGETS = tuple("fcab")


@pytest.fixture
def truth():
    values = np.random.default_rng(0).integers(0, 9, size=(4, 6)).astype(float)
    values[1, 3] = np.nan
    return Table(values, TARGETS, SOURCES)


def standing(truth, target, source):
    """Share of the target's candidates that a source beats, by counting."""
    row = truth.values[truth.targets.index(target)]
    candidates = [
        v for v, s in zip(row, truth.sources, strict=True) if s != target and not np.isnan(v)
    ]
    value = row[truth.sources.index(source)]
    if source == target or np.isnan(value):
        return None
    return sum(1.0 if v < value else 0.5 * (v == value) for v in candidates) / len(candidates)


def test_popularity_is_the_mean_standing_with_other_targets(truth):
    scores = popularity_scores(truth)
    for i, target in enumerate(TARGETS):
        for j, source in enumerate(SOURCES):
            others = [standing(truth, t, source) for t in TARGETS if t != target]
            known = [value for value in others if value is not None]
            assert scores.values[i, j] == pytest.approx(np.mean(known) if known else 0.5)


def test_popularity_never_sees_the_row_it_scores(truth):
    changed = truth.values.copy()
    changed[2] = changed[2, ::-1] * 3
    again = popularity_scores(truth.with_values(changed))
    np.testing.assert_allclose(again.values[2], popularity_scores(truth).values[2])


def test_one_target_has_no_popular_sources():
    assert popularity_scores(Table([[1, 2, 3]], ["a"], ["a", "b", "c"])).values.tolist() == [
        [0.5, 0.5, 0.5]
    ]


def test_static_scores_are_mean_z_scores_of_the_other_targets(truth):
    scores = static_scores(truth)
    for i, target in enumerate(TARGETS):
        for j, source in enumerate(SOURCES):
            found = []
            for t, row in zip(TARGETS, truth.values, strict=True):
                values = {
                    s: v for s, v in zip(SOURCES, row, strict=True) if s != t and v == v
                }  # fmt: skip
                if t != target and source in values:
                    every = list(values.values())
                    found.append((values[source] - np.mean(every)) / np.std(every))
            assert scores.values[i, j] == pytest.approx(np.mean(found) if found else 0)


def test_static_scores_never_see_the_row_they_score_nor_its_scale(truth):
    changed = truth.values.copy()
    changed[2] = changed[2, ::-1] * 3
    changed[1] = changed[1] * 1e300
    again = static_scores(truth.with_values(changed))
    np.testing.assert_allclose(again.values[2], static_scores(truth).values[2])


def test_static_scores_without_anything_to_go_by():
    assert not static_scores(Table([[1, 2, 3]], ["a"], ["a", "b", "c"])).values.any()
    assert not static_scores(Table([[1, 1], [2, 2]], ["a", "b"], ["x", "y"])).values.any()
    with pytest.raises(InvalidValueError, match="finite numbers"):
        static_scores(Table([[1, np.inf], [2, 3]], ["a", "b"], ["x", "y"]))


def test_symmetrised_scores_are_means_of_both_directions(truth):
    scores = symmetrised_scores(truth).values
    for i, target in enumerate(TARGETS):
        for j, source in enumerate(SOURCES):
            there = standing(truth, target, source)
            back = standing(truth, source, target) if source in TARGETS else None
            known = [value for value in (there, back) if value is not None]
            if known:
                assert scores[i, j] == pytest.approx(np.mean(known))
            else:
                assert np.isnan(scores[i, j])


def test_a_symmetric_truth_of_ranks_is_its_own_ceiling():
    order = np.array([[0, 3, 2, 1], [3, 0, 1, 2], [2, 1, 0, 3], [1, 2, 3, 0]], dtype=float)
    assert spearman(symmetrised_scores(order), order) == pytest.approx(1.0)


def test_family_scores(truth):
    families = dict(zip("abcdef", "XXYYXY", strict=True))
    scores = family_scores(truth, families)
    assert scores.values.tolist() == [
        [0, 0, 1, 1, 0, 1],
        [0, 0, 1, 1, 0, 1],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 0],
    ]
    with pytest.raises(InvalidTypeError, match="families="):
        family_scores(truth, "XY")
    del families["e"]
    with pytest.raises(InvalidValueError, match="a family for 'e'"):
        family_scores(truth, families)


def test_random_scores_follow_their_seed(truth):
    one, two = random_scores(truth, seed=3), random_scores(truth, seed=3)
    np.testing.assert_array_equal(one.values, two.values)
    assert (random_scores(truth, seed=4).values != one.values).all()


def test_retest_reorders(truth):
    other = truth.select(TARGETS[::-1], SOURCES[::-1])
    again = retest_scores(truth, other)
    np.testing.assert_array_equal(again.values, truth.values)
    with pytest.raises(InvalidValueError, match="sources='f'"):
        retest_scores(truth, truth.select(TARGETS, SOURCES[:5]))


def test_all_of_them():
    truth = Table(np.random.default_rng(1).normal(size=(7, 7)), *[tuple("abcdefg")] * 2)
    families = dict.fromkeys("abcdefg", "X")
    scores = baseline_scores(truth, families=families, retest=truth)
    assert list(scores) == [
        "random",
        "family only",
        "source popularity",
        "symmetrised truth (ceiling)",
        "retest (ceiling)",
    ]
    assert precision_at_k(scores["random"], truth, 1, 2, ties="mean") == pytest.approx(1 / 3)
    assert precision_at_k(scores["family only"], truth, 1, 2, ties="mean") == pytest.approx(1 / 3)
    assert spearman(scores["retest (ceiling)"], truth) == pytest.approx(1.0)
