"""Zoos: what goes in comes out, answers are those of `affinity`, wrong arguments cost nothing."""

import functools
import json
import sqlite3

import numpy as np
import pytest
import torch
from torch import nn
from zoo.conftest import encoder, network

import pyattrx
from pyattrx import Method, Zoo
from pyattrx.errors import (
    InvalidTypeError,
    InvalidValueError,
    NonFiniteError,
    PyattrxError,
    UntrustedError,
    ZooDamagedError,
    ZooError,
    ZooMismatchError,
    ZooWarning,
)
from pyattrx.methods import get as get_method
from pyattrx.query import Limits
from pyattrx.storage.catalog import Catalog

METHODS = [
    Method("saliency"),
    Method("grad_x_input", scalar="half_squared_norm", pixels=33, storage="float16"),
    Method("elrp", reduce="abs_mean", pixels=50, storage="int8"),
    Method("saliency", grid=(7, 5), center=True, storage="bfloat16"),
    Method("grad_x_input", reduce="none"),
]


def assert_same(matches, expected):
    assert [m.name for m in matches] == [m.name for m in expected]
    for ours, theirs in zip(matches, expected, strict=True):
        assert ours.affinity == pytest.approx(theirs.affinity, abs=1e-12)
        assert ours.stderr == pytest.approx(theirs.stderr, rel=1e-9)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
        assert ours.ties == theirs.ties


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_answers_are_those_of_affinity(tmp_path, probes, method):
    networks = [encoder(seed) for seed in range(7)]
    direct = pyattrx.affinity(networks, probes, method)
    zoo = Zoo.create(tmp_path / "zoo", probes, method)
    assert zoo.add_many(networks[:6]).added == [e.name for e in networks[:6]]
    assert np.array_equal(zoo.affinity().values, direct.values[:6, :6])
    assert np.array_equal(zoo.affinity().stderr, direct.stderr[:6, :6])
    assert_same(zoo.query(networks[6], k=4), direct.nearest("net6", 4))
    six = pyattrx.affinity(networks[:6], probes, method)
    assert_same(zoo.query("net3", k=5), six.nearest("net3", 5))


def test_its_provenance_says_of_networks_what_affinity_says(tmp_path, probes):
    run = {"device": "cpu", "precision": "bfloat16"}
    (direct,) = pyattrx.affinity([encoder(0)], probes, "saliency", **run).provenance["networks"]
    with Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        zoo.add(encoder(0), **run)
        zoo.add_maps("given", torch.rand(12, 14 * 14))
        ours, given = zoo.affinity().provenance["networks"]
    assert ours["precision"] == direct["precision"]
    assert 0.5 < ours["precision"]["least_cosine"] < 1
    assert ours["compile"] is direct["compile"] is None
    assert (ours["run_precision"], ours["run_compile"]) == ("bfloat16", False)
    assert given["precision"] is given["compile"] is None
    assert "run_precision" not in given


def test_a_zoo_is_what_it_was_after_opening(tmp_path, zoo):
    before = zoo.query("net0", k=5)
    assert before.complete
    assert before.searched == 5
    zoo.close()
    again = Zoo.open(tmp_path / "zoo")
    assert again.names == [f"net{i}" for i in range(6)]
    assert len(again) == 6
    assert "net3" in again
    assert "net9" not in again
    assert again.probes.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert_same(again.query("net0", k=5), before)
    assert again.verify().ok
    assert again.verify().entries == 6
    assert repr(again).startswith("Zoo(")
    assert json.dumps(again.describe())
    assert json.dumps(before.to_dict(), allow_nan=False)


def test_an_entry_says_where_it_is_from(zoo):
    zoo.add("torch.nn:Identity", tags=["identity", "odd"])
    entry = zoo.entry("torch.nn:Identity")
    assert entry.specification == "torch.nn:Identity"
    assert entry.tags == ("identity", "odd")
    assert entry.weights_hash == pyattrx.Encoder(nn.Identity()).weights_hash()
    assert {"class", "transform", "output", "seconds", "device", "versions"} <= set(entry.facts)
    assert pyattrx.load(entry.specification).name == entry.name
    assert json.dumps(entry.to_dict())


def test_zero_maps_are_counted(zoo):
    dead = network(1)
    nn.init.zeros_(dead[2].weight)
    assert zoo.add(pyattrx.Encoder(dead, name="dead")).zero_maps == {"saliency": 12}
    assert zoo.affinity().zero_maps == {"dead": 12}
    assert zoo.query("dead", k=1)[0].affinity == 0


def test_several_methods_live_in_one_zoo(tmp_path, probes):
    networks = [encoder(seed) for seed in range(4)]
    zoo = Zoo.create(tmp_path / "zoo", probes, METHODS[:3])
    zoo.add_many(networks)
    assert zoo.methods == METHODS[:3]
    for method in METHODS[:3]:
        direct = pyattrx.affinity(networks, probes, method)
        assert np.array_equal(zoo.affinity(method=method).values, direct.values)
        assert_same(zoo.query("net2", method=str(method)), direct.nearest("net2"))
    assert zoo.query("net2").method == str(METHODS[0])
    with pytest.raises(InvalidValueError, match="method='elrp'.*one of this zoo's"):
        zoo.query("net2", method="elrp")


def test_maps_go_in_as_networks_do(tmp_path, probes):
    method = Method("saliency", pixels=40, storage="float16")
    a, b = (Zoo.create(tmp_path / name, probes, method) for name in "ab")
    descriptor = pyattrx.AttributionMaps(method, probes.size)
    for seed in range(4):
        a.add(encoder(seed))
        with encoder(seed).prepare("cpu", probes.images()) as prepared:
            maps = descriptor.rows(prepared, probes.images())
        assert b.add_maps(f"net{seed}", maps, tags=["ready"]).tags == ("ready",)
    assert np.allclose(a.affinity().values, b.affinity().values, atol=1e-6)
    assert_same(b.query(maps, k=1), b.query(maps * 2.0**-90, k=1))
    assert b.query(maps, k=1)[0].name == "net3"
    assert b.query(maps, k=1)[0].affinity == pytest.approx(1)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.rand(11, 196), r"maps.shape=\(11, 196\): expected \(12, 196\)"),
        (torch.rand(12, 195), r"maps.shape=\(12, 195\)"),
        (torch.rand(12), "maps.shape"),
        (torch.ones(12, 196, dtype=torch.int64), "maps.dtype"),
        (np.ones((12, 196)), "maps"),
        (torch.full((12, 196), torch.nan), r"maps\[0\] holds NaN"),
    ],
)
def test_wrong_maps_are_refused(zoo, maps, message):
    with pytest.raises((InvalidValueError, InvalidTypeError, NonFiniteError), match=message):
        zoo.add_maps("x", maps)
    assert "x" not in zoo


def test_the_same_network_is_not_added_twice(zoo):
    created = zoo.entry("net1").created
    zoo.add(encoder(1), tags="again")
    assert zoo.entry("net1").tags == ("again", "small")
    assert zoo.entry("net1").created == created
    report = zoo.add_many([encoder(1), encoder(7)])
    assert (report.added, report.skipped, report.failed) == (["net7"], ["net1"], {})
    with pytest.raises(InvalidValueError, match="name='net1'.*differs in weights_hash"):
        zoo.add(encoder(9, name="net1"))
    with pytest.raises(InvalidValueError, match="differs in transform"):
        zoo.add(encoder(1, transform=pyattrx.Normalize([0.5] * 3, [0.5] * 3)))
    zoo.add(encoder(9, name="net1"), replace=True)
    assert zoo.names == ["net0", "net2", "net3", "net4", "net5", "net7", "net1"]
    assert zoo.entry("net1").weights_hash == encoder(9).weights_hash()
    assert zoo.verify().ok


def test_a_failing_network_does_not_stop_the_rest(zoo):
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("no luck")

    def explodes():
        raise KeyError("lost")

    nan = network(3)
    nn.init.constant_(nan[0].weight, torch.nan)
    sources = [
        pyattrx.Encoder(Broken(), name="broken"),
        encoder(8),
        "no.such.module:factory",
        explodes,
        pyattrx.Encoder(nan, name="nan"),
        functools.partial(encoder, 9),
        encoder(8),
    ]
    with pytest.raises(InvalidValueError, match="different names"):
        zoo.add_many(sources)
    report = zoo.add_many(iter(sources[:6]))
    assert report.added == ["net8", "net9"]
    assert set(report.failed) >= {"broken", "no.such.module:factory", "nan"}
    assert len(report.failed) == 4
    assert "no luck" in report.failed["broken"]
    assert "NaN" in report.failed["nan"]
    assert zoo.verify().ok
    assert len(zoo) == 8


def test_tags_filter(zoo):
    zoo.tag("net1", "a", "b")
    zoo.tag("net2", "a")
    zoo.tag("net4", "a", "b")
    assert zoo.tags == {"a": 3, "b": 2, "small": 6}
    assert {m.name for m in zoo.query("net0", tags="a")} == {"net1", "net2", "net4"}
    assert {m.name for m in zoo.query("net1", tags=["a", "b"])} == {"net4"}
    assert zoo.query("net1", tags="nothing") == []
    assert [e.name for e in zoo.entries("b")] == ["net1", "net4"]
    zoo.untag("net4", "b")
    assert [e.name for e in zoo.entries("b")] == ["net1"]
    with pytest.raises(InvalidValueError, match="tags"):
        zoo.tag("net1", "")
    with pytest.raises(InvalidTypeError, match="tags=3"):
        zoo.query("net1", tags=3)


def test_what_is_removed_is_gone(tmp_path, zoo):
    zoo.remove("net2")
    assert "net2" not in zoo
    assert "net2" not in [m.name for m in zoo.query("net0", k=9)]
    assert zoo.verify().ok
    with pytest.raises(InvalidValueError, match="name='net2': expected a network in the zoo"):
        zoo.remove("net2")
    zoo.add(encoder(2))
    assert zoo.names[-1] == "net2"


def test_merging_takes_what_is_not_there(tmp_path, probes, zoo):
    with Zoo.create(tmp_path / "other", probes, "saliency") as other:
        other.add_many([encoder(seed) for seed in (4, 8, 9)], tags="theirs")
        other.add(encoder(10, name="net0"))
        report = zoo.merge(other)
    assert report.added == ["net8", "net9"]
    assert report.skipped == ["net4"]
    assert "another network" in report.failed["net0"]
    assert zoo.entry("net9").tags == ("theirs",)
    assert zoo.verify().ok
    networks = [encoder(seed) for seed in (0, 1, 2, 3, 4, 5, 8, 9)]
    assert np.array_equal(
        zoo.affinity().values, pyattrx.affinity(networks, probes, "saliency").values
    )
    assert zoo.merge(tmp_path / "other").skipped == ["net4", "net8", "net9"]


def test_merging_refuses_what_differs(tmp_path, probes, zoo):
    Zoo.create(tmp_path / "a", probes, "elrp").close()
    Zoo.create(tmp_path / "b", probes.head(10), "saliency", sketch_size=1024).close()
    with pytest.raises(ZooMismatchError, match="methods .'saliency' here, 'elrp' there"):
        zoo.merge(tmp_path / "a")
    with pytest.raises(ZooMismatchError, match="probes .*, sketch_size .4096 here, 1024 there"):
        zoo.merge(tmp_path / "b")


def test_a_zoo_without_rows_estimates(tmp_path, probes):
    images = torch.rand(64, 3, 14, 14, generator=torch.Generator().manual_seed(1))
    probes = pyattrx.Probes.from_tensor(images)
    networks = [encoder(seed) for seed in range(8)]
    direct = pyattrx.affinity(networks, probes, "grad_x_input")
    zoo = Zoo.create(tmp_path / "zoo", probes, "grad_x_input", keep_rows=False)
    zoo.add_many(networks)
    matches = zoo.query("net0", k=7)
    assert not matches.complete
    errors = []
    for match in matches:
        exact = direct.values[0, direct.index(match.name)]
        assert 0 < match.stderr < 0.2
        errors.append((match.affinity - exact) / match.stderr)
    assert np.abs(errors).max() < 5
    assert np.abs([e * m.stderr for e, m in zip(errors, matches, strict=True)]).max() < 0.1
    assert zoo.verify().ok
    with pytest.raises(InvalidValueError, match="keep_rows"):
        zoo.affinity()
    with pytest.raises(InvalidValueError, match="exact=True"):
        zoo.query("net0", exact=True)


def test_sketches_choose_in_larger_zoos(tmp_path, probes):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 12, 196, generator=generator)
    with Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        zoo.limits = Limits(all_entries=1, all_bytes=1)
        for index in range(300):
            noise = torch.randn(12, 196, generator=generator)
            zoo.add_maps(f"n{index}", centres[index % 10] + 0.7 * noise)
        everything = zoo.affinity()
        for index in range(0, 300, 37):
            matches = zoo.query(f"n{index}", k=5)
            assert matches.complete
            assert matches.compared < 299
            expected = everything.nearest(f"n{index}", 5)
            assert [m.name for m in matches] == [m.name for m in expected]
            assert_same(zoo.query(f"n{index}", k=5, exact=True), expected)
        zoo.remove("n10")
        zoo.add_maps("new", centres[0])
        found = zoo.query("n0", k=40)
        assert found[0].name == "new"
        assert "n10" not in [m.name for m in found]


def test_one_probe_one_network_and_none(tmp_path):
    probes = pyattrx.Probes.from_tensor(torch.rand(1, 3, 9, 9))
    zoo = Zoo.create(tmp_path / "zoo", probes, "grad_x_input")
    assert zoo.names == []
    assert zoo.query(encoder(0)) == []
    assert zoo.verify().ok
    zoo.add(encoder(0))
    assert zoo.query("net0") == []
    (match,) = zoo.query(encoder(1))
    assert np.isnan(match.stderr)
    assert match.to_dict()["stderr"] is None
    with pytest.raises(InvalidValueError, match="names"):
        zoo.affinity([])


def test_wrong_arguments_are_refused_before_anything_is_made(tmp_path, probes):
    path = tmp_path / "zoo"
    for arguments, message in [
        ({"probes": 3}, "probes=3"),
        ({"method": "nonsense"}, "method='nonsense'"),
        ({"method": []}, "method"),
        ({"method": ["elrp", "elrp"]}, "method"),
        ({"method": Method(pixels=1000)}, "pixels=1000"),
        ({"method": Method(scalar=lambda z: z.sum())}, "scalar"),
        ({"sketch_size": 100}, "sketch_size=100"),
        ({"seed": -1}, "seed=-1"),
        ({"keep_rows": 1}, "keep_rows=1"),
        ({"wait": "long"}, "wait='long'"),
    ]:
        with pytest.raises((InvalidValueError, InvalidTypeError), match=message):
            Zoo.create(path, **{"probes": probes, **arguments})
        assert list(tmp_path.iterdir()) == []
    (path / "inner").mkdir(parents=True)
    with pytest.raises(InvalidValueError, match="something else already"):
        Zoo.create(path, probes)
    with pytest.raises(InvalidValueError, match="in one that exists"):
        Zoo.create(tmp_path / "no" / "zoo", probes)
    with pytest.raises(ZooError, match="there is no zoo here"):
        Zoo.open(path)
    with pytest.raises(InvalidTypeError, match="path=3"):
        Zoo.open(3)


def test_wrong_questions_are_refused(zoo):
    for arguments, message in [
        (("nobody",), "target='nobody'.*a network in the zoo"),
        ((3,), "target=3"),
        (("net0", 0), "k=0"),
        (("net0", True), "k=True"),
        ((torch.rand(12, 5),), "target.shape"),
    ]:
        with pytest.raises((InvalidValueError, InvalidTypeError), match=message):
            zoo.query(*arguments)
    with pytest.raises(InvalidValueError, match="level=1.5"):
        zoo.query("net0", level=1.5)
    with pytest.raises(InvalidValueError, match="batch_size=0"):
        zoo.query(encoder(7), batch_size=0)
    with pytest.raises(InvalidValueError, match="precision='half'"):
        zoo.add(encoder(7), precision="half")
    with pytest.raises(InvalidTypeError, match="compile='yes'"):
        zoo.add(encoder(7), compile="yes")
    with pytest.raises(InvalidTypeError, match="encoder"):
        zoo.add(network(7))


def test_opening_a_zoo_imports_nothing_unasked(tmp_path, probes):
    method = Method(scalar=pyattrx.evaluate.precision_at_k)
    Zoo.create(tmp_path / "zoo", probes, method).close()
    with pytest.raises(UntrustedError, match="pyattrx.evaluate:precision_at_k"):
        Zoo.open(tmp_path / "zoo")
    assert Zoo.open(tmp_path / "zoo", trust=True).methods == [method]


def test_a_catalog_of_another_format_is_refused(tmp_path, zoo):
    zoo.close()
    connection = sqlite3.connect(tmp_path / "zoo" / "zoo.sqlite")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(ZooError, match="format 99"):
        Zoo.open(tmp_path / "zoo")


def test_rows_of_float64_networks_stay_float64(tmp_path, probes):
    networks = [encoder(seed, dtype=torch.float64) for seed in range(3)] + [encoder(3)]
    direct = pyattrx.affinity(networks, probes, method="grad_x_input")
    zoo = Zoo.create(tmp_path / "zoo", probes, "grad_x_input")
    zoo.add_many(networks)
    assert np.array_equal(zoo.affinity().values, direct.values)
    assert_same(zoo.query("net0"), direct.nearest("net0"))


def test_a_damaged_description_does_not_stop_the_rest(zoo, spoil):
    spoil("net2")
    zoo.tag("net2", "spoilt")
    assert zoo.tags_of("net2") == ("small", "spoilt")
    with pytest.warns(ZooWarning, match="'net2'.*damaged.*left out"):
        assert [e.name for e in zoo.entries()] == ["net0", "net1", "net3", "net4", "net5"]
    report = zoo.add_many([encoder(2), encoder(1), encoder(7)])
    assert (report.added, report.skipped) == (["net7"], ["net1"])
    assert "replace=True" in report.failed["net2"]
    zoo.remove("net2")
    assert len(list(zoo.entries())) == 6


def test_what_is_removed_meanwhile_is_no_entry(zoo):
    with Zoo.open(zoo.path) as other:
        entries = zoo.entries()
        next(entries)
        other.remove("net3")
        assert [e.name for e in entries] == ["net1", "net2", "net4", "net5"]


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (5, TypeError),
        ({1: 2}, TypeError),
        ({"x": float("nan")}, ValueError),
        ({"x": {"y": float("inf")}}, ValueError),
        ({"x": {1: 2, "y": 3}}, ValueError),
        ({"x": torch.rand(1)}, ValueError),
        ({"features_kept": {"arrays": 5}}, ValueError),
        ({"maps": "mine"}, ValueError),
        ({"specification": 7}, TypeError),
        ({"weights_hash": 7}, TypeError),
    ],
)
def test_facts_are_checked(zoo, facts, kind):
    with pytest.raises(PyattrxError, match="facts") as caught:
        zoo.add_maps("x", torch.rand(12, 196), facts=facts)
    assert isinstance(caught.value, kind)
    assert "x" not in zoo


def test_a_closed_zoo_says_so(zoo):
    entries = zoo.entries()
    next(entries)
    zoo.close()
    zoo.close()
    asked = [
        lambda: zoo.query("net0"),
        lambda: zoo.add(encoder(9)),
        lambda: zoo.names,
        lambda: "net0" in zoo,
        lambda: next(entries),
        zoo.verify,
        zoo.describe,
    ]
    for ask in asked:
        with pytest.raises(ZooError, match="the zoo is closed") as caught:
            ask()
        assert not isinstance(caught.value, ZooDamagedError)
    assert repr(zoo) == f"Zoo({str(zoo.path)!r}, closed)"


def test_names_that_cannot_be_encoded_are_refused(zoo):
    name = "a\udc80"
    with pytest.raises(InvalidValueError, match="name="):
        zoo.add_maps(name, torch.rand(12, 196))
    with pytest.raises(InvalidValueError, match="name="):
        zoo.add(encoder(9, name=name))
    with pytest.raises(InvalidValueError, match="tags="):
        zoo.tag("net0", name)
    with pytest.raises(InvalidValueError, match="target="):
        zoo.query(name)
    assert name not in zoo


def test_merging_keeps_tags_of_both(tmp_path, probes, zoo):
    with Zoo.create(tmp_path / "other", probes, "saliency") as other:
        other.add(encoder(0), tags=["theirs", "small"])
        other.add(encoder(9, name="net1"), tags="another")
        assert zoo.merge(other).skipped == ["net0"]
    assert zoo.tags_of("net0") == ("small", "theirs")
    assert zoo.tags_of("net1") == ("small",)


def test_a_network_given_twice_is_there_already(zoo):
    given = ["torch.nn:Identity", "torch.nn:Identity", "torch.nn:Identity"]
    report = zoo.add_many(given)
    assert (report.added, report.skipped, report.failed) == (given[:1], given[:1], {})
    report = zoo.add_many(iter([encoder(8), encoder(9, name="net8")]))
    assert report.added == ["net8"]
    assert "another network of this name" in report.failed["net8"]


def test_many_give_way(zoo):
    created = [zoo.entry(f"net{i}").weights_hash for i in (1, 2)]
    given = [encoder(1), encoder(9, name="net2"), functools.partial(encoder, 8, name="net2")]
    report = zoo.add_many(given, replace=True)
    assert report.added == ["net1", "net2"]
    assert list(report.failed) == ["net2"]  # what this call added stays
    assert zoo.names[-2:] == ["net1", "net2"]
    assert zoo.entry("net1").weights_hash == created[0]
    assert zoo.entry("net2").weights_hash == encoder(9).weights_hash() != created[1]


def test_numpy_integers_are_integers(tmp_path, probes, zoo):
    assert len(zoo.query("net0", np.int64(3))) == 3
    with Zoo.create(tmp_path / "n", probes, seed=np.int64(1), sketch_size=np.int32(1024)) as made:
        assert made.describe()["sketch_size"] == 1024


def test_the_default_is_that_of_affinity(tmp_path, probes):
    networks = [encoder(seed, features="1") for seed in range(4)]
    direct = pyattrx.affinity(networks, probes)
    with Zoo.create(tmp_path / "zoo", probes) as made:
        made.add_many(networks)
        assert made.methods == [Method("saliency", scalar="half_squared_norm")]
        assert made.rerank == get_method("recommended")
        found = made.affinity()
        assert found.provenance["method"] == direct.provenance["method"]
        assert found.values == pytest.approx(direct.values, abs=1e-7)
        assert [m.name for m in made.query("net1")] == [m.name for m in direct.nearest("net1")]
        assert made.affinity(method=made.methods[0]).symmetric
    with Zoo.create(tmp_path / "other", probes, rerank="cka") as made:
        assert made.rerank == get_method("cka")
    with Zoo.create(tmp_path / "maps", probes, "saliency") as made:
        assert made.rerank is None


def test_a_method_of_features_re_ranks(tmp_path):
    probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 8, 8))
    for method in (["recommended"], get_method("cka")):
        with pytest.raises((InvalidValueError, InvalidTypeError), match="rerank='recommended'"):
            pyattrx.Zoo.create(tmp_path / "zoo", probes, method)


def test_names_of_methods_are_those_that_were_kept(tmp_path, probes, monkeypatch):
    """Older releases wrote "centre": what an entry says of its maps is under that name."""
    method = pyattrx.Method("saliency", center=True)
    old = {("centre" if key == "center" else key): v for key, v in method.to_dict().items()}
    create = Catalog.create

    def as_before(path, meta, kept):
        assert [name for name, _ in kept] == ["saliency, center=True"]
        create(path, meta, [("saliency, centre=True", json.dumps(old, sort_keys=True))])

    monkeypatch.setattr(Catalog, "create", as_before)
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, method) as zoo:
        assert zoo.methods == [method]
        linear = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.AdaptiveAvgPool2d(1))
        zoo.add(pyattrx.Encoder(linear, name="linear"))  # centering leaves nothing of its maps
        zoo.add(pyattrx.Encoder(torch.nn.Conv2d(3, 2, 3), name="other"))
        assert zoo.entry("linear").zero_maps == {"saliency, centre=True": len(probes)}
        assert zoo.affinity().zero_maps["linear"] == len(probes)
        assert zoo.query("linear", method="saliency, centre=True")[0].name == "other"
        assert zoo.query("linear", method=method)[0].name == "other"
