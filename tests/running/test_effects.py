"""Cheaper arithmetic: which one "auto" is, what it does, and where it goes back to float32."""

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from networks import build
from pyattrx.encoders import Encoder
from pyattrx.running import PRECISIONS, settled
from pyattrx.running.effects import features_kept

CPU = torch.device("cpu")


@pytest.fixture
def units(monkeypatch):
    """A CPU with instructions for bfloat16, or without."""

    def have(**known):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)

    return have


@pytest.fixture
def probes():
    noise = torch.rand(9, 3, 24, 24, generator=torch.manual_seed(3))
    shades = torch.rand(9, 3, 1, 1, generator=torch.manual_seed(4))
    return pyattrx.Probes.from_tensor(shades * noise)  # in noise alone, all images are alike


class Fragile(nn.Module):
    """Its small answers are differences of large numbers: eight bits hold nothing of them."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3)
        nn.init.constant_(self.conv.bias, 200)

    def forward(self, x):
        return (self.conv(x) - 200).square().mean((2, 3))


def test_auto_by_device(units, monkeypatch):
    units()
    assert settled("auto", CPU) == "float32"
    for unit in ("amx_bf16", "avx512_bf16"):
        units(**{unit: True})
        assert settled("auto", CPU) == "bfloat16"
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older PyTorch
    assert settled("auto", CPU) == "float32"
    for capability, found in (((7, 5), "float32"), ((8, 0), "tf32"), ((9, 0), "tf32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d, c=capability: c)
        assert settled("auto", torch.device("cuda")) == found
    assert [settled(name, CPU) for name in PRECISIONS[:3]] == ["float32", "tf32", "bfloat16"]


@pytest.mark.parametrize("method", ["saliency", "recommended", "rsa"])
def test_without_such_units_auto_is_float32(units, probes, method):
    units()
    encoders = [Encoder(build(name), name=name) for name in ("plain", "resnet")]
    plain = pyattrx.affinity(encoders, probes, method, device="cpu")
    auto = pyattrx.affinity(encoders, probes, method, device="cpu", precision="auto")
    assert np.array_equal(plain.values, auto.values, equal_nan=True)
    assert [n["precision"] for n in auto.provenance["networks"]] == [None, None]


@pytest.mark.parametrize("method", ["saliency", "rsa"])
def test_with_them_each_network_runs_in_what_it_can_stand(units, probes, method):
    units(avx512_bf16=True)
    encoders = [
        Encoder(build("plain"), name="sturdy"),
        Encoder(Fragile(0), name="fragile"),
        Encoder(Fragile(1), name="another"),
    ]
    run = {"device": "cpu", "batch_size": 4}
    exact = pyattrx.affinity(encoders, probes, method, **run)
    auto = pyattrx.affinity(encoders, probes, method, precision="auto", **run)
    forced = pyattrx.affinity(encoders, probes, method, precision="bfloat16", **run)
    used = {n["name"]: n["precision"] for n in auto.provenance["networks"]}
    assert [used[name]["arithmetic"] for name in used] == ["bfloat16", "float32", "float32"]
    if method == "saliency":
        assert used["fragile"]["least_cosine"] < 0.95 < used["sturdy"]["least_cosine"] < 1
    else:
        assert used["fragile"]["features_kept"] < 0.99 < used["sturdy"]["features_kept"] < 1
        assert used["fragile"]["feature_probes"] == 2
    assert auto.values[1, 2] == exact.values[1, 2]  # to the bit: all passes are in float32
    assert forced.values[1, 2] != exact.values[1, 2]
    assert auto.values[0, 1] != exact.values[0, 1]
    assert abs(auto.values[0, 1] - exact.values[0, 1]) < 0.02


def test_float64_networks_stay_what_they_are(units, probes):
    units(avx512_bf16=True)
    encoders = [Encoder(build(name).double(), name=name) for name in ("plain", "resnet")]
    plain = pyattrx.affinity(encoders, probes, "saliency", device="cpu")
    auto = pyattrx.affinity(encoders, probes, "saliency", device="cpu", precision="auto")
    assert np.array_equal(plain.values, auto.values)


def test_a_zoo_remembers_what_auto_was(units, probes, tmp_path):
    units(avx512_bf16=True)
    more = pyattrx.Probes.from_tensor(torch.cat([probes.images(0, 9), torch.rand(3, 3, 24, 24)]))
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        for module, name, used in (
            (build("plain"), "sturdy", "bfloat16"),
            (Fragile(0), "fragile", "float32"),
        ):
            encoder = Encoder(module, name=name)
            zoo.add(encoder, device="cpu", precision="auto")
            said = zoo.entry(name).facts
            assert said["precision"] == said["precision_effect"]["arithmetic"] == used
        units()  # another machine
        again = [Encoder(build("plain"), name="sturdy"), Encoder(Fragile(0), name="fragile")]
        assert not zoo.add_probes(more, encoders=again).failed
        assert len(zoo.probes) == 12


def test_features_kept():
    exact = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    assert features_kept(exact, exact) == 1
    assert features_kept(exact + torch.tensor([[0.1, 0.0], [0.0, 0.0]]), exact) == pytest.approx(
        1 - 0.01 / 2
    )
    assert features_kept(exact + 1, exact) == -1  # as much is lost as there is
    same = torch.ones(2, 3)
    assert features_kept(same + 0.5, same) == 1
    assert features_kept(torch.ones(2, 3), torch.ones(2, 4)) == 1
    assert features_kept(torch.ones(2, 3).int(), torch.ones(2, 3).int()) == 1
