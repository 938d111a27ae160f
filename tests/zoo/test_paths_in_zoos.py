"""Fields and inner attributions in a zoo: rows of several maps, and layers that are part of who
a network is."""

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx import Zoo
from pyattrx.errors import EncoderError, PyattrxError
from pyattrx.methods import Method


def encoder(seed, features="1"):
    torch.manual_seed(seed)
    body = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Conv2d(4, 4, 3), torch.nn.Tanh(),
        torch.nn.Conv2d(4, 2, 3),
    )  # fmt: skip
    return pyattrx.Encoder(body, name=f"net{seed}", features=features)


METHODS = [
    Method("gradient_field", steps=3),
    Method("gradient_field", steps=3, pixels=20, storage="float16"),
    Method("conductance", steps=4, grid=(6, 6)),
    Method("naa", steps=4, grid=(6, 6), reduce="none"),
    Method("layer_ig", steps=4),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_answers_are_those_of_affinity(tmp_path, probes, method):
    nets = [encoder(seed) for seed in range(4)]
    direct = pyattrx.affinity(nets, probes, method)
    with Zoo.create(tmp_path / "zoo", probes, method) as zoo:
        zoo.add_many(nets)
        assert np.array_equal(zoo.affinity().values, direct.values)
    with Zoo.open(tmp_path / "zoo") as zoo:
        assert zoo.methods == [method] and zoo.verify().ok
        found, expected = zoo.query("net2", k=3), direct.nearest("net2", k=3)
        assert [one.name for one in found] == [one.name for one in expected]
        fresh = zoo.query(encoder(9), k=4)
        assert len(fresh) == 4


def test_maps_of_a_field_go_in_as_networks_do(tmp_path, probes):
    method = METHODS[1]
    rows = pyattrx.AttributionMaps(method, probes.size)
    with encoder(0).prepare("cpu", probes.images()) as prepared:
        maps = rows.rows(prepared, probes.images())
    with Zoo.create(tmp_path / "zoo", probes, method) as zoo:
        zoo.add(encoder(0))
        zoo.add_maps("given", maps)
        assert zoo.query("net0", k=1)[0].affinity == pytest.approx(1, abs=1e-6)
        with pytest.raises(PyattrxError, match="60"):
            zoo.add_maps("short", maps[:, :20])


def test_a_network_is_another_one_at_another_layer(tmp_path, probes):
    with Zoo.create(tmp_path / "zoo", probes, "conductance") as zoo:
        zoo.add(encoder(0))
        before = zoo.affinity().values
        zoo.add(encoder(0), tags="again")  # the same: it gets the tag
        assert zoo.entry("net0").tags == ("again",) and np.array_equal(
            zoo.affinity().values, before
        )
        with pytest.raises(PyattrxError, match="features"):
            zoo.add(encoder(0, features="3"))
        zoo.add(encoder(0, features="3"), replace=True)
        with pytest.raises(EncoderError, match="'net1'.*features= is nothing"):
            zoo.add(encoder(1, features=None))
        assert zoo.names == ["net0"]
