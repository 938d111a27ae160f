"""features=: a second output of an encoder, which directional methods read from a source."""

import pytest
import torch
from torch import nn

import pyattrx
from networks import build
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError


class Two(nn.Module):
    """A body with batch norm, an in-place activation after it, and a head; `body` can be shared."""

    def __init__(self, calls=1):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(6, 2, 1)
        self.spare = nn.Linear(2, 2)
        self.calls = calls
        self.forwards = 0

    def forward(self, x):
        self.forwards += 1
        y = self.norm(self.conv(x))
        for _ in range(self.calls):
            y = self.relu(y)
        return self.head(y)


def two(**options):
    torch.manual_seed(0)
    network = Two(**options)
    network.norm.running_mean.normal_()
    network.norm.running_var.uniform_(0.5, 2)
    return network.eval()


def outputs(encoder, images):
    with encoder.prepare("cpu", images) as prepared:
        z, c = prepared.outputs(prepared.preprocess(images))
        return z, c, prepared


def test_features_are_the_output_unless_said_otherwise(images):
    z, c, _ = outputs(pyattrx.Encoder(two()), images)
    assert z is c
    assert not z.requires_grad


@pytest.mark.parametrize("name", ["conv", "norm", "relu"])
def test_features_of_a_submodule(name, images):
    network = two()
    z, c, prepared = outputs(pyattrx.Encoder(network, features=name), images)
    x = images
    expected = {}
    with torch.no_grad():
        for part in ("conv", "norm", "relu"):
            x = getattr(network, part)(x.clone())
            expected[part] = x
        assert torch.allclose(z, network(images), atol=1e-5)
    # The layer before a folded batch norm, and what an in-place activation writes over, too.
    assert torch.allclose(c, expected[name], atol=1e-5)
    assert prepared.folded == (name == "relu")


def test_features_of_a_callable(images):
    network = two()
    encoder = pyattrx.Encoder(
        network, output="conv", features=lambda module, x: module(x).flatten(1).double()
    )
    z, c, _ = outputs(encoder, images)
    with torch.no_grad():
        assert torch.allclose(z, network.conv(images), atol=1e-5)
        assert torch.allclose(c, network(images).flatten(1).double(), atol=1e-5)


def test_features_after_the_output_are_reached_by_another_pass(images):
    network = two()
    z, c, _ = outputs(pyattrx.Encoder(network, output="conv", features="head"), images)
    with torch.no_grad():
        assert torch.allclose(z, network.conv(images), atol=1e-5)
        assert torch.allclose(c, network(images), atol=1e-5)


def test_one_pass_gives_both(images):
    encoder = pyattrx.Encoder(two(), features="relu")
    with encoder.prepare("cpu", images) as prepared:
        x = prepared.preprocess(images)
        before = prepared.module.forwards
        prepared.outputs(x)
        assert prepared.module.forwards == before + 1


def test_a_network_that_writes_its_input(images):
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.conv(x.mul_(2))

    network = Writes()
    with pyattrx.Encoder(network, features="conv").prepare("cpu", images) as prepared:
        x = prepared.preprocess(images)
        kept = x.clone()
        prepared.outputs(x)
        assert torch.equal(x, kept)


@pytest.mark.parametrize("name", ["plain", "resnet", "depthwise", "vit"])
def test_maps_do_not_change(name, probes):
    """Features of a small size beside a large output: preparation is checked on both."""
    network = build(name)
    last = [part for part, _ in network.named_children()][-1]
    plain = pyattrx.affinity([pyattrx.Encoder(network, name="a")], probes, "saliency")
    both = pyattrx.affinity([pyattrx.Encoder(network, name="a", features=last)], probes, "saliency")
    assert both.values == pytest.approx(plain.values, abs=1e-6)


def test_wrong_features(images):
    with pytest.raises(InvalidValueError, match="features='hed': expected .*'head'"):
        pyattrx.Encoder(two(), features="hed")
    with pytest.raises(InvalidTypeError, match="features=3"):
        pyattrx.Encoder(two(), features=3)
    with pytest.raises(EncoderError, match="features='spare' is called never"):
        pyattrx.Encoder(two(), features="spare").prepare("cpu", images)
    with pytest.raises(EncoderError, match="features='relu' is called 2 times"):
        pyattrx.Encoder(two(calls=2), features="relu").prepare("cpu", images)
    original = two()
    with pytest.raises(EncoderError, match="must use the module that it is given"):
        pyattrx.Encoder(original, features=lambda _, x: original(x)).prepare("cpu", images)
    with pytest.raises(EncoderError, match="the features has shape .* choose it with features="):
        pyattrx.Encoder(two(), features=lambda m, x: m(x).sum()).prepare("cpu", images)


def test_description(images):
    plain = pyattrx.Encoder(two(), name="a")
    chosen = pyattrx.Encoder(two(), name="a", features="relu")
    assert "features" not in plain.describe()  # its description, and so its hash, is as before
    assert chosen.describe() == {**plain.describe(), "features": "relu"}
    assert repr(chosen) == "Encoder('a', Two, features='relu')"
