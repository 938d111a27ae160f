"""Features of a network for all images: equal to a plain loop, cached or not."""

import json
import os
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.errors import AssumptionError, CacheWarning
from pyattrx.features import FeatureCache, extract
from pyattrx.features import cache as caching


class Small(nn.Module):
    calls = 0

    def __init__(self, seed=0, dilation=1):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 6, 3, dilation=dilation)
        self.norm = nn.BatchNorm2d(6)
        self.norm.running_mean += 0.1 * torch.randn(6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        Small.calls += len(x)
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))


def images(n=10, seed=0):
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def plainly(network, x):
    network = network.eval()
    with torch.no_grad():
        return torch.stack(
            [network.norm(network.conv(one[None])).relu().mean((2, 3))[0] for one in x]
        )


def agree(found, expected):
    """The sums of another batch may round to the next float16."""
    size = np.abs(expected).max(1, keepdims=True)
    assert np.all(np.abs(found - expected) <= size * 2.0**-10)


def features(network, x, **options):
    return extract(pyattrx.Encoder(network, name="net"), pyattrx.Probes.from_tensor(x), **options)


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache")


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_they_are_those_of_a_plain_loop(batch_size):
    network = Small()
    found = features(network, images(), batch_size=batch_size)
    expected = plainly(network, images()).numpy()
    agree(found.pooled, expected)
    assert found.costs.width == 6
    assert found.costs.parameters == sum(p.numel() for p in network.parameters())
    assert found.costs.multiply_adds == 14 * 14 * 27 * 6 + 6 * 4


def test_a_second_time_they_come_from_the_cache(cache):
    network = Small()
    first = features(network, images(), cache=cache)
    Small.calls = 0
    second = features(network, images(), cache=cache)
    assert (first.computed, second.computed) == (10, 0)
    assert Small.calls <= 2  # that it is still the same network
    np.testing.assert_array_equal(first.pooled, second.pooled)
    np.testing.assert_array_equal(first.maps, second.maps)
    assert second.costs.multiply_adds == first.costs.multiply_adds


def test_only_new_images_are_run(cache):
    network = Small()
    features(network, images()[:6], cache=cache)
    found = features(network, images().flip(0), cache=cache)
    assert found.computed == 4
    agree(found.pooled, features(network, images().flip(0)).pooled)


def test_copies_of_an_image_are_run_once():
    x = images(3)[[0, 1, 0, 2, 1]]
    found = features(Small(), x)
    assert found.computed == 3
    np.testing.assert_array_equal(found.pooled[0], found.pooled[2])


def test_other_weights_are_another_network(cache):
    features(Small(0), images(), cache=cache)
    assert features(Small(1), images(), cache=cache).computed == 10


def test_what_only_behaviour_shows_is_another_network(cache):
    # The same weights and class; the stride of its taps is in neither.
    one, other = Small(), Small(dilation=2)
    first = features(one, images(), cache=cache)
    second = features(other, images(), cache=cache)
    assert second.computed == 10
    assert np.abs(first.pooled - second.pooled).max() > 0.01
    again = features(one, images(), cache=cache), features(other, images(), cache=cache)
    assert [found.computed for found in again] == [0, 0]
    np.testing.assert_array_equal(again[0].pooled, first.pooled)
    np.testing.assert_array_equal(again[1].pooled, second.pooled)


def test_another_preprocessing_is_another_network(cache):
    probes = pyattrx.Probes.from_tensor(images())
    for transform in (None, pyattrx.Normalize((0.5,) * 3, (0.5,) * 3)):
        encoder = pyattrx.Encoder(Small(), name="net", transform=transform)
        assert extract(encoder, probes, cache=cache).computed == 10


@pytest.mark.parametrize("damage", ["cut", "bits", "empty"])
def test_a_damaged_segment_is_said_and_computed_again(cache, damage):
    first = features(Small(), images(), cache=cache)
    (segment,) = cache.folder.glob("*/*.npz")
    content = bytearray(segment.read_bytes())
    if damage == "bits":
        content[len(content) // 2] ^= 0xFF
    segment.write_bytes(b"" if damage == "empty" else content[:200] if damage == "cut" else content)
    with pytest.warns(CacheWarning, match="damaged"):
        found = features(Small(), images(), cache=cache)
    assert found.computed == 10
    np.testing.assert_array_equal(found.pooled, first.pooled)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CacheWarning)
        assert features(Small(), images(), cache=cache).computed == 0


def test_without_room_it_goes_on(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching, "atomic_write", full)
    with pytest.warns(CacheWarning, match="No space left") as said:
        found = features(Small(), images(), cache=FeatureCache(tmp_path), batch_size=2)
    assert len([w for w in said if w.category is CacheWarning]) == 1
    assert found.computed == 10


def test_many_segments_become_one(cache):
    network, x = Small(), images(12)
    for count in range(1, 13):
        features(network, x[:count], cache=cache)
    assert len(list(cache.folder.glob("*/*.npz"))) <= 8
    found = features(network, x, cache=cache)
    assert found.computed == 0
    agree(found.pooled, features(network, x).pooled)


def test_an_interrupted_run_keeps_what_it_has(cache):
    class Stops(Small):
        left = 1000

        def forward(self, x):
            Stops.left -= len(x)
            if Stops.left < 0:
                raise KeyboardInterrupt
            return super().forward(x)

    network, x = Stops(), images(12)
    features(network, x[:2])  # counts what a look takes
    looked = 1000 - Stops.left - 2
    Stops.left = looked + 8
    with pytest.raises(KeyboardInterrupt):
        features(network, x, cache=cache, batch_size=4)
    Stops.left = 1000
    assert 0 < features(network, x, cache=cache).computed < 12


def test_the_size_is_bounded(tmp_path):
    cache = FeatureCache(tmp_path, limit=1e-9)
    features(Small(0), images(), cache=cache)
    features(Small(1), images(), cache=cache)
    assert len(cache.info()["networks"]) == 1
    assert features(Small(1), images(), cache=cache).computed == 0


def test_clearing_removes_only_what_is_ours(cache):
    features(Small(), images(), cache=cache)
    (cache.folder / "notes.txt").write_text("mine")
    other = cache.folder / ("0" * 32)
    other.mkdir()
    (other / "kept").write_text("mine, too")
    assert cache.info()["networks"][0]["name"] == "net"
    assert cache.clear() > 0
    assert sorted(p.name for p in cache.folder.iterdir()) == ["0" * 32, "notes.txt"]


def test_nothing_in_a_cache_is_executed(cache):
    class Evil:
        def __reduce__(self):
            return (os.system, ("touch /tmp/evil",))

    features(Small(), images(), cache=cache)
    (segment,) = cache.folder.glob("*/*.npz")
    np.savez(segment, digests=np.array([Evil()], object))
    with pytest.warns(CacheWarning, match="damaged"):
        assert features(Small(), images(), cache=cache).computed == 10


def test_features_that_are_not_finite_are_refused():
    class Broken(Small):
        def forward(self, x):
            return super().forward(x / (x.amax((1, 2, 3), keepdim=True) > 0.5))

    x = images(4) * 0.4
    x[:3] += 0.6
    x[3] = 0.3
    x = x.clamp(0, 1)
    with pytest.raises(pyattrx.PyattrxError, match=r"net"):
        features(Broken(), x)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_any_size_of_features(scale):
    class Scaled(Small):
        def forward(self, x):
            return self.fc(super_features(self, x) * scale)

    def super_features(network, x):
        return network.norm(network.conv(x)).relu().mean((2, 3))

    found = features(Scaled(), images())
    expected = plainly(Small(), images()).numpy() * np.float32(scale)
    agree(found.pooled, expected)


def test_the_module_is_left_as_it_was(cache):
    network = Small().train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    features(network, images(), cache=cache)
    features(network, images(), cache=cache)
    assert network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_network_that_mixes_images_is_refused():
    class Mixing(Small):
        def forward(self, x):
            return super().forward(x - x.mean(0))

    with pytest.raises(pyattrx.errors.AssumptionError):
        features(Mixing(), images())


def test_facts_are_json(cache):
    features(Small(), images(), cache=cache)
    json.dumps(cache.info())
    (file,) = cache.folder.glob("*/network.json")
    assert json.loads(file.read_text())["place"] == "input of fc"


class Slow(nn.Module):
    """Takes time to wake up."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.sizes = []

    def forward(self, x):
        self.sizes.append(len(x))
        return x.mean((2, 3)) * self.weight


def test_the_time_is_not_that_of_a_first_batch(cache, monkeypatch):
    clock = iter(float(2**n) for n in range(100))  # every batch takes longer than the one before
    monkeypatch.setattr("pyattrx.features.passes.time.perf_counter", lambda: next(clock))
    first = features(Slow(), images(10), batch_size=32, cache=cache)
    # Two batches of five: from 1 to 2, and from 4 to 8.
    assert first.costs.milliseconds == 4000 / 5
    more = features(Slow(), images(12), batch_size=32, cache=cache)
    assert more.computed == 2
    assert more.costs.milliseconds == first.costs.milliseconds


def test_that_nothing_can_be_kept_is_said_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    nowhere = FeatureCache(tmp_path / "file")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        features(Slow(), images(4), cache=nowhere)
        features(Small(), images(4), cache=nowhere)
    (one,) = (one for one in said if one.category is CacheWarning)
    assert "cannot be kept in" in str(one.message)


def test_a_segment_that_cannot_be_read_is_left_alone(cache, monkeypatch):
    features(Small(), images(4), cache=cache)
    (segment,) = cache.folder.glob("*/*.npz")

    def refuse(path):
        raise PermissionError(13, "no right to read")

    with monkeypatch.context() as patched:
        patched.setattr(caching, "_load", refuse)
        with pytest.warns(CacheWarning, match="cannot be read"):
            caching.CachedNetwork(cache, segment.parent, {}).read([b"any"])
    assert segment.exists()


def test_any_wrong_byte_is_noticed_or_changes_nothing(cache):
    probes = pyattrx.Probes.from_tensor(images(2))
    before = features(Small(), images(2), cache=cache).pooled
    (segment,) = cache.folder.glob("*/*.npz")
    whole = segment.read_bytes()
    network = caching.CachedNetwork(cache, segment.parent, {})
    noticed = 0
    for at in range(0, len(whole), 7):
        for bit in (1, 8, 128):
            segment.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = network.read(probes.digests())
            noticed += bool(said)
            for digest, expected in zip(probes.digests(), before, strict=True):
                assert digest not in found or np.array_equal(found[digest].pooled[0], expected)
    assert noticed > 10


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv3_small_050"])
def test_networks_of_timm_are_read_where_their_classifier_was(name):
    pytest.importorskip("timm", exc_type=ImportError)
    encoder = pyattrx.load(f"timm:{name}@random")
    images = torch.rand(2, 3, 32, 32)
    found = extract(encoder, pyattrx.Probes.from_tensor(images))
    assert found.place == "output"
    with torch.no_grad(), encoder.prepare("cpu", images) as prepared:
        expected = encoder.module.eval()(prepared.preprocess(images))
    assert np.allclose(found.pooled, expected, rtol=2e-3, atol=1e-3 * float(expected.abs().max()))


def test_a_network_in_half_types_is_found_again_in_the_cache(cache):
    """Its weights are float32 here, and what it casts by itself has to follow."""

    class Casting(Small):
        def forward(self, x):
            return super().forward(x.half()).float()

    first = features(Casting().half().eval(), images(), cache=cache)
    assert first.place == "input of fc"
    assert first.facts == {"computed_in": "float32"}
    agree(first.pooled, plainly(Casting().half().float(), images()).numpy())
    again = features(Casting().half().eval(), images(), cache=cache)
    assert again.computed == 0
    np.testing.assert_array_equal(again.pooled, first.pooled)
    both = pyattrx.Encoder(Casting().half().eval(), name="net")
    read = [
        extract(one, pyattrx.Probes.from_tensor(images(3, seed=1)), cache=cache)
        for one in both.read_at_each(["conv", "norm"])
    ]
    assert [one.computed for one in read] == [3, 0]


@pytest.mark.parametrize(
    ("shift", "scale", "coarse"),
    [
        (0, 1, False),
        (0, 1e-30, False),
        (1, 1, False),
        (300, 1, True),
        (300, 300, False),
    ],
)
def test_features_that_float16_is_too_coarse_for_are_known(shift, scale, coarse):
    class Shifted(Small):
        def forward(self, x):
            return self.fc(scale * self.norm(self.conv(x)).relu().mean((2, 3)) + shift)

    found = features(Shifted(), images())
    exact = scale * plainly(Shifted(), images()).double().numpy() + shift
    lost = found.pooled - exact
    assert found.coarse == coarse == (lost.var(0).mean() > 0.01 * exact.var(0).mean())


# Rounding


class Large(nn.Module):
    """Features that differ between images by little of what they are on the way."""

    def __init__(self, share):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3)
        self.fc = nn.Linear(6, 4)
        self.share = share

    def forward(self, x):
        maps = self.conv(x)
        large = nn.functional.conv2d(x, 1e4 * self.conv.weight, 1e4 * self.conv.bias)
        maps = (self.share * maps + large) - 1e4 * maps
        return self.fc(maps.mean((2, 3)))


def test_pooled_features_that_are_rounding_noise_are_refused():
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*body, nn.Linear(6, 4)).eval()
    probes = pyattrx.Probes.from_tensor(images())
    with pytest.raises(AssumptionError, match="its features hardly var"):
        extract(pyattrx.Encoder(network, name="net"), probes)


def test_features_that_rounding_is_a_good_part_of_are_read_in_float64():
    network = Large(1e-2).eval()
    probes = pyattrx.Probes.from_tensor(images())
    read = extract(pyattrx.Encoder(network, name="net"), probes)
    assert read.facts["computed_in"] == "float64"
    found = read.pooled
    with torch.no_grad():
        expected = 1e-2 * network.double().conv(images().double()).mean((2, 3))
    assert found.shape == expected.shape
    error = np.abs(found - expected.numpy()).max()
    assert error <= 1e-3 * np.abs(expected.numpy()).max()


def test_a_second_run_takes_one_pass_of_one_image(cache):
    first = features(Small(), images(), cache=cache)
    Small.calls = 0
    again = features(Small(), images(), cache=cache)
    assert Small.calls == 1
    assert (again.computed, again.place) == (0, first.place)
    np.testing.assert_array_equal(again.together(), first.together())


@pytest.mark.parametrize(
    "place",
    [
        None,
        "input of fc",
        {"pooled": "gone", "of_input": True, "maps": None},
        {"pooled": ["fc"], "of_input": True, "maps": None},
        {"pooled": None, "of_input": False, "maps": "conv"},  # another place than it was
    ],
)
def test_a_place_that_was_kept_is_not_trusted(cache, place):
    first = features(Small(), images(), cache=cache)
    (file,) = cache.folder.glob("*/network.json")
    facts = json.loads(file.read_text())
    assert facts["read_at"] == {"pooled": "fc", "of_input": True, "maps": "norm"}
    file.write_text(json.dumps({**facts, "read_at": place}))
    again = features(Small(), images(), cache=cache)
    assert again.place == "input of fc"
    np.testing.assert_array_equal(again.together(), first.together())


def test_a_network_without_its_classifier_is_not_read_where_one_with_it_was(cache):
    """The same weights: only what is known of the encoder tells them apart."""
    features(Small(), images(), cache=cache)
    headless = pyattrx.Encoder(Small(), name="net")
    headless.known["headless"] = True
    found = extract(headless, pyattrx.Probes.from_tensor(images()), cache=cache)
    assert (found.place, found.computed, found.pooled.shape[1]) == ("output", 10, 4)
