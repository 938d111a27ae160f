"""Scalars and features that are constant in exact arithmetic, and those that only look like it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pyattrx
from pyattrx.errors import AssumptionError

PROBES = 6
IMAGES = torch.rand(PROBES, 3, 12, 12, generator=torch.Generator().manual_seed(3))
IMAGES = IMAGES ** torch.linspace(0.4, 2.5, PROBES)[:, None, None, None]
NORM = "half_squared_norm"


class Head(nn.Module):
    """A small network, and what is made of its pooled output."""

    def __init__(self, function, *layers, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Tanh(), nn.Conv2d(8, 8, 3))
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x):
        return self.function(self, self.body(x).mean((2, 3)))


class Maps(Head):
    """The same, without pooling."""

    def forward(self, x):
        return self.function(self, self.body(x))


def other():
    return Head(lambda m, z: z.tanh(), seed=5)


def probabilities(output):
    return output.exp().sum(1)


def trained_norm():
    norm = nn.LayerNorm(8)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    return norm


# In exact arithmetic these are the same number for every image.
CONSTANT = {
    "softmax by location": (lambda: Maps(lambda m, z: z.softmax(1)), "mean"),
    "softmax over locations": (lambda: Maps(lambda m, z: z.flatten(2).softmax(2)), "mean"),
    "log_softmax": (lambda: Head(lambda m, z: z.log_softmax(1)), probabilities),
    "both probabilities": (
        lambda: Head(lambda m, z: torch.cat([z.sigmoid(), (-z).sigmoid()], 1)),
        "mean",
    ),
    "output less its mean": (lambda: Head(lambda m, z: z - z.mean(1, keepdim=True)), "mean"),
    "instance norm": (lambda: Maps(lambda m, z: F.instance_norm(z)), "mean"),
    "group norm as initialised": (
        lambda: Maps(lambda m, z: m.layers[0](z), nn.GroupNorm(2, 8)),
        "mean",
    ),
    "unit length by location": (lambda: Maps(lambda m, z: F.normalize(z, dim=1)), NORM),
    "unit quaternions": (lambda: Head(lambda m, z: F.normalize(z.view(-1, 2, 4), dim=2)), NORM),
    "angles": (lambda: Head(lambda m, z: torch.cat([z.cos(), z.sin()], 1)), NORM),
    # Where a network computes in float32 whatever it is asked for.
    "softmax in float32": (lambda: Head(lambda m, z: z.softmax(1, dtype=torch.float32)), "mean"),
    "unit length in float32": (lambda: Head(lambda m, z: F.normalize(z.float(), dim=1)), NORM),
}

# These are not: small, saturated, nearly cancelled, or by the eps of a norm alone.
SMALL = {
    "tiny outputs": (lambda: Head(lambda m, z: 1e-12 * z), NORM),
    "tinier outputs": (lambda: Head(lambda m, z: 1e-30 * z), "mean"),
    "derivatives with few digits": (lambda: Head(lambda m, z: 1e-20 * z), NORM),
    "derivatives that vanish": (lambda: Head(lambda m, z: 1e-30 * z), NORM),
    "a large constant": (lambda: Head(lambda m, z: z + 1e6), "mean"),
    "trained layer norm": (lambda: Head(lambda m, z: m.layers[0](z), trained_norm()), "mean"),
    "hardly trained layer norm": (
        lambda: Head(lambda m, z: F.layer_norm(z, (8,)) * torch.linspace(0.999, 1.001, 8).to(z)),
        "mean",
    ),
    "probabilities and a little": (
        lambda: Head(lambda m, z: torch.cat([z.softmax(1), 1e-5 * z], 1)),
        "mean",
    ),
    "nearly cancelled": (lambda: Head(lambda m, z: torch.cat([z, -z + 1e-6 * z * z], 1)), "mean"),
    "the eps of layer norm": (lambda: Head(lambda m, z: F.layer_norm(30 * z, (8,))), NORM),
    "hardly an eps of layer norm": (lambda: Head(lambda m, z: F.layer_norm(1e3 * z, (8,))), NORM),
    "half saturated": (lambda: Head(lambda m, z: (z + 10).sigmoid()), "mean"),
    "saturated": (lambda: Head(lambda m, z: (z + 16).sigmoid()), "mean"),
    "saturated to the last bit": (lambda: Head(lambda m, z: (z + 20).sigmoid()), NORM),
    "saturated tanh": (lambda: Head(lambda m, z: (z + 9).tanh()), "mean"),
    "some images saturated": (lambda: Head(lambda m, z: (200 * z).softmax(1), seed=1), NORM),
    "a batch norm before it": (
        lambda: nn.Sequential(Maps(lambda m, z: z), nn.BatchNorm2d(8), nn.Sigmoid()),
        "mean",
    ),
}


def compared(one, method, **options):
    encoders = [pyattrx.Encoder(one, name="one", **options), pyattrx.Encoder(other(), name="other")]
    return pyattrx.affinity(encoders, pyattrx.Probes.from_tensor(IMAGES), method)


def maps_of(network, scalar):
    """Maps of the network as it is, one image at a time, in float64."""
    network, rows = network.double().eval(), []
    for image in IMAGES.double():
        x = image[None].requires_grad_()
        z = network(x).reshape(1, -1)
        (g,) = torch.autograd.grad(z.mean() if scalar == "mean" else z.square().sum() / 2, x)
        rows.append(g.abs().mean(1).flatten())
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("name", CONSTANT)
def test_a_constant_scalar_is_refused(name):
    make, scalar = CONSTANT[name]
    with pytest.raises(AssumptionError, match="'one': all of the 6 attribution maps") as caught:
        compared(make(), pyattrx.Method("saliency", scalar=scalar))
    assert caught.value.assumption == "scalar"


@pytest.mark.parametrize("name", SMALL)
def test_a_scalar_that_answers_a_little_is_right(name):
    make, scalar = SMALL[name]
    result = compared(make(), pyattrx.Method("saliency", scalar=scalar))
    a, b = maps_of(make(), scalar), maps_of(other(), scalar)
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert result.zero_maps == {}
    # A map of which a hundredth is rounding is left as it is.
    assert result.values[0, 1] == pytest.approx(cosines.mean(), abs=1e-3)


@pytest.mark.parametrize("scalar", ["mean", NORM])
def test_a_network_of_one_number_an_image_without_a_dimension_of_its_own(scalar):
    def make(shift=0.0):
        return Head(lambda m, z: z[:, 0].tanh() + shift)

    a, b = maps_of(make(), scalar), maps_of(other(), scalar)
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    result = compared(make(), pyattrx.Method("saliency", scalar=scalar))
    assert result.values[0, 1] == pytest.approx(cosines.mean(), abs=1e-6)
    # Where rounding has to be looked at closely, too.
    expected = compared(make(), pyattrx.methods.CKA()).values
    found = compared(make(shift=1e4), pyattrx.methods.CKA())
    assert found.provenance["networks"][0]["features_in"] == "float64"
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-17, 1e-19, 1e-20, 1e-21, 1e-25, 1e-30])
def test_a_scale_changes_nothing_however_small_squares_become(scale):
    scaled = Head(lambda m, z: scale * F.relu(z), seed=5)
    plain = Head(lambda m, z: F.relu(z), seed=5)
    method = pyattrx.Method("saliency", scalar=NORM)
    encoders = [pyattrx.Encoder(net, name=name) for name, net in (("a", scaled), ("b", plain))]
    found = pyattrx.affinity(encoders, pyattrx.Probes.from_tensor(IMAGES), method)
    assert found.values[0, 1] == pytest.approx(1, abs=1e-8)
    assert found.zero_maps == {}


def test_what_was_computed_in_float64_is_said():
    method = pyattrx.Method("saliency")
    facts = compared(SMALL["saturated"][0](), method).provenance["networks"]
    assert [one.get("exact_maps") for one in facts] == [PROBES, None]
    facts = compared(Head(lambda m, z: z + 1e5), pyattrx.methods.CKA()).provenance["networks"]
    assert [one.get("features_in") for one in facts] == ["float64", None]


def test_a_zoo_keeps_the_maps_that_float64_finds(tmp_path):
    probes = pyattrx.Probes.from_tensor(IMAGES)
    make, scalar = SMALL["saturated to the last bit"]
    method = pyattrx.Method("saliency", scalar=scalar)
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, method, rerank="cka") as zoo:
        assert zoo.add(pyattrx.Encoder(make(), name="one")).zero_maps[str(method)] == 0
        zoo.add(pyattrx.Encoder(other(), name="other"))
        expected = compared(make(), method).values[0, 1]
        assert zoo.query("one", k=1, rerank=False)[0].affinity == pytest.approx(expected, abs=1e-6)
        constant, _ = CONSTANT["unit quaternions"]
        with pytest.raises(AssumptionError, match="rounding noise"):
            zoo.add(pyattrx.Encoder(constant(), name="constant"))
        assert zoo.names == ["one", "other"]


def test_a_dead_network_is_no_saturated_one():
    dead = other()
    nn.init.zeros_(dead.body[2].weight)
    assert compared(dead, "saliency").zero_maps == {"one": PROBES}
    assert compared(dead, pyattrx.methods.CKA()).zero_maps == {"one": PROBES}


# Features that vary by little of what they are.
VARYING = {
    "a constant is added": lambda: Head(lambda m, z: z + 1e4),
    "a large constant is added": lambda: Head(lambda m, z: z + 1e6),
    "around one": lambda: Head(lambda m, z: 1 + 1e-6 * z),
    "nearly uniform probabilities": lambda: Head(lambda m, z: (1e-5 * z).softmax(1)),
    "half saturated": lambda: Head(lambda m, z: (z + 10).sigmoid()),
    "saturated to the last bit": lambda: Head(lambda m, z: (z + 20).sigmoid()),
    "tiny": lambda: Head(lambda m, z: 1e-30 * z),
}
# Features that do not vary in exact arithmetic, or not as far as it can be known.
STILL = {
    "the length of unit vectors": lambda: Head(
        lambda m, z: F.normalize(z, dim=1).square().sum(1, keepdim=True)
    ),
    "the sum of probabilities": lambda: Maps(lambda m, z: z.softmax(1).sum(1)),
    "means of an instance norm": lambda: Maps(lambda m, z: F.instance_norm(z).mean((2, 3))),
    "means of an instance norm over many locations": lambda: Maps(
        lambda m, z: m.layers[0](
            F.adaptive_avg_pool2d(F.instance_norm(F.interpolate(z, (30, 30))), 1).flatten(1)
        ),
        nn.Linear(8, 5),
    ),
    "a constant in float32": lambda: Head(lambda m, z: z.float() + 1e5),
    "the sum of probabilities in float32": lambda: Head(
        lambda m, z: z.float().softmax(1).sum(1, keepdim=True).to(z)
    ),
}


def features_of(network):
    with torch.no_grad():
        rows = [network.double()(image[None]).flatten() for image in IMAGES.double()]
    return torch.stack(rows).numpy()


def cka_of(a, b):
    a, b = a - a.mean(0), b - b.mean(0)
    k, m = a @ a.T, b @ b.T
    return (k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m)


def ridge_of(source, target):
    """Leave-one-out R^2, by leaving one out."""
    total = residual = 0.0
    everything = target - target.mean(0)
    for left in range(PROBES):
        rest = np.arange(PROBES) != left
        mean, aim = source[rest].mean(0), target[rest].mean(0)
        x = source[rest] - mean
        gram = x @ x.T
        # The penalty is one of all probes, as docs/conventions.md says.
        whole = source - source.mean(0)
        penalty = pyattrx.methods.Ridge().penalty * np.trace(whole @ whole.T) / PROBES
        weights = np.linalg.solve(gram + penalty * np.eye(PROBES - 1), target[rest] - aim)
        predicted = aim + (source[left] - mean) @ x.T @ weights
        residual += np.square(target[left] - predicted).sum()
        total += np.square(everything[left]).sum()
    return 1 - residual / total


@pytest.mark.parametrize("name", VARYING)
def test_features_that_vary_a_little_are_compared_rightly(name):
    a, b = features_of(VARYING[name]()), features_of(other())
    result = compared(VARYING[name](), pyattrx.methods.CKA())
    assert result.zero_maps == {}
    assert result.values[0, 1] == pytest.approx(cka_of(a, b), abs=1e-4)
    result = compared(VARYING[name](), pyattrx.methods.Ridge())
    # Rows are targets; a regression multiplies rounding.
    assert result.values[1, 0] == pytest.approx(ridge_of(a, b), abs=2e-3)


@pytest.mark.parametrize("name", STILL)
@pytest.mark.parametrize("kind", ["cka", "ridge", "dds"])
def test_features_that_vary_by_rounding_are_refused(name, kind):
    with pytest.raises(AssumptionError, match="'one': its output hardly varies") as caught:
        compared(STILL[name](), kind)
    assert caught.value.assumption == "features"


def test_features_that_vary_by_rounding_in_float64_are_refused():
    network = STILL["means of an instance norm over many locations"]()
    with pytest.raises(AssumptionError, match="'one': its output hardly varies"):
        compared(network, pyattrx.methods.CKA(), dtype=torch.float64)


def test_rounding_within_a_network_is_not_taken_for_a_mixed_batch():
    def make():
        return Head(lambda m, z: F.layer_norm(z + 3e4, (8,)) * torch.linspace(0.5, 2, 8).to(z))

    with pytest.raises(AssumptionError, match="rounding is a good part.*dtype=torch.float64"):
        compared(make(), "saliency")
    a, b = maps_of(make(), "mean"), maps_of(other(), "mean")
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    result = compared(make(), "saliency", dtype=torch.float64)
    assert result.values[0, 1] == pytest.approx(cosines.mean(), abs=1e-6)
