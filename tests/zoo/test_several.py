"""Several targets in one call: each is answered as it is alone, and reading serves all of them."""

import os
import re

import pytest
import torch
from torch import nn
from zoo.conftest import encoder

import pyattrx
from pyattrx import Probes, Zoo
from pyattrx.errors import InvalidTypeError, InvalidValueError, ZooMismatchError
from pyattrx.query import Limits

READ = "/proc/self/io"


def read_by(call):
    """Bytes that this process reads while it does something, from wherever."""

    def so_far():
        with open(READ) as file:
            return int(re.search(r"rchar: (\d+)", file.read())[1])

    before = so_far()
    call()
    return so_far() - before


def made(path, **options):
    """A zoo of 100 networks given as maps, in ten families."""
    generator = torch.Generator().manual_seed(0)
    probes = Probes.from_tensor(torch.rand(32, 3, 14, 14, generator=generator))
    centres = torch.randn(10, 32, 196, generator=generator)
    zoo = Zoo.create(path, probes, "saliency", **options)
    for index in range(100):
        noise = torch.randn(32, 196, generator=generator)
        tags = ["all"] if index % 2 else ["all", "even"]
        zoo.add_maps(f"n{index}", centres[index % 10] + 0.7 * noise, tags=tags)
    return zoo


@pytest.mark.parametrize("kind", ["whole", "chosen", "filtered", "sketches", "in files"])
def test_each_is_answered_as_it_is_alone(tmp_path, kind):
    limits = Limits(one_by_one=0)
    if kind in ("chosen", "filtered"):  # so that there are rounds
        limits = Limits(1, 1, least_chosen=8, chosen_per_match=2, one_by_one=0)
    if kind == "in files":
        limits = Limits(in_memory=0, one_by_one=0)
    options = {"tags": "even"} if kind == "filtered" else {}
    maps = torch.randn(32, 196, generator=torch.Generator().manual_seed(1))
    targets = ["n3", encoder(1), maps, "n44", maps.double(), "torch.nn:Identity", "n3"]
    with made(tmp_path / "zoo", keep_rows=kind not in ("sketches", "in files")) as zoo:
        zoo.limits = limits
        alone = [zoo.query(target, 3, **options).to_dict() for target in targets]
        together = [found.to_dict() for found in zoo.query(targets, 3, **options)]
    assert together == alone
    assert [found["target"] for found in together[:2]] == ["n3", "net1"]
    assert {found["complete"] for found in together} <= {kind in ("whole", "chosen", "filtered")}


def test_races_and_features_are_each_targets_own(tmp_path):
    images = torch.rand(192, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    nets = [encoder(seed, features="1") for seed in range(6)]
    with Zoo.create(tmp_path / "zoo", Probes.from_tensor(images), rerank="cka") as zoo:
        zoo.add_many(nets)
        zoo.add_maps("given", torch.rand(192, 196))
        targets = ["net3", encoder(9, features="1"), torch.rand(192, 196), nets[0]]
        for options in ({"rerank": False}, {"stop": "confident"}):
            alone = [zoo.query(target, 2, **options).to_dict() for target in targets]
            assert [found.to_dict() for found in zoo.query(targets, 2, **options)] == alone
        assert [found["looks"] > 0 for found in alone] == [False, True, False, True]
        with pytest.raises(ZooMismatchError, match="'given': added as maps"):
            zoo.query(["net3"], 2)  # a finalist of every target
        zoo.remove("given")
        alone = [zoo.query(target, 2).to_dict() for target in targets]
        assert [found.to_dict() for found in zoo.query(targets, 2)] == alone
        assert [found["reranked_by"] for found in alone] == ["cka", "cka", None, "cka"]


@pytest.mark.skipif(not os.path.exists(READ), reason="counts what the system reads for a process")
@pytest.mark.parametrize("keep_rows", [True, False])
def test_rows_and_sketches_are_read_once_for_all(tmp_path, keep_rows):
    with made(tmp_path / "zoo", keep_rows=keep_rows) as zoo:
        size = zoo.describe()["bytes"]
        targets = ["n1", "n2", "n3", torch.rand(32, 196)]
        zoo.query(targets, tags="all")  # what is imported and read only once
        one = read_by(lambda: zoo.query("n1", tags="all"))
        several = read_by(lambda: zoo.query(targets, tags="all"))
    # A pass over all networks is nearly everything that there is, or all but the rows.
    assert one > 0.7 * size
    assert several < 1.5 * one


def test_a_pass_over_the_index_serves_all():
    class Widened(torch.overrides.TorchFunctionMode):
        """Counts the numbers that are brought from float16 to float32."""

        count = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is torch.Tensor.copy_ and args[1].dtype == torch.float16:
                self.count += args[1].numel()
            return func(*args, **(kwargs or {}))

    vectors = torch.randn(600, 1024, generator=torch.Generator().manual_seed(0)).numpy()
    index = pyattrx.query.SketchIndex.build(range(600), lambda: [vectors], 1024, kind="flat")
    for queries in (vectors[:1], vectors[:7]):
        with Widened() as widened:
            index.search(queries, 3)
        assert widened.count == vectors.size


def test_lists_of_any_length(zoo):
    assert zoo.query([]) == []
    (only,) = zoo.query(["net1"])
    assert only == zoo.query("net1")
    assert [found.target for found in zoo.query(("net1", "net0"))] == ["net1", "net0"]


def test_errors_name_the_target(zoo):
    maps = torch.rand(12, 196)
    with pytest.raises(InvalidValueError, match=r"target\[1\]='net7'.*'net5'.*specification"):
        zoo.query(["net0", "net7"])
    with pytest.raises(InvalidValueError, match=r"target\[2\].shape=\(12, 3\)"):
        zoo.query(["net0", maps, maps[:, :3]])
    with pytest.raises(InvalidTypeError, match=r"target\[0\]=.*wrap the module"):
        zoo.query([nn.Conv2d(3, 2, 3), maps])
    zoo.add_probes(
        Probes.from_tensor(torch.cat([zoo.probes.images(), torch.rand(1, 3, 14, 14)]),
                           groups=[*zoo.probes.groups.tolist(), 6]),
        encoders=[encoder(seed) for seed in range(6)],
    )  # fmt: skip
    with pytest.raises(InvalidValueError, match=r"target\[1\].shape=\(12, 196\)"):
        zoo.query([torch.rand(13, 196), maps])


def test_a_damaged_entry_is_told_once_and_to_those_who_miss_it(zoo, recwarn):
    located = zoo._store.catalog.records([zoo._store.find("net4")], 1, 0).popitem()[1][0]
    rows = zoo.path / "rows" / "000001.rows"
    data = bytearray(rows.read_bytes())
    data[located.record.offset + 5] ^= 1
    rows.write_bytes(data)
    found = zoo.query(["net0", "net1"])
    assert [one.damaged for one in found] == [("net4",), ("net4",)]
    (warned,) = [one for one in recwarn if "net4" in str(one.message)]
    assert warned.filename == __file__


def test_a_string_is_an_entry_or_else_a_specification(zoo):
    zoo.add(encoder(0, name="torch.nn:Identity"))
    named = zoo.query("torch.nn:Identity")
    assert named.searched == 6  # it is in the zoo, and not its own match
    assert named[0].name == "net0"
    assert named[0].affinity == pytest.approx(1)
    zoo.remove("torch.nn:Identity")
    loaded = zoo.query("torch.nn:Identity")
    assert (loaded.target, loaded.searched) == ("torch.nn:Identity", 6)
    expected = zoo.query(pyattrx.Encoder(nn.Identity(), name="x"))
    assert [m.affinity for m in loaded] == [m.affinity for m in expected]


@pytest.mark.parametrize("given", ["net_1", "timm:", "nothing.safetensors", "net1?weights="])
def test_a_string_that_is_neither_is_told_of_both(zoo, given):
    with pytest.raises(
        InvalidValueError, match=r"target=.*a network in the zoo \(6\).*specification"
    ):
        zoo.query(given)
    if given == "net_1":
        with pytest.raises(InvalidValueError, match="did you mean 'net1'"):
            zoo.query(given)
