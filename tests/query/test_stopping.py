"""The race: how often it is wrong, what it saves, and the same answer as all probes in a zoo."""

import numpy as np
import pytest
import torch
from torch import nn
from zoo.conftest import network

import pyattrx
from pyattrx import Zoo
from pyattrx.errors import InvalidValueError
from pyattrx.query import Limits
from pyattrx.query.stopping import Race, rounds

RNG = np.random.default_rng(7)


def normal(n, count):
    return np.sort(RNG.normal(0, 0.05, n))[::-1] + RNG.normal(0, 0.15, (count, n))


def near_ties(n, count):
    return np.where(np.arange(n) < n // 4, 0.02, 0) + RNG.normal(0, 0.1, (count, n))


def skewed(n, count):
    return RNG.exponential(0.02, n) * RNG.exponential(1, (count, n)) ** 2


def heavy_tailed(n, count):
    return RNG.normal(0, 0.02, n) + 0.05 * RNG.standard_t(2.2, (count, n))


def many_zeros(n, count):
    share = RNG.uniform(0.05, 1, n)
    there = RNG.random((count, n)) < share
    return np.where(there, RNG.uniform(0.01, 0.1, n) / share + RNG.normal(0, 0.02, (count, n)), 0)


def rarely_large(n, count):
    there = RNG.random((count, n)) < RNG.uniform(0.02, 0.2, n)
    return np.where(there, 0.3 * RNG.uniform(0.2, 1, n), 0.02 + RNG.normal(0, 0.002, (count, n)))


def duplicates(n, count):
    cosines = normal(n, count)
    cosines[:, 1] = cosines[:, 0]
    cosines[:, -1] = cosines[:, -2]
    return cosines


def families(n, count):
    family = RNG.normal(0, 0.1, (count, n // 5 + 1))[:, np.arange(n) // 5]
    return RNG.normal(0.1, 0.05, n) + family + RNG.normal(0, 0.03, (count, n))


def clear(n, count):
    return np.where(np.arange(n) < 5, 0.6, 0.05) + RNG.normal(0, 0.1, (count, n))


POPULATIONS = [
    normal,
    near_ties,
    skewed,
    heavy_tailed,
    many_zeros,
    rarely_large,
    duplicates,
    families,
    clear,
]


def run(population, n, k, count, grouped):
    """One race over one complete set of probes: (whether it was wrong, share of probes seen)."""
    groups = np.repeat(np.arange(count), RNG.integers(1, 6, count) if grouped else 1)
    cosines = population(n, count)[groups]
    cosines += np.where(cosines == 0, 0, 0.02 * RNG.normal(size=cosines.shape))
    groups = RNG.permutation(count)[groups]
    race = Race(groups, n, k, 0.95)
    for end in race.looks:
        race.look(cosines[race.order[:end]][:, race.alive])
        if race.settled:
            break
    complete = cosines.mean(0)
    lost = np.setdiff1d(np.arange(n), race.alive)
    least = np.sort(complete)[::-1][k - 1]
    return bool((complete[lost] > least).any()), end / len(groups)


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize(("n", "k", "count", "repeats"), [(2, 1, 256, 300), (40, 5, 128, 40)])
@pytest.mark.parametrize("grouped", [False, True])
def test_it_is_wrong_at_most_as_often_as_asked(population, n, k, count, repeats, grouped):
    results = [run(population, n, k, count, grouped) for _ in range(repeats)]
    assert np.mean([wrong for wrong, _ in results]) <= 0.05


def test_clear_cases_stop_early_and_ties_do_not():
    assert np.mean([run(clear, 40, 5, 256, True)[1] for _ in range(20)]) < 0.2
    assert np.mean([run(near_ties, 40, 5, 256, True)[1] for _ in range(20)]) > 0.9


def test_rounds_are_whole_groups_in_random_order():
    groups = np.repeat(np.arange(100), np.arange(100) % 4 + 1)
    order, looks = rounds(groups)
    assert sorted(order) == list(range(len(groups)))
    assert looks[-1] == len(groups)
    assert looks == sorted(looks)
    for end in looks[:-1]:
        assert not set(groups[order[:end]]) & set(groups[order[end:]])
        assert len(set(groups[order[:end]])) >= 16
    few, only = rounds(np.arange(12))
    assert only == [12]
    assert sorted(few) == list(range(12))


def test_nothing_is_dropped_on_no_evidence():
    groups = np.arange(256)
    race = Race(groups, 3, 1, 0.95)
    end = race.looks[0]
    same = np.full((end, 3), 0.3)
    race.look(same)
    assert race.alive.tolist() == [0, 1, 2]
    sparse = np.full((end, 3), 0.3)
    sparse[:, 2] = 0
    sparse[:7, 2] = 1e-3  # seen on seven groups only
    race.look(sparse)
    assert 2 in race.alive
    everything = Race(groups, 3, 5, 0.95)
    assert everything.settled


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A zoo over 192 probes, with copies of one network that are changed a little."""
    images = torch.rand(192, 3, 10, 10, generator=torch.Generator().manual_seed(3))
    probes = pyattrx.Probes.from_tensor(images, groups=[i // 2 for i in range(192)])
    zoo = Zoo.create(tmp_path_factory.mktemp("large") / "zoo", probes, "grad_x_input")
    zoo.add_many([pyattrx.Encoder(changed(i), name=f"kin{i}") for i in range(3)], tags="kin")
    zoo.add_many([pyattrx.Encoder(network(10 + i), name=f"far{i}") for i in range(9)])
    zoo.add(pyattrx.Encoder(network(10), name="twin"))
    return zoo


@pytest.mark.parametrize("stop", [None, "confident"])
def test_rows_leave_a_device_with_their_batch(large, leaving, stop):
    # Later they would wait for the batch that is queued by then.
    target = pyattrx.Encoder(changed(7), name="target")
    options = {} if stop is None else {"stop": stop}
    found = large.query(target, k=3, device="cpu", **options)
    assert {match.name for match in found} == {"kin0", "kin1", "kin2"}
    assert leaving == [1] * len(leaving)
    assert len(leaving) > 1


def changed(seed, amount=0.05):
    net = network(0)
    generator = torch.Generator().manual_seed(seed)
    for value in net.parameters():
        noise = torch.randn(value.shape, generator=generator)
        value.data += amount * value.data.std().nan_to_num(1) * noise
    return net


def test_a_confident_query_sees_fewer_probes(large):
    target = pyattrx.Encoder(changed(99), name="target")
    full = large.query(target, k=3)
    early = large.query(target, k=3, stop="confident")
    assert {m.name for m in early} == {m.name for m in full} == {"kin0", "kin1", "kin2"}
    assert early.settled
    assert (early.looks, full.looks) == (2, 0)  # 96 groups: after 4 and 8 of 16 blocks
    assert early.complete
    assert early.n_probes < 192 / 2
    assert full.n_probes == 192
    assert full.settled is None
    for match in early:
        exact = next(m for m in full if m.name == match.name)
        assert abs(match.affinity - exact.affinity) < 6 * match.stderr


def test_an_undecided_query_sees_all_and_says_so(large):
    target = pyattrx.Encoder(network(77), name="stranger")
    names = [match.name for match in large.query(target, k=13)]
    k = names.index("far0") + 1  # the next one is its twin
    assert names[k] == "twin"
    full = large.query(target, k=k)
    same = large.query(target, k=k, stop="confident")
    assert not same.settled
    assert same.n_probes == 192
    assert [m.name for m in same] == [m.name for m in full]
    for ours, theirs in zip(same, full, strict=True):
        assert ours.affinity == pytest.approx(theirs.affinity, abs=1e-12)
        assert ours.stderr == pytest.approx(theirs.stderr, rel=1e-12)


def test_sketches_choose_who_races_in_large_zoos(large):
    target = pyattrx.Encoder(changed(99), name="target")
    with Zoo.open(large.path) as zoo:
        zoo.limits = Limits(all_entries=1, most_bytes=8 * 400 * 12)
        early = zoo.query(target, k=2, stop="confident")
    assert {m.name for m in early} <= {"kin0", "kin1", "kin2"}
    assert not early.complete


def test_what_cannot_stop_is_refused(large, tmp_path):
    with pytest.raises(InvalidValueError, match="stop='early'"):
        large.query("far0", stop="early")
    sketches = Zoo.create(tmp_path / "zoo", large.probes, "grad_x_input", keep_rows=False)
    with pytest.raises(InvalidValueError, match="keeps sketches only"):
        sketches.query(pyattrx.Encoder(nn.Conv2d(3, 2, 3)), stop="confident")
    assert large.query("kin0", k=2, stop="confident").n_probes == 192


def test_what_is_known_is_not_settled(large):
    for target in ("kin0", torch.rand(192, 100)):
        found = large.query(target, k=2, stop="confident")
        assert (found.settled, found.looks, found.n_probes) == (None, 0, 192)


def test_few_groups_cannot_be_looked_at_early(tmp_path):
    probes = pyattrx.Probes.from_tensor(torch.rand(24, 3, 10, 10), groups=np.arange(24) // 2)
    with Zoo.create(tmp_path / "zoo", probes) as zoo:
        zoo.add_many([pyattrx.Encoder(network(i), name=f"n{i}") for i in range(4)])
        found = zoo.query(pyattrx.Encoder(network(9)), k=1, stop="confident")
    assert (found.settled, found.looks, found.n_probes) == (False, 0, 24)
