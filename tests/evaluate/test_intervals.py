"""Bootstrap intervals: variance in closed form, coverage, and what is drawn together."""

import functools
import math

import numpy as np
import pytest
import torch
from scipy import stats

import pyattrx
from networks import build
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import (
    Table,
    bootstrap,
    interval,
    kendall,
    paired_difference,
    precision_at_k,
    recall_at_k,
    regret_at_k,
    spearman,
)
from pyattrx.evaluate import intervals as module


def moment(n):
    """E[w w'] of bootstrap weights that sum to 1."""
    return ((1 - 1 / n) + np.eye(n)) / n**2


def row_means(affinity, truth, per_target):
    """A linear measure, whose bootstrap variance is known."""
    return np.asarray(affinity.values).mean(1)


def variance(measure, runs, groups=0, samples=20000):
    prepared = module._Runs(measure, runs, "runs")
    draws = module._Draws(prepared.n_targets, len(prepared), groups, samples, 0, samples)
    return prepared.replicates(draws).var()


class TestVariance:
    rng = np.random.default_rng(0)

    def test_of_targets(self):
        x = self.rng.normal(size=(9, 4))
        runs = [(Table(x, list("abcdefghi"), list("wxyz")), None)]
        expected = x.mean(1).var() / 9
        assert variance(row_means, runs) == pytest.approx(expected, rel=0.05)

    def test_of_targets_and_seeds_crossed(self):
        x = self.rng.normal(size=(3, 5, 2)) + self.rng.normal(size=(1, 5, 1))
        runs = [(Table(run, list("abcde"), list("xy")), None) for run in x]
        means = x.mean(2)
        second = np.einsum("ij,it,js,ts->", moment(3), means, means, moment(5))
        expected = second - means.mean() ** 2
        assert variance(row_means, runs) == pytest.approx(expected, rel=0.05)

    def test_of_probes(self):
        x = self.rng.normal(size=(6, 1, 3))
        runs = [(Table(x.mean(0), ["a"], list("xyz"), x), None)]
        expected = x.mean((1, 2)).var(ddof=1) / 6
        assert variance(row_means, runs, 6, 5000) == pytest.approx(expected, rel=0.06)

    def test_of_groups_of_probes(self):
        x = np.repeat(self.rng.normal(size=(6, 1, 3)), 4, axis=0)
        runs = [(Table(x.mean(0), ["a"], list("xyz"), x, np.repeat(range(6), 4)), None)]
        expected = x[::4].mean((1, 2)).var(ddof=1) / 6
        assert variance(row_means, runs, 6, 5000) == pytest.approx(expected, rel=0.06)


def test_the_value_is_the_measure_itself():
    rng = np.random.default_rng(1)
    affinities, truths = rng.normal(size=(2, 3, 8, 8))
    runs = list(zip(affinities, truths, strict=True))
    measure = functools.partial(precision_at_k, k=3, relevant=4)
    estimate = bootstrap(measure, runs, samples=200)
    assert estimate.value == pytest.approx(np.mean([measure(a, t) for a, t in runs]))
    assert estimate.low <= estimate.value <= estimate.high


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).normal(size=12)
    assert interval(values) == interval(values)
    assert interval(values) != interval(values, seed=1)
    assert interval(values) == interval(values[None])


@pytest.mark.parametrize("count", [8, 18])
def test_intervals_cover_as_often_as_they_say(count):
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        estimate = interval(rng.normal(size=count), samples=400)
        covered += estimate.low <= 0 <= estimate.high
    # Binomial noise is 0.011.
    assert 0.92 <= covered / 400 <= 0.985


def test_wider_for_more_confidence_and_near_the_t_interval():
    values = np.random.default_rng(4).normal(size=18)
    narrow, wide = interval(values, level=0.5, samples=20000), interval(values, samples=20000)
    assert wide.low < narrow.low < narrow.high < wide.high
    low, high = stats.t.interval(0.95, 17, values.mean(), values.std(ddof=1) / math.sqrt(18))
    assert wide.high - wide.low == pytest.approx(high - low, rel=0.08)


def test_probes_widen_an_interval():
    rng = np.random.default_rng(5)
    truth = Table(rng.normal(size=(6, 6)), *[list("abcdef")] * 2)
    cosines = truth.values + rng.normal(size=(4, 6, 6)) * 3
    names = truth.targets, truth.sources
    plain = bootstrap(spearman, [(Table(cosines.mean(0), *names), truth)], samples=400)
    probed = bootstrap(spearman, [(Table(cosines.mean(0), *names, cosines), truth)], samples=400)
    assert probed.value == plain.value
    assert probed.high - probed.low > plain.high - plain.low


@pytest.mark.parametrize(
    "measure",
    [
        spearman,
        kendall,
        functools.partial(precision_at_k, k=3, relevant=2, ties="mean"),
        functools.partial(recall_at_k, k=2, relevant=3),
        functools.partial(regret_at_k, k=2, ties="mean"),
        regret_at_k,
    ],
)
@pytest.mark.parametrize("ties", [False, True])
def test_draws_of_probes_are_judged_as_tables_are(measure, ties):
    """The measures of the package, all draws at once, against any other function, draw by draw."""
    rng = np.random.default_rng(10)
    names = (tuple("abcd"), tuple("abcdxy"))
    cosines = rng.normal(size=(5, 4, 6))
    if ties:
        cosines = np.round(cosines)
    measured = rng.normal(size=(4, 6))
    measured[1, 4] = np.nan  # no candidate
    truth = Table(measured, *names)
    runs = [(Table(cosines.mean(0), *names, cosines), truth)] * 2

    def another(affinity, truth, per_target):
        return measure(affinity, truth, per_target=per_target)

    one, two = (module._Runs(function, runs, "runs") for function in (measure, another))
    draws = module._Draws(4, 2, 5, 300, 0)
    np.testing.assert_allclose(one.replicates(draws), two.replicates(draws), atol=1e-12)


def test_probes_add_spread_and_nothing_else():
    """Noise upon noise makes a ranking worse, but its interval is about its value."""
    rng = np.random.default_rng(11)
    names = [tuple("abcdefghij")] * 2
    truth = Table(rng.normal(size=(10, 10)), *names)
    cosines = truth.values + 4 * rng.normal(size=(8, 10, 10))
    found = bootstrap(spearman, [(Table(cosines.mean(0), *names, cosines), truth)])
    assert found.low < found.value - 0.05
    assert found.high > found.value + 0.05
    middle = (found.low + found.high) / 2
    assert middle == pytest.approx(found.value, abs=0.03)


def test_an_interval_ends_where_the_measure_does():
    rng = np.random.default_rng(12)
    names = [tuple("abcdef")] * 2
    truth = Table(rng.normal(size=(6, 6)), *names)
    cosines = truth.values + rng.normal(size=(8, 6, 6))
    table = Table(cosines.mean(0), *names, cosines)
    first = functools.partial(precision_at_k, k=1, relevant=4)
    assert bootstrap(first, [(table, truth)]).high == 1
    assert bootstrap(regret_at_k, [(table, truth)]).low == 0


def test_a_difference_ends_where_the_measure_lets_it():
    rng = np.random.default_rng(13)
    names = [("a", "b"), tuple("xyzw")]
    truth = Table(rng.normal(size=(2, 4)), *names)
    cosines = rng.normal(size=(2, 6, 2, 4))
    found = paired_difference(spearman, *[[(Table(c.mean(0), *names, c), truth)] for c in cosines])
    assert (found.low, found.high) == (-2, 2)


class TestScoresThatAreNoMean:
    """Blocks of probes that are left out tell as much as the values of the probes."""

    rng = np.random.default_rng(9)
    names = (tuple("abcd"), tuple("abcdx"))
    blocks = np.array([0, 2, 1, 1, 0, 2, 2, 3, 3])
    cosines = rng.normal(size=(9, 4, 5))
    truth = Table(rng.normal(size=(4, 5)), *names)

    def left_out(self, cosines):
        without = [cosines[self.blocks != b].mean(0) for b in range(4)]
        return Table(cosines.mean(0), *self.names, without=without, blocks=self.blocks)

    def test_a_mean_is_drawn_as_its_values_are(self):
        one = Table(self.cosines.mean(0), *self.names, self.cosines, self.blocks)
        two = self.left_out(self.cosines)
        first, second = (bootstrap(spearman, [(table, self.truth)]) for table in (one, two))
        assert first.high - first.low > 0.1
        assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-9)

    def test_methods_share_the_draws_of_blocks(self):
        """Also where one of them knows every probe, in groups that lie within the blocks."""
        fine = np.array([0, 4, 2, 3, 0, 4, 5, 6, 6])
        gain = Table(self.cosines.mean(0) + 0.5, *self.names, self.cosines + 0.5, fine)
        for one, two in ((gain, self.left_out(self.cosines)), (self.left_out(self.cosines), gain)):
            found = paired_difference(row_means, [(one, None)], [(two, None)], samples=200)
            assert found.high - found.low == pytest.approx(0, abs=1e-9)
            assert abs(found.value) == pytest.approx(0.5)

    def test_groups_that_a_block_tears_apart_do_not_match(self):
        fine = np.array([0, 0, 2, 3, 1, 4, 5, 6, 6])
        torn = Table(self.cosines.mean(0), *self.names, self.cosines, fine)
        with pytest.raises(InvalidValueError, match="4 groups of probes"):
            paired_difference(row_means, [(torn, None)], [(self.left_out(self.cosines), None)])

    def test_a_block_that_cannot_be_left_out_leaves_probes_out(self):
        known = self.left_out(self.cosines)
        without = known.without.copy()
        without[2] = np.nan
        unknown = Table(known.values, *self.names, without=without, blocks=self.blocks)
        plain = Table(known.values, *self.names)
        found, expected = (bootstrap(spearman, [(t, self.truth)]) for t in (unknown, plain))
        assert found == expected

    def test_only_scores_that_are_there_have_to_be_known_without_a_block(self):
        """Such as a diagonal of NaN, which no measure reads."""
        names = [tuple("abcd")] * 2
        truth = self.truth.values[:, :4]
        cosines = self.cosines[:, :, :4].copy()
        tables = []
        for own in (0.0, np.nan):
            cosines[:, range(4), range(4)] = own
            without = [cosines[self.blocks != b].mean(0) for b in range(4)]
            tables.append(Table(cosines.mean(0), *names, without=without, blocks=self.blocks))
        first, second = (bootstrap(spearman, [(table, truth)]) for table in tables)
        assert first == second

    @pytest.mark.parametrize("known_by", ["cosines", "without"])
    @pytest.mark.filterwarnings("error")
    def test_an_infinite_score_stays(self, known_by):
        tables = []
        for least in (-1e6, -np.inf):
            cosines = self.cosines.copy()
            cosines[:, 0, 2] = least
            if known_by == "without":
                tables.append(self.left_out(cosines))
            else:
                tables.append(Table(cosines.mean(0), *self.names, cosines))
        first, second = (bootstrap(spearman, [(table, self.truth)]) for table in tables)
        assert (first.low, first.high) == pytest.approx((second.low, second.high))

    def test_blocks_of_other_numbers_are_the_same_blocks(self):
        """A gain is certain only if a draw has the same probes of both."""
        table = self.left_out(self.cosines)
        other = Table(
            table.values + 0.5, *self.names, without=table.without[::-1] + 0.5,
            blocks=3 - self.blocks,
        )  # fmt: skip
        for one, two in ((table, other), (other, table)):
            found = paired_difference(row_means, [(one, None)], [(two, None)], samples=200)
            assert found.high - found.low == pytest.approx(0, abs=1e-9)

    def test_as_many_blocks_of_other_probes_do_not_match(self):
        table = self.left_out(self.cosines)
        other = Table(
            table.values, *self.names, without=table.without, blocks=np.roll(self.blocks, 1)
        )
        with pytest.raises(InvalidValueError, match="second=.*the groups of first"):
            paired_difference(row_means, [(table, None)], [(other, None)])
        with pytest.raises(InvalidValueError, match="same groups of probes"):
            bootstrap(row_means, [(table, None), (other, None)])

    def test_of_an_affinity(self):
        encoders = [pyattrx.Encoder(build("plain", s), f"n{s}", input_size=8) for s in range(4)]
        probes = pyattrx.Probes.from_tensor(torch.rand(12, 3, 8, 8))
        found = pyattrx.affinity(encoders, probes, pyattrx.methods.CKA())
        truth = np.random.default_rng(0).normal(size=(4, 4))
        probed = bootstrap(spearman, [(found, truth)])
        plain = bootstrap(spearman, [(found.values, truth)])
        assert probed.value == plain.value
        assert probed.high - probed.low > plain.high - plain.low


def test_nothing_to_draw_gives_no_interval():
    estimate = interval([0.5])
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert estimate.to_dict() == {"value": 0.5, "low": None, "high": None, "level": 0.95}
    table = Table([[1.0, 2.0]], ["a"], ["x", "y"])
    difference = paired_difference(row_means, [(table, None)], [(table, None)])
    assert math.isnan(difference.p_value)


def test_one_target_with_seeds_or_probes_has_one():
    estimate = interval([[0.1], [0.9], [0.4]])
    assert estimate.low == pytest.approx(0.1)
    assert estimate.high == pytest.approx(0.9)


class TestDifferences:
    rng = np.random.default_rng(6)
    truth = rng.normal(size=(10, 10))
    good, bad = truth + rng.normal(size=(10, 10)) * 0.3, rng.normal(size=(10, 10))

    def test_of_a_method_and_itself(self):
        runs = [(self.good, self.truth)]
        difference = paired_difference(spearman, runs, runs)
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
        assert difference.p_value == pytest.approx(1.0)

    def test_of_unequal_methods(self):
        one, two = [(self.good, self.truth)], [(self.bad, self.truth)]
        difference = paired_difference(spearman, one, two)
        expected = spearman(self.good, self.truth) - spearman(self.bad, self.truth)
        assert difference.value == pytest.approx(expected)
        assert difference.low > 0
        assert difference.p_value < 0.02
        back = paired_difference(spearman, two, one)
        assert back.value == pytest.approx(-expected)
        assert back.p_value == pytest.approx(difference.p_value)

    def test_are_paired(self):
        """A constant gain is certain, however much the targets differ."""
        values = self.rng.normal(size=(8, 1))
        tables = [Table(v, list("abcdefgh"), ["x"]) for v in (values + 0.1, values)]
        difference = paired_difference(row_means, *[[(table, None)] for table in tables])
        assert difference.low == pytest.approx(0.1)
        assert difference.high == pytest.approx(0.1)
        assert difference.p_value < 0.02

    def test_share_the_draws_of_probes(self):
        cosines = self.rng.normal(size=(5, 3, 3))
        names = [list("abc")] * 2
        tables = [Table(c.mean(0), *names, c) for c in (cosines + 0.2, cosines)]
        difference = paired_difference(
            row_means, *[[(table, None)] for table in tables], samples=100
        )
        assert difference.high - difference.low == pytest.approx(0, abs=1e-12)

    def test_p_values_are_uniform_without_a_difference(self):
        rng = np.random.default_rng(7)
        p_values = []
        for _ in range(300):
            tables = [Table(v, list("abcdefgh"), ["x"]) for v in rng.normal(size=(2, 8, 1))]
            runs = [[(table, None)] for table in tables]
            p_values.append(paired_difference(row_means, *runs, samples=300).p_value)
        assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09
        assert 0.4 <= np.mean(np.array(p_values) < 0.5) <= 0.6

    def test_p_value_and_interval_agree(self):
        rng = np.random.default_rng(8)
        for shift in np.linspace(0, 1.5, 12):
            tables = [
                Table(v, list("abcdefgh"), ["x"])
                for v in (rng.normal(size=(8, 1)) + shift, rng.normal(size=(8, 1)))
            ]
            found = paired_difference(row_means, *[[(table, None)] for table in tables])
            if not 0.04 < found.p_value < 0.06:
                assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


class TestErrors:
    runs = ((np.eye(7), np.random.default_rng(0).normal(size=(7, 7))),)

    @pytest.mark.parametrize(
        ("arguments", "error", "match"),
        [
            ({"samples": 99}, InvalidValueError, "samples=99"),
            ({"samples": 1e3}, InvalidTypeError, "samples="),
            ({"level": 1.0}, InvalidValueError, "level="),
        ],
    )
    def test_settings(self, arguments, error, match):
        with pytest.raises(error, match=match):
            interval([0.1, 0.2], **arguments)
        with pytest.raises(error, match=match):
            bootstrap(spearman, self.runs, **arguments)
        with pytest.raises(error, match=match):
            paired_difference(spearman, self.runs, self.runs, **arguments)

    def test_another_number_of_targets_in_a_draw(self):
        cosines = np.random.default_rng(3).normal(size=(4, 3, 3))
        table = Table(cosines.mean(0), *[list("abc")] * 2, cosines)

        def some(affinity, truth, per_target):
            return np.ones(3 if affinity is table else 2)

        with pytest.raises(InvalidValueError, match="measure=.*always returns 3 numbers"):
            bootstrap(some, [(table, None)])

    def test_draws_of_probes(self):
        with pytest.raises(InvalidValueError, match="probe_samples=10"):
            bootstrap(spearman, self.runs, probe_samples=10)

    @pytest.mark.parametrize("values", [[], [[[1.0]]], [1.0, np.nan]])
    def test_values(self, values):
        with pytest.raises(InvalidValueError, match="values="):
            interval(values)
        with pytest.raises(InvalidTypeError, match="values="):
            interval("text")

    def test_runs(self):
        with pytest.raises(InvalidTypeError, match="runs="):
            bootstrap(spearman, None)
        with pytest.raises(InvalidValueError, match="runs="):
            bootstrap(spearman, [])
        with pytest.raises(InvalidValueError, match="runs="):
            bootstrap(spearman, self.runs[0])
        with pytest.raises(InvalidTypeError, match="measure="):
            bootstrap("spearman", self.runs)
        with pytest.raises(InvalidValueError, match="measure="):
            bootstrap(lambda a, t, per_target: 0.5, self.runs)
        for wrong in ([0.5, np.nan], ["a", "b"]):
            with pytest.raises(InvalidValueError, match=r"measure=.*a number for every target"):
                bootstrap(lambda a, t, per_target, wrong=wrong: wrong, self.runs)
        smaller = np.random.default_rng(1).normal(size=(5, 5))
        with pytest.raises(InvalidValueError, match="same number of targets"):
            bootstrap(spearman, [*self.runs, (smaller, smaller)])

    def test_methods_that_do_not_match(self):
        smaller = np.random.default_rng(1).normal(size=(5, 5))
        with pytest.raises(InvalidValueError, match=r"5 targets.*7 targets"):
            paired_difference(spearman, self.runs, [(smaller, smaller)])
        with pytest.raises(InvalidValueError, match=r"2 seeds.*1 seeds"):
            paired_difference(spearman, self.runs, self.runs * 2)

    def test_probes_that_do_not_match(self):
        tables = [
            Table(c.mean(0), *[list("abc")] * 2, c)
            for c in np.split(np.random.default_rng(2).normal(size=(5, 3, 3)), [2])
        ]
        with pytest.raises(InvalidValueError, match="same groups of probes"):
            bootstrap(row_means, [(table, None) for table in tables])
        with pytest.raises(InvalidValueError, match="3 groups of probes"):
            paired_difference(row_means, *[[(table, None)] for table in tables])
