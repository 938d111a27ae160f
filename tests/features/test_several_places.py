"""Several layers of one network: the features of each, out of one pass."""

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx import Task
from pyattrx.encoders import expand
from pyattrx.errors import (
    AssumptionError,
    EncoderError,
    InvalidTypeError,
    InvalidValueError,
    NonFiniteError,
)
from pyattrx.features import FeatureCache, extract

LAYERS = ["conv", "norm", "deep", "fc"]


class Small(nn.Module):
    images = 0

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.norm.running_mean += 0.1 * torch.randn(6)
        self.deep = nn.Conv2d(6, 5, 3)
        self.fc = nn.Linear(5, 4)

    def forward(self, x):
        Small.images += len(x)
        return self.fc(self.deep(self.norm(self.conv(x)).relu_()).relu_().mean((2, 3)))


def encoder(module=None):
    return pyattrx.Encoder(module or Small(), name="net")


def probes(n=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return pyattrx.Probes.from_tensor(torch.rand(n, 3, 16, 16, generator=generator))


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


def close(found, expected):
    """To the next float16: the arithmetic of another batch rounds in its own way."""
    assert found.shape == expected.shape
    assert np.all(np.abs(found - expected) <= np.abs(expected).max() * 2.0**-10)


def test_each_place_is_what_it_is_on_its_own(cache):
    found = [extract(one, probes(), cache=cache) for one in encoder().read_at_each(LAYERS)]
    assert [one.computed for one in found] == [24, 0, 0, 0]
    assert [one.name for one in found] == [f"net?features={layer}" for layer in LAYERS]
    for layer, one in zip(LAYERS, found, strict=True):
        alone = extract(encoder().read_at(features=layer), probes())
        assert one.place == alone.place == layer
        close(one.pooled, alone.pooled)
        assert (one.maps is None) == (alone.maps is None) == (layer == "fc")
        if one.maps is not None:
            close(one.maps, alone.maps)
        assert one.costs.multiply_adds == alone.costs.multiply_adds
        # A pass for all of them does not say how long one takes.
        assert one.costs.milliseconds is None and alone.costs.milliseconds is not None


def images_run(count, layers, folder):
    Small.images = 0
    kept = FeatureCache(folder / f"{count}-{len(layers)}")
    for one in encoder().read_at_each(layers):
        extract(one, probes(count), cache=kept)
    return Small.images


def test_it_is_one_pass(tmp_path):
    """As many more images as are run for one place: the rest are looks at an image or two."""
    for layers in (LAYERS[:1], LAYERS):
        more = images_run(96, layers, tmp_path) - images_run(64, layers, tmp_path)
        assert more == 32


def test_images_that_are_new_are_run_once_and_the_others_not_again(cache):
    first, *others = encoder().read_at_each(LAYERS)
    for one in (first, *others):
        extract(one, probes(8), cache=cache)
    # The order does not matter, nor what is there of some of them.
    extract(encoder().read_at(features="deep"), probes(16), cache=cache)
    found = [extract(one, probes(24), cache=cache).computed for one in (others[0], first)]
    assert found == [16, 0]
    assert extract(others[1], probes(24), cache=cache).computed == 0


def test_without_a_cache_each_place_has_a_pass_of_its_own():
    found = [extract(one, probes()) for one in encoder().read_at_each(LAYERS)]
    assert [one.computed for one in found] == [24] * 4
    assert all(one.costs.milliseconds is not None for one in found)


def test_a_time_that_is_known_is_kept(cache):
    alone = extract(encoder().read_at(features="deep"), probes(8), cache=cache).costs
    first, second = encoder().read_at_each(["conv", "deep"])
    extract(first, probes(), cache=cache)
    costs = extract(second, probes(), cache=cache).costs
    assert costs.milliseconds == alone.milliseconds is not None
    assert costs.measured_on == alone.measured_on


class Overflowing(Small):
    def forward(self, x):
        return self.fc(self.deep(1e38 * self.norm(1e2 * self.conv(x))).relu().mean((2, 3)))


def test_a_place_that_is_not_finite_fails_alone(cache):
    good, bad = encoder(Overflowing()).read_at_each(["conv", "deep"])
    assert extract(good, probes(), cache=cache).computed == 24
    with pytest.raises(NonFiniteError, match="deep"):
        extract(bad, probes(), cache=cache)


class Odd(Small):
    """Layers that are read nowhere: called twice, never, or without a row an image."""

    def __init__(self):
        super().__init__()
        self.never, self.summed = nn.Identity(), nn.Identity()

    def forward(self, x):
        values = self.norm(self.norm(self.conv(x)))
        return self.fc(self.deep(values + self.summed(values.new_ones(3))[0]).mean((2, 3)))


def test_a_layer_that_cannot_be_read_fails_alone(cache):
    layers = ["conv", "norm", "never", "summed", "deep"]
    conv, *bad, deep = encoder(Odd()).read_at_each(layers)
    assert extract(conv, probes(), cache=cache).computed == 24
    for one in bad:
        with pytest.raises(EncoderError, match=one.features):
            extract(one, probes(), cache=cache)
    assert extract(deep, probes(), cache=cache).computed == 0


class Mixing(Small):
    def forward(self, x):
        values = self.norm(self.conv(x))
        return self.fc(self.deep(values - values.mean(0)).mean((2, 3)))


def test_a_place_that_mixes_images_does_not_stop_those_before_it(cache):
    conv, deep = encoder(Mixing()).read_at_each(["conv", "deep"])
    assert extract(conv, probes(), cache=cache).computed == 24
    with pytest.raises(AssumptionError, match="beside another image"):
        extract(deep, probes(), cache=cache)


class Broken(Small):
    def forward(self, x):
        super().forward(x)
        raise RuntimeError("no head")


def test_where_the_network_fails_later_each_place_is_read_alone(cache):
    found = [
        extract(one, probes(), cache=cache) for one in encoder(Broken()).read_at_each(LAYERS[:2])
    ]
    assert [one.computed for one in found] == [24, 24]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_recommend_ranks_places_after_one_pass(cache):
    labels = np.arange(40) % 2
    pixels = np.random.default_rng(0).random((40, 3, 16, 16), np.float32) * 0.5
    pixels[:, 0] += 0.4 * labels[:, None, None]
    found = pyattrx.recommend(
        encoder().read_at_each(LAYERS[:3]), Task.from_arrays(pixels, labels), cache=cache
    )
    assert sorted(found.names) == sorted(f"net?features={layer}" for layer in LAYERS[:3])
    assert sorted(found.provenance["images_computed"].values()) == [0, 0, 40]


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(
        "import torch\nfrom torch import nn\n\ndef net():\n    torch.manual_seed(0)\n"
        "    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)]\n"
        "    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), *head)\n"
    )
    return f"{path}:net"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("written_out", [True, False])
def test_specifications_of_one_network_share_a_pass(cache, factory, written_out):
    layers = [f"{factory}?features={layer}" for layer in (1, 2, 9)]
    given = layers if written_out else [f"{factory}?features=1,2,9"]
    pixels = np.random.default_rng(0).random((30, 3, 16, 16), np.float32)
    found = pyattrx.recommend(
        [*given, factory], Task.from_arrays(pixels, np.arange(30) % 2), cache=cache
    )
    assert set(found.failures) == {layers[2]}  # there is no such layer
    # The classifier's input is no named layer, and has a pass of its own.
    computed = found.provenance["images_computed"]
    assert computed == {layers[0]: 30, layers[1]: 0, factory: 30}


def test_commas_stand_for_several_specifications():
    assert expand("a:b?output=x&features=c,d&weights=e,f") == [
        "a:b?output=x&features=c&weights=e,f", "a:b?output=x&features=d&weights=e,f",
    ]  # fmt: skip
    for wrong in ("a:b?features=c,", "a:b?features=c,c", "a:b?features=,"):
        with pytest.raises(InvalidValueError, match="different layers between commas"):
            expand(wrong)
    with pytest.raises(InvalidValueError, match="one network, not 2"):
        pyattrx.load("a:b?features=c,d")


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ("conv", InvalidTypeError, "names of submodules"),
        ([], InvalidValueError, "at least one layer"),
        (["conv", "conv"], InvalidValueError, "each once"),
        (["conv", 3], InvalidTypeError, "features=3"),
        (["conf"], InvalidValueError, "conv"),
    ],
)
def test_layers_that_are_none(layers, error, message):
    with pytest.raises(error, match=message):
        encoder().read_at_each(layers)
