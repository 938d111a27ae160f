"""What published accuracies show, against plain loops and SciPy."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import (
    Accuracies,
    Table,
    judge_scores,
    paired_difference,
    popularity_scores,
    precision_at_k,
    rank_agreement,
    regret_at_k,
    reliability,
    spearman,
    static_scores,
    weighted_kendall,
)

NAMES = list("abcdefgh")
DATA = [f"data{i}" for i in range(6)]
NAN = np.nan
FEW = {"samples": 200}


def published(seed=0, missing=0.0, seeds=1):
    rng = np.random.default_rng(seed)
    good = rng.random(len(NAMES))
    values = rng.normal(size=(len(DATA), len(NAMES), seeds)) * 0.2 + good[:, None]
    values[rng.random(values.shape) < missing] = NAN
    return Accuracies(values, DATA, NAMES)


def halves(values):
    """Correlations of all equally likely splits of the seeds of every model."""
    ways = []
    for row in values:
        there = [value for value in row if value == value]
        ways.append([
            (np.mean([there[i] for i in one]),
             np.mean([v for i, v in enumerate(there) if i not in one]))
            for one in itertools.combinations(range(len(there)), len(there) // 2)
        ])  # fmt: skip
    return [spearmanr(*zip(*split, strict=True)).statistic for split in itertools.product(*ways)]


@pytest.mark.parametrize("third", [NAN, 0.35])
def test_halves_of_the_seeds_are_split_in_every_way(third):
    values = np.array([[0.1, 0.4, third], [0.2, 0.5, 0.32], [0.3, 0.6, NAN]])
    found = Accuracies([values], ["pets"], ["a", "b", "c"])
    every = halves(values)
    drawn = [reliability(found, splits=1, seed=s, **FEW).per_dataset[0] for s in range(80)]
    assert set(np.round(drawn, 9)) == set(np.round(every, 9))
    many = 1000
    mean = reliability(found, splits=many, **FEW).per_dataset[0]
    assert abs(mean - np.mean(every)) < 4 * np.std(every) / np.sqrt(many)


def test_reliability_of_all_seeds_is_that_of_spearman_and_brown():
    found = reliability(published(seeds=4), **FEW)
    assert found.datasets == tuple(DATA)
    assert found.halves.value == pytest.approx(np.mean(found.per_dataset))
    assert min(found.per_dataset) > 0
    for end in ("value", "low", "high"):
        r = getattr(found.halves, end)
        assert getattr(found.whole, end) == pytest.approx(2 * r / (1 + r))


def test_the_formula_tells_what_other_seeds_say():
    rng = np.random.default_rng(0)
    good = rng.normal(size=(300, 12, 1))
    names = [[str(i) for i in range(count)] for count in (300, 12)]
    one, two = (Accuracies(good + rng.normal(size=(300, 12, 4)), *names) for _ in range(2))
    told = reliability(one, splits=10, **FEW).whole.value
    again = spearman(two.table(), one.table(), per_target=True)
    # Both are means over the 300: they differ by no more than their errors.
    assert abs(told - again.mean()) < 4 * again.std() / np.sqrt(300)


def test_correlations_below_zero_are_kept():
    values = [[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]]  # what one half has first, the other has last
    found = reliability(Accuracies([values], ["x"], ["a", "b", "c"]), **FEW)
    assert found.whole.value == found.halves.value < 0
    assert np.isnan(found.whole.low)


def test_seeds_that_agree_and_seeds_without_an_order():
    values = np.repeat(np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])[:, :, None], 3, 2)
    found = reliability(Accuracies(values, ["one", "none"], ["a", "b", "c"]), **FEW)
    assert found.per_dataset == (pytest.approx(1), 0.0)
    assert found.seed_sd == pytest.approx((0, 0), abs=1e-15)
    assert found.model_sd == (pytest.approx(0.1), 0)


def test_equal_means_are_equal_whatever_their_seeds():
    values = np.full((1, 3, 3), NAN)
    values[0, 0, :2] = 0.91, 0.93
    values[0, 1, 2] = 0.92
    values[0, 2] = 0.93, 0.92, 0.91
    table = Accuracies(values, ["pets"], ["a", "b", "c"]).table()
    assert len(set(table.values[0])) == 1
    for scale in (1e300, 1e-300, 100):
        found = Accuracies(values * scale, ["pets"], ["a", "b", "c"]).table().values
        np.testing.assert_allclose(found, table.values * scale, rtol=1e-11)
    unlike = Accuracies([[[0.1] * 3, [0.1, 0.1, NAN], [0.1, 0.1, NAN]]], ["pets"], ["a", "b", "c"])
    assert reliability(unlike, **FEW).per_dataset == (0.0,)


def test_deviations_against_a_loop():
    found = published(seeds=4, missing=0.2)
    result = reliability(found, splits=1, **FEW)
    for dataset, seed_sd, model_sd in zip(
        result.datasets, result.seed_sd, result.model_sd, strict=True
    ):
        rows = [[v for v in row if v == v] for row in found.values[found.datasets.index(dataset)]]
        rows = [row for row in rows if len(row) > 1]
        squares = sum((v - statistics.mean(row)) ** 2 for row in rows for v in row)
        degrees = sum(len(row) - 1 for row in rows)
        assert seed_sd == pytest.approx((squares / degrees) ** 0.5)
        assert model_sd == pytest.approx(statistics.stdev(statistics.mean(row) for row in rows))


def test_reliability_needs_seeds():
    values = np.full((2, 3, 2), NAN)
    values[:, :, 0] = [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]
    values[0, :2, 1] = 0.5  # two models are no ranking
    found = Accuracies(values, ["x", "y"], ["a", "b", "c"])
    with pytest.raises(InvalidValueError, match="accuracies=.*several seeds of 3 models"):
        reliability(found)
    with pytest.raises(InvalidTypeError, match="accuracies="):
        reliability(values)
    with pytest.raises(InvalidValueError, match="splits=0"):
        reliability(published(seeds=2), splits=0)
    with pytest.raises(InvalidTypeError, match="splits="):
        reliability(published(seeds=2), splits=1.5)


def test_two_truths_agree_as_scipy_says_on_what_both_have():
    first, second = published(1, 0.1), published(2, 0.1)
    turned = second.table().select(DATA[::-1], NAMES[::-1])
    found = rank_agreement(first, turned, **FEW)
    one, two = first.table().values, second.table().values
    for t, dataset in enumerate(DATA):
        both = ~np.isnan(one[t]) & ~np.isnan(two[t])
        assert found.models[dataset] == both.sum() >= 4
        r = spearmanr(one[t, both], two[t, both]).statistic
        estimate = found.per_dataset[dataset]
        assert estimate.value == pytest.approx(r)
        wide = statistics.NormalDist().inv_cdf(0.975) * ((1 + r**2 / 2) / (both.sum() - 3)) ** 0.5
        ends = np.tanh([np.arctanh(r) - wide, np.arctanh(r) + wide])
        assert [estimate.low, estimate.high] == pytest.approx(ends)
    values = [estimate.value for estimate in found.per_dataset.values()]
    assert found.mean.value == pytest.approx(np.mean(values))
    assert found.left_out == ()


def test_perfect_agreement_of_few_models_is_not_certain():
    one = Table([[1, 2, 3, 4, 5], [1, 2, 3, NAN, NAN], [2] * 5], ["x", "few", "flat"], NAMES[:5])
    found = rank_agreement(one, one, **FEW)
    estimate = found.per_dataset["x"]
    assert (estimate.value, estimate.high) == (1, 1)
    # One exchanged pair of five: r = 0.9, two of n (n^2 - 1) / 6 = 20.
    wide = statistics.NormalDist().inv_cdf(0.975) * (1.5 / 2) ** 0.5
    assert estimate.low == pytest.approx(np.tanh(np.arctanh(0.9) - wide))
    assert found.left_out == ("few", "flat")
    opposite = rank_agreement(one, one.with_values(-one.values), **FEW).per_dataset["x"]
    assert (opposite.value, opposite.low, opposite.high) == (-1, -1, pytest.approx(-estimate.low))


def test_truths_that_cannot_be_compared():
    one = Table([[1, 2, 3]], ["x"], NAMES[:3])
    with pytest.raises(InvalidValueError, match="second=.*4 models with different"):
        rank_agreement(one, one)
    with pytest.raises(InvalidValueError, match="in common|at least one target"):
        rank_agreement(one, Table([[1, 2, 3]], ["y"], NAMES[:3]))
    with pytest.raises(InvalidValueError, match="level="):
        rank_agreement(published(), published(), level=2)


def test_scores_and_baselines_are_judged_by_the_measures():
    found = published(missing=0.1)
    truth = found.table()
    noise = truth.with_values(np.random.default_rng(5).random(truth.values.shape))
    judged = judge_scores(found, {"noise": noise}, relevant=3, **FEW)
    assert list(judged.methods) == ["noise", "static ranker", "popularity", "random"]
    tables = [noise, static_scores(truth), popularity_scores(truth)]
    for name, table in zip(judged.methods, tables, strict=False):
        measures = judged.methods[name]
        for measure in (weighted_kendall, spearman):
            value = measures[measure.__name__].value
            assert value == pytest.approx(measure(table, truth))
        for k in (1, 3):
            assert measures[f"P@{k}"].value == pytest.approx(precision_at_k(table, truth, k, 3))
            assert measures[f"regret@{k}"].value == pytest.approx(regret_at_k(table, truth, k))
    random = judged.methods["random"]
    counts = [(~np.isnan(row)).sum() for row in truth.values]
    assert random["P@1"].value == pytest.approx(np.mean([3 / n for n in counts]))
    assert random["regret@1"].value == pytest.approx(1)
    assert random["spearman"].value == 0
    expected = paired_difference(
        weighted_kendall, [(noise, truth)], [(static_scores(truth), truth)], **FEW
    )
    assert judged.ahead == {"noise": expected}
    assert judged.relevant == 3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.permutations(DATA), st.permutations(NAMES))
def test_the_order_of_scores_does_not_matter(seed, datasets, models):
    found = published(seed)
    scores = published(seed + 1).table()
    judged = judge_scores(found, {"it": scores}, **FEW)
    again = judge_scores(found, {"it": scores.select(datasets, models)}, **FEW)
    assert judged.to_dict() == again.to_dict()


def test_the_truth_itself_is_perfect_and_ahead():
    found = published()
    judged = judge_scores(found, {"itself": found}, **FEW)
    measures = judged.methods["itself"]
    assert (measures["weighted_kendall"].value, measures["P@1"].value) == (pytest.approx(1), 1)
    assert (measures["regret@1"].value, measures["regret@1"].high) == (0, 0)
    assert judged.ahead["itself"].low > 0


def test_all_are_judged_where_every_score_is():
    found = published()
    table = found.table()
    values = table.values.copy()
    values[0, :2] = NAN
    values[1, :6] = NAN  # two are left
    values[2] = NAN
    other = table.select(DATA[:5], NAMES[1:])
    judged = judge_scores(found, {"one": table.with_values(values), "two": other}, **FEW)
    assert judged.left_out == (DATA[1], DATA[2])
    assert judged.truth.targets == (DATA[0], DATA[3], DATA[4])
    assert judged.truth.sources == tuple(NAMES[1:])
    assert judged.unscored == 1 + 5 + 7
    assert np.isnan(judged.truth.values[0]).tolist() == [True] + [False] * 6
    # The static ranker knows all of the table, whatever is judged.
    static = static_scores(table).select(judged.truth.targets, judged.truth.sources)
    expected = spearman(static, judged.truth)
    assert judged.methods["static ranker"]["spearman"].value == pytest.approx(expected)


def test_one_data_set_leaves_chance():
    found = Accuracies([[0.5, 0.6, 0.9, 0.7]], ["pets"], ["a", "b", "c", "d"])
    methods = judge_scores(found, **FEW).methods
    assert methods["static ranker"]["spearman"].value == 0
    assert methods["static ranker"]["regret@1"].value == pytest.approx(1)
    assert np.isnan(methods["random"]["spearman"].low)


def test_scores_that_cannot_be_judged():
    found = published()
    with pytest.raises(InvalidValueError, match="scores='random'"):
        judge_scores(found, {"random": found})
    with pytest.raises(InvalidTypeError, match="scores="):
        judge_scores(found, found)
    with pytest.raises(InvalidTypeError, match="accuracies="):
        judge_scores(found.table())
    with pytest.raises(InvalidValueError, match="a data set of the accuracies"):
        judge_scores(found, {"other": Table([[1, 2]], ["x"], ["a", "b"])})
    with pytest.raises(InvalidValueError, match="scores=.*3 models"):
        judge_scores(found, {"few": found.table().select(DATA, NAMES[:2])})
    flat = Accuracies([[0.5, 0.5, 0.5]], ["pets"], ["a", "b", "c"])
    with pytest.raises(InvalidValueError, match="accuracies=.*different accuracies"):
        judge_scores(flat)


@pytest.mark.parametrize(
    ("sets", "models", "what"), [("pq", "abc", "data set"), ("xy", "de", "model")]
)
def test_scores_of_other_data_sets_or_models(sets, models, what):
    truth = Accuracies(np.random.default_rng(0).random((2, 3)), list("xy"), list("abc"))
    scores = Table(np.ones((len(sets), len(models))), tuple(sets), tuple(models))
    with pytest.raises(InvalidValueError, match=f"a {what} of the accuracies"):
        judge_scores(truth, {"mine": scores})
