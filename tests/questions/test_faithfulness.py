"""Faithfulness: occluded by the map's order and by a random one, against what must come out."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from torch import nn

import pyattrx
from pyattrx import Method
from pyattrx.encoders import PreparedEncoder
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, NonFiniteError
from pyattrx.questions import FILLS, MEASURES, ORDERS, Faithfulness
from pyattrx.questions.occluding import Patches, check_fill, filled, order_of
from pyattrx.running import description


def images(count=6, size=(8, 8), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, *size, generator=generator)


def probes(count=6, size=(8, 8), seed=0, groups=None):
    return pyattrx.Probes.from_tensor(images(count, size, seed), groups)


def linear(size=(8, 8), outputs=1, seed=1, **options):
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(3 * size[0] * size[1], outputs, bias=False, dtype=torch.float64)
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
    return pyattrx.Encoder(nn.Sequential(nn.Flatten(), layer), name="linear", **options)


def network(seed=1):
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Conv2d(6, 4, 3)
    return pyattrx.Encoder(nn.Sequential(*layers), name="network")


def patch_sums(maps, side):
    """Sums over patches, by loops."""
    count, height, width = maps.shape
    down, across = -(-height // side), -(-width // side)
    found, pixels = np.zeros((count, down * across)), np.zeros(down * across)
    for place in range(down * across):
        y, x = side * (place // across), side * (place % across)
        part = maps[:, y : y + side, x : x + side]
        found[:, place] = part.sum((1, 2))
        pixels[place] = part[0].size
    return found, pixels


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize(("size", "patch"), [((8, 8), 1), ((8, 8), 2), ((7, 10), 3), ((9, 5), 5)])
def test_a_linear_network_falls_by_the_removed_grad_x_input(order, size, patch):
    encoder, some = linear(size), probes(size=size)
    x = some.images(0, len(some)).double()
    weight = encoder.module[1].weight.detach().view(1, 3, *size)
    sums, pixels = patch_sums((x * weight).sum(1).numpy(), patch)
    steps = len(pixels)
    found = pyattrx.faithfulness(encoder, some, fill="zero", order=order, patch=patch, steps=steps)
    means = sums / pixels
    by = np.abs(means) if order in ("strongest", "weakest") else means
    first = np.argsort(-by if order in ("strongest", "highest") else by, axis=1)
    removed = np.cumsum(np.take_along_axis(sums, first, 1), axis=1)
    expected = np.concatenate([np.zeros((len(x), 1)), removed], axis=1)
    fractions = np.cumsum(pixels[first], axis=1) / pixels.sum()
    moved = np.abs(expected) if order in ("strongest", "weakest") else expected
    unit = np.abs(expected[:, -1]).mean()
    assert found.units["scalar"] == pytest.approx(unit, rel=1e-12)
    assert found.curves["scalar"] * unit == pytest.approx(moved, abs=1e-12 * np.abs(sums).sum())
    assert found.curves["distance"] * found.units["distance"] == pytest.approx(
        np.abs(expected), abs=1e-12 * np.abs(sums).sum()
    )
    assert found.fractions[:, 1:] == pytest.approx(fractions) and not found.fractions[:, 0].any()
    x, y = found.fractions, found.curves["scalar"]
    by_hand = trapezoid(y, x, axis=1)
    assert found.areas["scalar"].area == pytest.approx(np.mean(by_hand), rel=1e-12)


def test_of_a_linear_network_no_order_beats_that_of_its_map():
    """Occluding the largest first removes the most there is, at every step."""
    encoder, some = linear(), probes(12)
    high, low = (
        pyattrx.faithfulness(encoder, some, fill="zero", order=order, patch=1, steps=64)
        for order in ("highest", "lowest")
    )
    assert (high.curves["scalar"] >= high.random_curves["scalar"] - 1e-12).all()
    assert (low.curves["scalar"] <= low.random_curves["scalar"] + 1e-12).all()
    assert (high.gains("scalar") > 0).all() and (low.gains("scalar") > 0).all()
    assert high.areas["scalar"].low > 0


def test_a_color_may_be_the_zero_of_a_normalized_network():
    """Gradient times input is of what the network sees: its zero is the mean that is taken off."""
    normalize = pyattrx.Normalize((0.25, 0.5, 0.75), (0.5, 0.25, 0.5))
    encoder, some = linear(transform=normalize), probes()
    x = normalize(some.images(0, len(some)).double())
    weight = encoder.module[1].weight.detach().view(1, 3, 8, 8)
    sums = (x * weight).sum(1).flatten(1).numpy()
    found = pyattrx.faithfulness(
        encoder, some, fill=(0.25, 0.5, 0.75), order="highest", patch=1, steps=64
    )
    expected = np.cumsum(-np.sort(-sums, axis=1), axis=1)
    assert found.curves["scalar"][:, 1:] * found.units["scalar"] == pytest.approx(
        expected, abs=1e-5
    )


class Constant(pyattrx.InputAttribution):
    """The same everywhere."""

    name, combine = "constant", "identity"

    def gradient(self, forward, x, scalar):
        return torch.full_like(x, 0.3)


class Partly(pyattrx.InputAttribution):
    """Nothing, or no number, for images whose first pixel is dark."""

    name, combine = "partly", "identity"

    def __init__(self, value=0.0):
        self.value = value

    def gradient(self, forward, x, scalar):
        found = super().gradient(forward, x, scalar) * x
        found[x[:, 0, 0, 0] < 0.5] = self.value
        return found


@pytest.mark.parametrize("order", list(ORDERS))
@pytest.mark.parametrize(("size", "patch"), [((8, 8), 1), ((10, 7), 3)])
def test_a_constant_map_is_the_random_order(order, size, patch):
    some = probes(size=size)
    found = pyattrx.faithfulness(network(), some, Constant(), order=order, patch=patch)
    for measure in MEASURES:
        assert (found.curves[measure] == found.random_curves[measure]).all()
        assert found.areas[measure].gain == found.areas[measure].gain_stderr == 0
    assert (found.fractions == found.random_fractions).all()


def test_a_zero_map_is_the_random_order_and_is_counted():
    some = probes(8)
    dark = some.images(0, 8)[:, 0, 0, 0].numpy() < 0.5
    found = pyattrx.faithfulness(network(), some, Partly(), patch=2)
    assert 0 < dark.sum() < 8 and found.zero_maps == dark.sum()
    assert not found.gains()[dark].any() and found.gains()[~dark].all()
    assert f"{dark.sum()} of 8 probes: the map is all zero" in found.summary()


def test_a_map_without_a_number_is_refused():
    with pytest.raises(NonFiniteError, match="map holds NaN or Inf"):
        pyattrx.faithfulness(network(), probes(8), Partly(float("nan")))


class Dark(nn.Module):
    """No number where a pixel is black."""

    def forward(self, x):
        return torch.log(x).mean((2, 3))


def test_an_answer_without_a_number_names_the_probe():
    some = pyattrx.Probes.from_tensor(images() * 0.5 + 0.25)
    with pytest.raises(NonFiniteError, match=r"probe 0 \('image0'\).*try another fill"):
        pyattrx.faithfulness(Dark(), some, fill="zero")
    assert np.isfinite(pyattrx.faithfulness(Dark(), some, fill="mean").curves["distance"]).all()


def test_one_probe_has_no_error():
    found = pyattrx.faithfulness(network(), probes(1))
    area = found.areas["distance"]
    assert np.isnan([area.stderr, area.gain_stderr, area.low]).all() and area.area > 0
    assert found.to_dict()["areas"]["distance"]["low"] is None


def test_errors_are_over_groups():
    groups = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    some = probes(9, groups=[f"photo {g}" for g in groups])
    found = pyattrx.faithfulness(network(), some)
    gains = found.gains("scalar")
    means = gains.reshape(3, 3).mean(1)
    area = found.areas["scalar"]
    assert area.gain == pytest.approx(means.mean())
    assert area.gain_stderr == pytest.approx(means.std(ddof=1) / 3**0.5)


def test_both_ends_are_the_whole_probe_and_the_fill():
    some = probes()
    found = pyattrx.faithfulness(network(), some, fill="blur", patch=3, steps=4)
    x = some.images(0, len(some))
    with torch.no_grad():
        apart = network().module(filled(x, "blur")) - network().module(x)
    whole = apart.flatten(1).norm(dim=1).double().numpy()
    assert found.fractions.shape == (6, 5)
    for curves, fractions in (
        (found.curves, found.fractions),
        (found.random_curves, found.random_fractions),
    ):
        assert not fractions[:, 0].any() and (fractions[:, -1] == 1).all()
        assert not curves["distance"][:, 0].any()
        ends = curves["distance"][:, -1] * found.units["distance"]
        assert ends == pytest.approx(whole, rel=1e-5)
        assert curves["distance"][:, -1].mean() == pytest.approx(1)


def test_the_methods_own_scalar_is_followed():
    method = Method("saliency", scalar="half_squared_norm")
    some = probes()
    found = pyattrx.faithfulness(network(), some, method, fill="zero")
    with torch.no_grad():
        x = some.images(0, len(some))
        ends = [network().module(one).square().flatten(1).sum(1) / 2 for one in (x, 0 * x)]
    assert found.units["scalar"] == pytest.approx(float((ends[0] - ends[1]).abs().mean()), rel=1e-5)


def test_several_methods_are_as_each_alone():
    some = probes()
    methods = ["saliency", Method("grad_x_input", scalar="half_squared_norm", grid=(4, 4))]
    both = pyattrx.faithfulness_of_each(network(), some, methods, patch=2)
    for one, method in zip(both, methods, strict=True):
        alone = pyattrx.faithfulness(network(), some, method, patch=2)
        for measure in MEASURES:
            assert one.curves[measure] == pytest.approx(alone.curves[measure], abs=1e-6)
            assert one.random_curves[measure] == pytest.approx(alone.random_curves[measure])
        assert one.method == alone.method


@pytest.mark.parametrize("method", ["gradient_field", "conductance", Method("elrp", center=True)])
def test_maps_along_paths_and_of_a_layer(method):
    encoder = pyattrx.Encoder(network().module, name="network", features="0")
    found = pyattrx.faithfulness(encoder, probes(2), method, steps=2)
    assert found.fractions.shape == (2, 3)


def test_batches_change_nothing_beyond_rounding():
    one, other = (
        pyattrx.faithfulness(network(), probes(7), batch_size=size, patch=2) for size in (2, 7)
    )
    for measure in MEASURES:
        assert one.curves[measure] == pytest.approx(other.curves[measure], abs=1e-5)
        assert one.random_curves[measure] == pytest.approx(other.random_curves[measure], abs=1e-5)


def test_as_many_passes_as_are_said(monkeypatch):
    """Ends and the random order once, whatever the number of methods."""
    seen = []
    outputs = PreparedEncoder.outputs

    def counted(self, x):
        seen.append(len(x))
        return outputs(self, x)

    monkeypatch.setattr(PreparedEncoder, "outputs", counted)
    for methods in (["saliency"], ["saliency", "elrp", "grad_x_input"]):
        seen.clear()
        pyattrx.faithfulness_of_each(network(), probes(6), methods, steps=5, patch=1)
        assert sum(seen) == 6 * (2 + 4 * (1 + len(methods)))


def test_an_interruption_ends_it(monkeypatch):
    def interrupted(self, x):
        raise KeyboardInterrupt

    monkeypatch.setattr(PreparedEncoder, "outputs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pyattrx.faithfulness(network(), probes())


def test_progress_counts_every_probe_twice(monkeypatch):
    done = {}

    @contextmanager
    def noted(label, total):
        yield lambda steps: done.update({label: done.get(label, 0) + steps})

    monkeypatch.setattr(description, "progress", noted)
    pyattrx.faithfulness(network(), probes(6), batch_size=4)
    assert done == {"network": 6, "network, occlusions": 6}


def test_chance_falls_out_of_both_orders_together():
    strong, weak = (
        pyattrx.faithfulness(network(), probes(), "saliency", order=order, patch=2)
        for order in ("strongest", "weakest")
    )
    for measure in MEASURES:
        between = strong.areas[measure].area - weak.areas[measure].area
        both = strong.gains(measure) + weak.gains(measure)
        assert both.mean() == pytest.approx(between, abs=1e-6)


def test_the_seed_draws_another_random_order():
    one, other = (pyattrx.faithfulness(network(), probes(), seed=seed) for seed in (0, 1))
    assert one.curves["distance"] == pytest.approx(other.curves["distance"], abs=1e-6)
    assert not np.allclose(one.random_curves["distance"], other.random_curves["distance"])


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    side=st.integers(1, 12),
    seed=st.integers(0, 2**64 - 1),
    steps=st.integers(1, 40),
    name=st.sampled_from(list(ORDERS)),
)
def test_every_pixel_is_occluded_once(size, side, seed, steps, name):
    patches = Patches(min(side, *size), size)
    maps = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) - 0.5
    means = patches.means(maps)
    sums, pixels = patch_sums(maps.double().numpy(), patches.side)
    assert means == pytest.approx(sums / pixels, abs=1e-12)
    assert patches.shares == pytest.approx(pixels / pixels.sum())
    keys = patches.random_keys(np.arange(3), seed)
    places = patches.places(keys, means, order_of(name))
    assert (np.sort(places, axis=1) == np.arange(patches.count)).all()
    chosen = patches.steps(steps)
    assert chosen[0] == 0 and chosen[-1] == patches.count and (np.diff(chosen) > 0).all()
    spread = patches.spread(places, torch.device("cpu"))
    assert spread.shape == (3, 1, *size)
    true = [(spread < step).double().mean((1, 2, 3)).numpy() for step in chosen.tolist()]
    assert patches.fractions(places, chosen) == pytest.approx(np.stack(true, 1))


def test_a_blur_is_a_mean_of_pixels():
    x = images(2, (9, 12))
    found = filled(x, "blur")
    assert found.shape == x.shape and float(found.std()) < float(x.std()) / 3
    assert bool((found >= x.amin((2, 3), keepdim=True)).all())
    assert bool((found <= x.amax((2, 3), keepdim=True)).all())
    assert torch.allclose(filled(x, "mean").flatten(1), x.mean((2, 3)))
    assert [tuple(filled(x, fill).shape) for fill in ("zero", (0.1, 0.2, 0.3))] == [
        (1, 3, 1, 1)
    ] * 2
    assert check_fill(np.array([0.0, 1.0, 0.5])) == (0.0, 1.0, 0.5)


def test_what_is_said_saved_and_drawn(tmp_path):
    found = pyattrx.faithfulness(network(), probes(), "saliency", fill=(0, 0, 0), patch=2)
    assert isinstance(found, Faithfulness) and len(found) == 6
    assert "strongest first, 2 x 2 pixels by a color, 6 probes" in str(found)
    assert f"gains {found.areas['distance'].gain:+.3f}" in repr(found)
    file = found.save(tmp_path / "found.json")
    read = json.loads(file.read_text())
    assert read == found.to_dict()
    assert read["fill"] == [0, 0, 0] and len(read["gains"]["scalar"]) == 6
    assert read["curves"]["distance"]["random"]["values"][0] == 0
    assert read["provenance"]["seed"] == 0
    found.plot(tmp_path / "found.png")
    assert (tmp_path / "found.png").stat().st_size > 1000
    with pytest.raises(InvalidValueError, match=r"path=.*\.json"):
        found.save(tmp_path / "found.npz")
    for asked in (found.gains, found.mean_curve):
        with pytest.raises(InvalidValueError, match="measure='accuracy'"):
            asked("accuracy")


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"method": "cka"}, InvalidValueError, "method='cka'.*compares features.*no map"),
        ({"method": "recommended"}, InvalidValueError, "compares features"),
        ({"method": "depara"}, InvalidValueError, "maps and features"),
        ({"method": "nothing"}, InvalidValueError, "method='nothing'"),
        ({"method": 3}, InvalidTypeError, "method=3"),
        ({"method": Method("saliency", reduce="none")}, InvalidValueError, "reduce='none'"),
        ({"method": Method("saliency", pixels=4)}, InvalidValueError, "without pixels"),
        ({"probes": images()}, InvalidTypeError, "probes="),
        ({"order": "random"}, InvalidValueError, "order='random'.*always beside it"),
        ({"order": 1}, InvalidValueError, "order=1"),
        ({"fill": "noise"}, InvalidValueError, f"fill='noise'.*{FILLS[0]}"),
        ({"fill": (0, 0)}, InvalidValueError, "fill=.*three numbers"),
        ({"fill": (0, 0, 2)}, InvalidValueError, "fill=2"),
        ({"fill": 1}, InvalidTypeError, "fill=1"),
        ({"steps": 0}, InvalidValueError, "steps=0"),
        ({"steps": 1.5}, InvalidTypeError, r"steps=1\.5"),
        ({"patch": 0}, InvalidValueError, "patch=0"),
        ({"patch": 9}, InvalidValueError, "patch=9.*from 1 to 8.*8 x 8 probes"),
        ({"seed": -1}, InvalidValueError, "seed=-1"),
        ({"batch_size": 0}, InvalidValueError, "batch_size=0"),
        ({"encoder": 3}, InvalidTypeError, "encoder=3"),
        ({"method": "conductance"}, EncoderError, "features="),
    ],
)
def test_wrong_arguments_are_named(arguments, error, named):
    given = {"encoder": network(), "probes": probes(), "method": "saliency", **arguments}
    with pytest.raises(error, match=named):
        pyattrx.faithfulness(given.pop("encoder"), given.pop("probes"), **given)


def test_no_list_of_methods():
    for methods, error in (("saliency", InvalidTypeError), ([], InvalidValueError)):
        with pytest.raises(error, match="methods="):
            pyattrx.faithfulness_of_each(network(), probes(), methods)
    with pytest.raises(InvalidValueError, match=r"methods\[1\]='cka'"):
        pyattrx.faithfulness_of_each(network(), probes(), ["saliency", "cka"])


def test_a_fill_that_changes_nothing_is_refused():
    black = pyattrx.Probes.from_tensor(torch.zeros(2, 3, 8, 8))
    with pytest.raises(InvalidValueError, match="fill='mean'.*changes what the network answers"):
        pyattrx.faithfulness(network(), black, "saliency")
