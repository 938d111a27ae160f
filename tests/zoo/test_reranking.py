"""Zoos that keep features: finalists in the order of a feature method, as affinity() has it."""

import os
import sqlite3
import warnings

import numpy as np
import pytest
import torch
from zoo.conftest import encoder

import pyattrx
from pyattrx import methods
from pyattrx.errors import (
    InvalidTypeError,
    InvalidValueError,
    ZooDamagedError,
    ZooMismatchError,
    ZooWarning,
)
from pyattrx.methods import FEATURE_METHODS
from pyattrx.methods import get as get_method
from pyattrx.storage.catalog import SUMMARY

KINDS = ["ridge", "rsa", "normalized_ridge", "perturbation_response"]


def networks(count=6):
    """Those of the other tests, read before their last layer, and with two networks of one body."""
    return [encoder(seed, features="1") for seed in range(count)]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def make(path, probes, kind="ridge", **options):
    zoo = pyattrx.Zoo.create(path, probes, "saliency", rerank=kind, **options)
    report = zoo.add_many(networks())
    assert report.failed == {}
    return zoo


@pytest.fixture
def ranked(tmp_path, probes):
    with make(tmp_path / "ranked", probes) as zoo:
        yield zoo


def same(matches, expected):
    assert [m.name for m in matches] == [m.name for m in expected]
    for got, wanted in zip(matches, expected, strict=True):
        for field in ("affinity", "stderr", "low", "high"):
            assert getattr(got, field) == pytest.approx(getattr(wanted, field), abs=1e-7)
        assert got.ties == wanted.ties


@pytest.mark.parametrize("method", [*FEATURE_METHODS, "recommended"])
def test_answers_are_those_of_affinity(tmp_path, probes, method):
    direct = pyattrx.affinity(networks(), probes, method)
    with make(tmp_path / "zoo", probes, method) as zoo:
        found = zoo.query("net2", k=5, rerank=method)
        expected = direct.nearest("net2", k=5)
        if method == "svcca":  # 1 but for rounding, with so few probes: no order
            assert min(m.affinity for m in [*found, *expected]) > 1 - 1e-9
            return
        same(found, expected)
        assert zoo.affinity(method=method).values == pytest.approx(direct.values, abs=1e-7)
        asked = encoder(2, name="asked", features="1")
        again = zoo.query(asked, k=6, rerank=method)
        assert again[[m.name for m in again].index("net2")].affinity == pytest.approx(
            direct.values[2, 2], abs=1e-7
        )
        assert (found.reranked, found.method) == (5, "saliency")
        assert found.reranked_by == str(get_method(method))
        assert found.complete
        assert zoo.verify().ok
        got = zoo.affinity(method=get_method(method))
        assert got.values == pytest.approx(direct.values, abs=1e-7)
        assert got.stderr == pytest.approx(direct.stderr, abs=1e-7)
        assert (got.symmetric, got.bounds) == (direct.symmetric, direct.bounds)
        same(got.nearest("net1"), direct.nearest("net1"))


def test_a_zoo_is_what_it_was_after_opening(tmp_path, ranked):
    expected = ranked.query("net0", rerank="ridge")
    with pyattrx.Zoo.open(tmp_path / "ranked") as zoo:
        assert zoo.rerank == methods.Ridge()
        assert list(zoo.query("net0", rerank=methods.Ridge())) == list(expected)
        assert zoo.describe()["rerank"] == {"kind": "ridge", "penalty": 0.01}
        facts = zoo.entry("net0").facts["features_kept"]
        assert facts["arrays"] == {"features": [12], "output": [12]}
        assert facts["observed"]["features"] == [4, 12, 12]
        assert zoo.entry("net0").facts["features"] == "1"
        assert expected.to_dict()["reranked_by"] == "ridge"


def test_only_the_nearest_are_put_in_order(ranked, probes):
    near = [m.name for m in ranked.query("net0", k=3, rerank=False)]
    direct = pyattrx.affinity(networks(), probes, "ridge")
    row = {name: direct.values[0, direct.index(name)] for name in near}
    found = ranked.query("net0", k=2, rerank="ridge", finalists=3)
    assert [m.name for m in found] == sorted(row, key=row.get, reverse=True)[:2]
    assert found.reranked == 3
    assert not found.complete  # one that is further away may suit better
    plain = ranked.query("net0", k=2, rerank=False)
    assert (plain.reranked, plain.reranked_by) == (0, None)


def test_a_zoo_that_keeps_features_answers_in_their_order(ranked, zoo, tmp_path):
    asked = encoder(8, features="1")
    for target in ("net0", asked):
        found = ranked.query(target, k=4)
        assert found.reranked_by == "ridge"
        assert list(found) == list(ranked.query(target, k=4, rerank="ridge"))
        assert list(found) != list(ranked.query(target, k=4, rerank=False))
    with pyattrx.Zoo.open(tmp_path / "ranked") as again:
        assert again.query(asked).reranked_by == "ridge"
    assert ranked.query("net0", k=2, finalists=3).reranked == 3
    assert zoo.query("net0").reranked_by is None  # it keeps none


def test_what_has_no_features_is_answered_by_maps(ranked):
    maps = torch.rand(12, 14 * 14)
    ranked.add_maps("bare", maps)
    for target, options in ((maps, {}), ("bare", {}), (encoder(8), {"stop": "confident"})):
        found = ranked.query(target, **options)
        assert found.reranked_by is None
        assert list(found) == list(ranked.query(target, rerank=False, **options))


def test_sketches_find_the_finalists(tmp_path, probes):
    with make(tmp_path / "sketched", probes, keep_rows=False) as zoo:
        found = zoo.query("net0", k=5, rerank="ridge")
        direct = pyattrx.affinity(networks(), probes, "ridge").nearest("net0", k=5)
        same(found, direct)
        assert zoo.verify().ok
        assert zoo.affinity(method="ridge").names == zoo.names


def test_tags_choose_the_finalists(ranked):
    for name in ("net1", "net4"):
        ranked.tag(name, "mine")
    found = ranked.query("net0", k=5, rerank="ridge", tags="mine")
    assert {m.name for m in found} == {"net1", "net4"}


def test_groups_reach_the_score(ranked, probes):
    """The fixture's probes come in pairs: leaving out one of a pair would be another score."""
    alone = pyattrx.Probes.from_tensor(probes.images())
    other = pyattrx.affinity(networks(), alone, "ridge").values[0, 1]
    found = {m.name: m.affinity for m in ranked.query("net0", rerank="ridge")}
    assert abs(found["net1"] - other) > 1e-4


def test_replacing_and_removing(ranked, probes):
    ranked.add(encoder(9, name="net3", features="1"), replace=True)
    ranked.remove("net5")
    left = [*networks()[:3], encoder(9, name="net3", features="1"), networks()[4]]
    expected = pyattrx.affinity(left, probes, "ridge").nearest("net0", k=5)
    same(ranked.query("net0", rerank="ridge"), expected)
    assert ranked.verify().ok


def test_other_features_are_another_network(ranked):
    with pytest.raises(InvalidValueError, match="it differs in features"):
        ranked.add(encoder(0, features="0"))


def test_merging(tmp_path, probes, ranked, kind):
    with make(tmp_path / "theirs", probes, kind) as theirs:
        with pyattrx.Zoo.create(tmp_path / "mine", probes, "saliency", rerank=kind) as mine:
            assert mine.merge(theirs).added == theirs.names
            assert mine.verify().ok
            expected = theirs.query("net0", rerank=kind)
            assert list(mine.query("net0", rerank=kind)) == list(expected)
        if kind != "ridge":
            with pytest.raises(
                ZooMismatchError, match=f"re-ranking \\('ridge' here, '{kind}' there"
            ):
                ranked.merge(theirs)
    bare = pyattrx.Zoo.create(tmp_path / "bare", probes, "saliency")
    with bare, pytest.raises(ZooMismatchError, match="re-ranking \\('none' here, 'ridge' there"):
        bare.merge(ranked)


def test_maps_have_no_features(ranked):
    maps = torch.rand(12, 14 * 14)
    ranked.add_maps("bare", maps)
    assert ranked.verify().ok
    assert any(m.name == "bare" for m in ranked.query("net0", k=6, rerank=False))
    with pytest.raises(ZooMismatchError, match="'bare': added as maps.*rerank=False"):
        ranked.query("net0")
    with pytest.raises(ZooMismatchError, match="'bare': added as maps, without the features"):
        ranked.query("net0", rerank="ridge")
    with pytest.raises(ZooMismatchError, match="'bare': added as maps"):
        ranked.query("bare", rerank="ridge")
    with pytest.raises(ZooMismatchError, match="'bare': added as maps"):
        ranked.affinity(method="ridge")
    with pytest.raises(InvalidTypeError, match="maps have no features"):
        ranked.query(maps, rerank="ridge")


def test_wrong_questions(zoo, ranked, tmp_path, probes):
    with pytest.raises(InvalidValueError, match="this zoo keeps no features"):
        zoo.query("net0", rerank="ridge")
    assert zoo.rerank is None
    with pytest.raises(InvalidValueError, match="rerank='rsa': expected this zoo's 'ridge'"):
        ranked.query("net0", rerank="rsa")
    with pytest.raises(InvalidValueError, match="penalty=0.1.*this zoo's 'ridge'"):
        ranked.query("net0", rerank=methods.Ridge(penalty=0.1))
    with pytest.raises(InvalidValueError, match="rerank='saliency'"):
        ranked.query("net0", rerank="saliency")
    with pytest.raises(InvalidValueError, match="finalists=3: expected an integer of at least k=5"):
        ranked.query("net0", rerank="ridge", finalists=3)
    with pytest.raises(InvalidValueError, match="finalists=9: expected None"):
        ranked.query("net0", finalists=9, rerank=False)
    with pytest.raises(InvalidValueError, match="finalists=9: expected None"):
        zoo.query("net0", finalists=9)
    with pytest.raises(InvalidValueError, match="stop='confident'"):
        ranked.query(encoder(8), rerank="ridge", stop="confident")
    with pytest.raises(InvalidValueError, match="method='rsa': expected one of this zoo's"):
        ranked.affinity(method="rsa")
    for wrong in ("saliency", "depara", "unknown"):
        with pytest.raises(InvalidValueError):
            pyattrx.Zoo.create(tmp_path / "none", probes, rerank=wrong)
    single = pyattrx.Probes.from_tensor(torch.rand(1, 3, 14, 14))
    with pytest.raises(InvalidValueError, match="probes=1"):
        pyattrx.Zoo.create(tmp_path / "none", single, rerank="ridge")
    with pytest.raises(InvalidTypeError, match="method=Ridge"):
        pyattrx.Zoo.create(tmp_path / "none", probes, methods.Ridge())
    assert not (tmp_path / "none").exists()


def test_a_network_whose_features_fail_is_not_added(ranked):
    broken = pyattrx.Encoder(
        encoder(7).module, name="broken", features=lambda module, x: module(x) * float("nan")
    )
    report = ranked.add_many([broken])
    assert "features hold NaN" in report.failed["broken"]
    assert "broken" not in ranked
    assert ranked.verify().ok


def records(path, name):
    """(segment, offset) of what is kept of a network's features."""
    with sqlite3.connect(path / "zoo.sqlite") as catalog:
        return catalog.execute(
            "SELECT segment, offset FROM records JOIN entries ON entry = id "
            "WHERE name = ? AND kind >= ?",
            (name, SUMMARY),
        ).fetchall()


@pytest.mark.parametrize("which", [0, 1])
def test_a_flipped_bit_is_noticed_and_costs_its_entry_only(tmp_path, probes, which):
    path = tmp_path / "zoo"
    make(path, probes).close()
    segment, offset = records(path, "net3")[which]
    with open(path / "rows" / f"{segment:06d}.rows", "r+b") as file:
        file.seek(offset + 100)
        byte = file.read(1)[0]
        file.seek(offset + 100)
        file.write(bytes([byte ^ 4]))
        os.fsync(file.fileno())
    with pyattrx.Zoo.open(path) as zoo:
        with pytest.warns(ZooWarning, match="'net3' is damaged"):
            found = zoo.query("net0", rerank="ridge")
        assert {m.name for m in found} == {"net1", "net2", "net4", "net5"}
        assert found.damaged == ("net3",)
        assert found.reranked == 4
        with pytest.raises(ZooDamagedError, match="entry 'net3'"):
            zoo.query("net3", rerank="ridge")
        with pytest.raises(ZooDamagedError, match="entry 'net3'"):
            zoo.affinity(method="ridge")
        checked = zoo.verify()
        assert list(checked.damaged) == ["net3"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", pyattrx.errors.UntrainedWarning)
            assert len(zoo.query("net0", rerank=False)) == 5  # its maps are whole


def test_a_missing_record_is_noticed(tmp_path, probes):
    path = tmp_path / "zoo"
    make(path, probes).close()
    with sqlite3.connect(path / "zoo.sqlite") as catalog:
        catalog.execute(
            "DELETE FROM records WHERE kind = ? AND entry = (SELECT id FROM entries "
            "WHERE name = 'net2')",
            (SUMMARY,),
        )
    with pyattrx.Zoo.open(path) as zoo:
        assert zoo.verify().damaged == {"net2": "records of it are missing"}
        with pytest.warns(ZooWarning, match="'net2' is damaged"):
            assert len(zoo.query("net0", rerank="ridge")) == 4


def test_silent_networks_are_counted(ranked):
    class Silent(torch.nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 2)

    entry = ranked.add(pyattrx.Encoder(Silent(), name="silent"))
    assert entry.zero_maps == {"saliency": 12, "ridge": 12}
    assert ranked.affinity(method="ridge").zero_maps == {"silent": 12}
    found = ranked.query("silent", rerank="ridge")
    assert np.array([m.affinity for m in found]) == pytest.approx(np.zeros(5))


@pytest.mark.parametrize("method", ["ridge", "rsa", "perturbation_response"])
def test_more_probes_are_as_if_they_had_been_there(tmp_path, method):
    images = torch.rand(20, 3, 14, 14, generator=torch.Generator().manual_seed(5))
    few, many = (pyattrx.Probes.from_tensor(images[:count]) for count in (12, 20))
    with make(tmp_path / "small", few, method) as zoo:
        before = zoo.query("net0", rerank=method)
        # One network cannot be run: what is staged of the others is not seen.
        failed = zoo.add_probes(many, encoders=networks()[:5])
        assert list(failed.failed) == ["net5"]
        assert list(zoo.query("net0", rerank=method)) == list(before)
        assert zoo.verify().ok
        assert zoo.add_probes(many, encoders=networks()).failed == {}
        direct = pyattrx.affinity(networks(), many, method)
        same(zoo.query("net0", rerank=method), direct.nearest("net0"))
        assert zoo.affinity(method=method).values == pytest.approx(direct.values, abs=1e-7)
        assert zoo.verify().ok
        zoo.add(encoder(9, features="1"))
        with pyattrx.Zoo.create(tmp_path / "new", many, "saliency", rerank=method) as new:
            assert new.merge(zoo).failed == {}
            same(new.query("net9", rerank=method), zoo.query("net9", rerank=method))
            assert new.verify().ok
    large = make(tmp_path / "large", many, method)
    with large, pyattrx.Zoo.open(tmp_path / "small") as zoo:
        for name in large.names:
            ours, theirs = zoo.entry(name), large.entry(name)
            assert ours.facts["features_kept"] == theirs.facts["features_kept"]
            assert ours.zero_maps == theirs.zero_maps
