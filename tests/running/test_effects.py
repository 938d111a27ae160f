"""Cheaper arithmetic: which one "auto" is, what it does, and where it goes back to float32."""

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from networks import build
from pyattrx.encoders import Encoder
from pyattrx.running import PRECISIONS, arithmetic, description, effects, settled
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


@pytest.fixture
def networks():
    return [
        Encoder(build("plain"), name="sturdy"),
        Encoder(Fragile(0), name="fragile"),
        Encoder(Fragile(1), name="another"),
    ]


RUN = {"device": "cpu", "batch_size": 4}


def test_each_network_is_read_in_what_it_can_stand(units, probes, networks):
    units(avx512_bf16=True)
    exact = pyattrx.affinity(networks, probes, "rsa", **RUN)
    auto = pyattrx.affinity(networks, probes, "rsa", precision="auto", **RUN)
    forced = pyattrx.affinity(networks, probes, "rsa", precision="bfloat16", **RUN)
    used = [n["precision"] for n in auto.provenance["networks"]]
    found = [one["feature_arithmetic"] for one in used]
    assert found == ["bfloat16", "float32", "float32"]
    assert used[1]["features_kept"] < 0.99 < used[0]["features_kept"] < 1
    assert used[1]["feature_probes"] == 2
    assert auto.values[1, 2] == exact.values[1, 2]  # to the bit: all passes are in float32
    assert forced.values[1, 2] != exact.values[1, 2]
    assert auto.values[0, 1] != exact.values[0, 1]
    assert abs(auto.values[0, 1] - exact.values[0, 1]) < 0.02


@pytest.mark.parametrize("why", ["one image in a batch", "equal images"])
def test_what_cannot_be_measured_is_read_in_float32(units, probes, networks, why):
    units(avx512_bf16=True)
    run = dict(RUN)
    if why == "equal images":
        images = probes.images(0, 9)
        probes = pyattrx.Probes.from_tensor(torch.cat([images[:1], images]))
    else:
        run["batch_size"] = 1
    exact = pyattrx.affinity(networks[1:], probes, "rsa", **run)
    auto = pyattrx.affinity(networks[1:], probes, "rsa", precision="auto", **run)
    assert auto.values[0, 1] == exact.values[0, 1]


def test_auto_makes_no_maps_in_bfloat16(units, probes, networks):
    units(avx512_bf16=True)
    exact = pyattrx.affinity(networks, probes, "saliency", **RUN)
    auto = pyattrx.affinity(networks, probes, "saliency", precision="auto", **RUN)
    assert np.array_equal(auto.values, exact.values)


def test_maps_go_back_to_float32(units, probes, networks, monkeypatch):
    """As they may on a GPU, in tf32; here another arithmetic stands for it."""
    monkeypatch.setattr(effects, "settled", lambda precision, device: "tf32")
    real = arithmetic
    half = {"tf32": "bfloat16"}
    for module in (effects, description):
        monkeypatch.setattr(
            module, "arithmetic", lambda name, device: real(half.get(name, name), device)
        )
    auto = pyattrx.affinity(networks, probes, "saliency", precision="auto", **RUN)
    used = [n["precision"] for n in auto.provenance["networks"]]
    assert [one["arithmetic"] for one in used] == ["tf32", "float32", "float32"]
    assert used[1]["least_cosine"] < 0.98 < used[0]["least_cosine"] < 1
    monkeypatch.undo()
    exact = pyattrx.affinity(networks, probes, "saliency", **RUN)
    assert auto.values[1, 2] == exact.values[1, 2]
    assert auto.values[0, 1] != exact.values[0, 1]


def test_float64_networks_stay_what_they_are(units, probes):
    units(avx512_bf16=True)
    encoders = [Encoder(build(name).double(), name=name) for name in ("plain", "resnet")]
    plain = pyattrx.affinity(encoders, probes, "rsa", **RUN)
    auto = pyattrx.affinity(encoders, probes, "rsa", precision="auto", **RUN)
    assert np.array_equal(plain.values, auto.values)


def test_a_zoo_remembers_what_its_maps_were_made_in(units, probes, networks, tmp_path):
    units(avx512_bf16=True)
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency", rerank="rsa") as zoo:
        zoo.add(networks[0], device="cpu", precision="auto")
        said = zoo.entry("sturdy").facts
    assert said["precision"] == "float32"
    assert said["precision_effect"]["feature_arithmetic"] == "bfloat16"


def test_features_kept():
    exact = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    assert features_kept(exact, exact) == 1
    assert features_kept(exact + torch.tensor([[0.1, 0.0], [0.0, 0.0]]), exact) == pytest.approx(
        1 - 0.01 / 2
    )
    assert features_kept(exact + 1, exact) == -1  # as much is lost as there is
    same = torch.ones(2, 3)
    assert features_kept(same + 0.5, same) == 0
    assert features_kept(torch.ones(2, 3), torch.ones(2, 4)) == 1
    assert features_kept(torch.ones(2, 3).int(), torch.ones(2, 3).int()) == 1
