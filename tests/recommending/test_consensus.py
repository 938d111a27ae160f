"""The consensus against a plain loop of regressions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyattrx.errors import InvalidValueError
from pyattrx.recommending import consensus
from pyattrx.recommending.agreement import by_every_target
from pyattrx.scores import compare


def plainly(features, groups):
    """R^2 of ridge regression between halves of the groups, both ways, in float64."""
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in features]
    first = groups[np.sort(np.unique(groups, return_index=True)[1])]
    half = np.array([list(first).index(g) % 2 for g in groups])
    out = np.empty((len(unit), len(unit)))
    for t, z in enumerate(unit):
        for s, u in enumerate(unit):
            values = []
            for fit, test in ((0, 1), (1, 0)):
                a, b = u[half == fit], z[half == fit]
                ua, zb = a - a.mean(0), b - b.mean(0)
                gram = ua.T @ ua
                penalty = 0.1 * np.trace(gram) / min(*a.shape)
                weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), ua.T @ zb)
                x, y = u[half == test], z[half == test]
                error = y - (x - a.mean(0)) @ weights - b.mean(0)
                values.append(1 - np.square(error).sum() / np.square(y - y.mean(0)).sum())
            out[t, s] = np.mean(values)
    return out


def made(n, widths, seed):
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((n, 8)).astype(np.float32)
    return [
        (base @ rng.standard_normal((8, w)) + rng.standard_normal((n, w))).astype(np.float32)
        for w in widths
    ]


def by_targets(between):
    """Every target's scores of the others in standard deviations, and their mean by source."""
    count = len(between)
    rows = np.full((count, count), np.nan)
    for t in range(count):
        others = [s for s in range(count) if s != t]
        scores = between[t, others]
        rows[t, others] = (scores - scores.mean()) / scores.std() if count >= 10 else scores
    return np.nanmean(rows, axis=0)


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(12, 60),
    widths=st.lists(st.integers(2, 40), min_size=2, max_size=12),
    seed=st.integers(0, 99),
)
def test_all_targets_count_alike(n, widths, seed):
    features = made(n, widths, seed)
    groups = np.arange(n) // 2
    found = consensus(features, groups)
    expected = plainly([f.astype(np.float64) for f in features], groups)
    np.testing.assert_allclose(found.between, expected, atol=2e-5)
    np.testing.assert_allclose(found.values, by_targets(found.between), atol=1e-9)
    assert found.stderr.shape == (len(widths),)


def test_scale_and_rotation_do_not_matter():
    features = made(40, [5, 9, 7], 0)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    others = [features[0] @ turn.astype(np.float32) * 1e6, features[1] * 1e-20, features[2]]
    one, two = (consensus(f, np.arange(40)).values for f in (features, others))
    np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("widths", [(5, 9, 7), (5, 9, 7, 12, 4, 3, 6, 8, 10, 11)])
def test_the_error_is_about_that_of_other_images(widths):
    rng = np.random.default_rng(0)
    mix = [rng.standard_normal((6, w)) for w in widths]

    def draw():
        base = rng.standard_normal((80, 6))
        return consensus(
            [base @ m + rng.standard_normal((80, m.shape[1])) for m in mix], np.arange(80)
        )

    found = [draw() for _ in range(60)]
    spread = np.std([one.values for one in found], axis=0)
    said = np.sqrt(np.mean([np.square(one.stderr) for one in found], axis=0))
    assert np.all(said > 0.7 * spread) and np.all(said < 2.0 * spread)


def test_only_the_first_groups_are_used():
    features = made(60, [4, 6], 0)
    groups = np.arange(60) // 3
    few = consensus(features, groups, most=30)
    assert few.images == 30
    cut = [f[:30] for f in features]
    np.testing.assert_array_equal(few.values, consensus(cut, groups[:30]).values)


def test_too_little_is_refused():
    features = made(6, [3, 4], 0)
    with pytest.raises(InvalidValueError, match="features=1"):
        consensus(features[:1], np.arange(6))
    with pytest.raises(InvalidValueError, match="groups=3"):
        consensus(features, np.arange(6) // 2)


def test_a_constant_network_predicts_and_adds_nothing():
    features = [*made(40, [5, 6], 0), np.ones((40, 4), np.float32)]
    found = consensus(features, np.arange(40))
    # What is left is the error of one half's mean as a prediction of the other.
    assert np.all(found.between[:2, 2] < 0) and np.all(found.between[:2, 2] > -0.15)
    assert np.all(found.between[2, :2] == 0)
    assert found.values[:2].min() > found.values[2]


def test_as_scores_candidates_compare_as_their_residuals_say():
    features = made(40, [5, 9, 7], 0)
    found = consensus(features, np.arange(40))
    scores = found.scores()
    assert [one.value for one in scores] == found.values.tolist()
    assert scores[0].facts == {"images": 40}
    paired = compare(scores[0], scores[2])
    errors = found.residuals.stderr_of_differences(np.array([0]), np.array([2]))
    assert paired.stderr == pytest.approx(errors[0, 0], rel=1e-12)
    others = consensus([*features[:2], features[2][:, :3]], np.arange(40)).scores()
    with pytest.raises(InvalidValueError, match="the same images"):
        compare(scores[0], others[0])


def test_a_target_that_all_predict_alike_says_nothing():
    between = np.random.default_rng(0).random((11, 11))
    between[3] = 0.3
    rows = [t for t in range(11) if t != 3]
    expected = np.zeros(11)
    for t in rows:
        others = [s for s in range(11) if s != t]
        scores = between[t, others]
        expected[others] += (scores - scores.mean()) / scores.std() / 10
    np.testing.assert_allclose(by_every_target(between), expected, atol=1e-12)


def test_few_candidates_have_their_mean():
    between = np.random.default_rng(0).random((9, 9))
    expected = [np.delete(between[:, s], s).mean() for s in range(9)]
    np.testing.assert_allclose(by_every_target(between), expected)
