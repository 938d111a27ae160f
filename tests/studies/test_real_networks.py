"""Architectures of published networks: what a file holds comes out of the loader, or is refused."""

import contextlib
import doctest
import importlib
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from pyattrx import Probes
from pyattrx.errors import EncoderError, InvalidValueError, UntrustedError
from pyattrx.features import extract
from studies.real import networks
from studies.real.networks import catalogue, onnx

MODULES = (
    "catalogue", "cifar_resnet", "mobilefacenet", "mobilenet_v2", "mtcnn", "open_nsfw",
    "ultraface", "zero_dce",
)  # fmt: skip
NETWORKS = networks.real_networks()


def each(function):
    return pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)(function)


def lived_in(network):
    """The module with random weights, slopes that are not all alike, and statistics of images."""
    torch.manual_seed(0)
    module = network.build()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.PReLU):
            nn.init.uniform_(part.weight, 0.3, 1.5)
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1
    with torch.no_grad():
        module(images(network))
    return module.eval()


def save(state, network, folder):
    """Write a state dict to where the network looks for it."""
    file = folder / network.file
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file(state, file)
    elif file.suffix == ".onnx":
        file.write_bytes(as_onnx(state))
    else:
        torch.save(state, file)
    return file


def varint(value):
    """An integer as protocol buffers have it: seven bits a byte, the lowest first."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number, value):
    """A field of a protocol buffer: an integer or bytes."""
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def place_in_onnx(name):
    """The output of the node that one of our tensors is an input of, and which input it is."""
    layer, _, kind = name.rpartition(".")
    if layer == "fc":
        return {"weight": "fc_nsfw/MatMul:0", "bias": "fc_nsfw/BiasAdd:0"}[kind], 1
    if layer == "surplus":
        return name, 1
    _, *block = layer.split(".")
    theirs = "stage{}_block{}_{}".format(*block) if block else "1"
    return f"bn_{theirs}/FusedBatchNormV3:0", {"weight": 1, "bias": 2}[kind]


def as_onnx(state):
    """What tf2onnx made of Open NSFW, reduced to the weights: nodes, and tensors with odd names."""
    state = dict(state)
    if "conv1.weight" in state:
        state["conv1.weight"] = state["conv1.weight"].flip(1)
    if "fc.weight" in state:
        state["fc.weight"] = state["fc.weight"].T.contiguous()
    graph = b""
    for number, (name, value) in enumerate(state.items()):
        own = f"Conv__{number}".encode()
        dims = b"".join(field(1, size) for size in value.shape)
        raw = value.numpy().astype("<f4").tobytes()
        graph += field(5, dims + field(2, 1) + field(8, own) + field(9, raw))
        output, position = place_in_onnx(name)
        inputs = [b"x"] * position + [own]
        graph += field(1, b"".join(field(1, one) for one in inputs) + field(2, output.encode()))
    shape = field(1, 1) + field(2, 7) + field(8, b"shape") + field(9, bytes(8))
    return field(1, 8) + field(7, graph + field(5, shape))


def images(network):
    size = network.input_size or (40, 48)
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


def tensors(answer):
    return answer if isinstance(answer, tuple) else (answer,)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"{networks.__name__}.{name}")).failed == 0


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
def test_features_are_read_where_the_network_says(network, tmp_path):
    save(lived_in(network).state_dict(), network, tmp_path)
    probes = Probes.from_tensor(images(network))
    found = extract(network.load(tmp_path), probes)
    assert found.place == (network.output or "output")
    assert not found.constant
    assert not found.assumed
    assert (found.costs.license, found.costs.source) == (network.licence, network.source)


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
    with pytest.raises(InvalidValueError) as raised:
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


def test_an_onnx_file_that_is_damaged_is_refused(tmp_path):
    (network,) = (network for network in NETWORKS if network.name == "open-nsfw")
    whole = save({"fc.bias": torch.ones(2), "fc.weight": torch.ones(2, 3)}, network, tmp_path)
    content = whole.read_bytes()
    assert sorted(network.read(whole)) == ["fc.bias", "fc.weight"]
    for length in range(len(content)):
        whole.write_bytes(content[:length])
        with pytest.raises(EncoderError, match="not an ONNX file, or damaged"):
            network.read(whole)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_onnx_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.onnx"
        file.write_bytes(field(7, field(1, content) + field(5, content)))
        with contextlib.suppress(EncoderError):
            onnx.read_onnx(file)


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

    def none(package):
        raise catalogue.PackageNotFoundError(package)

    monkeypatch.setattr(catalogue, "distribution", none)
    assert {one.missing for one in networks.candidates(tmp_path)[len(NETWORKS) :]} == {
        'pip install "pyattrx[demo]"'
    }


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="existing folder of weights"):
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
