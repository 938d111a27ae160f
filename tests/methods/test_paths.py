"""Attributions along paths, to the image and to inner layers, against formulas in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import pyattrx
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError
from pyattrx.methods import GradientField, InnerAttribution, Method

MEAN = pyattrx.methods.resolve_scalar("mean")
NORMALIZE = pyattrx.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
INNER = ("conductance", "naa", "layer_ig")


class Net(torch.nn.Module):
    """A branch around the layer, an activation in place, and a tuple on the way."""

    def __init__(self, seed=0, width=5):
        super().__init__()
        torch.manual_seed(seed)
        self.stem = torch.nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.layer = torch.nn.Conv2d(width, width, 3, padding=1)
        self.act = torch.nn.ReLU(inplace=True)
        self.head = torch.nn.Conv2d(width, 4, 3)
        self.double()

    def forward(self, x):
        y = torch.tanh(self.stem(x))
        return self.head(self.act(self.layer(y)) + 0.1 * y).pow(2).mean((2, 3))


def images(count=3, size=12):
    drawn = torch.Generator().manual_seed(7)
    return torch.rand(count, 3, size, size, generator=drawn, dtype=torch.float32)


def encoder(seed=0, **options):
    given = {"transform": NORMALIZE, "features": "layer", "dtype": torch.float64, **options}
    return pyattrx.Encoder(Net(seed), f"net{seed}", **given)


def seen(pixels):
    return NORMALIZE(pixels.double())


def derivative(network, x, by):
    return torch.autograd.grad(network(x).mean(1).sum(), by)[0]


def field_by_hand(network, x, start, steps, unit):
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total, rows = torch.zeros_like(x), []
    for node, weight in zip(nodes, weights, strict=True):
        point = (start + (1 + node) / 2 * (x - start)).requires_grad_()
        total = total + weight / 2 * derivative(network, point, point)
        row = (total * (x - start)).mean(1).flatten(1)
        rows.append(row / row.norm(dim=1, keepdim=True) if unit else row)
    return torch.cat(rows, 1)


@pytest.mark.parametrize("unit", [True, False])
def test_a_field_is_its_formula(unit):
    nets, pixels = [encoder(seed, features=None) for seed in range(2)], images()
    rows = [
        field_by_hand(one.module, seen(pixels), seen(torch.zeros(1, 3, 12, 12)), 9, unit)
        for one in nets
    ]
    found = pyattrx.affinity(
        nets, pyattrx.Probes.from_tensor(pixels), Method(GradientField(9, unit_steps=unit))
    )
    expected = F.cosine_similarity(rows[0], rows[1]).mean()
    assert abs(found.values[0, 1] - expected) < 1e-12
    if unit:  # the mean over the steps of the cosines of their maps
        maps = [row.view(3, 9, -1) for row in rows]
        assert abs(F.cosine_similarity(*maps, dim=2).mean() - expected) < 1e-12
    last = pyattrx.attribute(nets[0], pixels, Method(GradientField(9, unit_steps=unit)))
    torch.testing.assert_close(last.flatten(1), rows[0].view(3, 9, -1)[:, -1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_a_pass_takes_no_more_points_than_a_batch(batch_size):
    largest, count = 0, 0

    def output(module, x):
        nonlocal largest, count
        largest, count = max(largest, len(x)), count + len(x)
        return module(x)

    probes = pyattrx.Probes.from_tensor(images(5))
    one = [encoder(seed, features=None, output=output) for seed in range(2)]
    found = pyattrx.affinity(one, probes, Method("gradient_field", steps=7), batch_size)
    assert largest <= max(batch_size, 2)  # two in the look
    plain = [encoder(seed, features=None) for seed in range(2)]
    again = pyattrx.affinity(plain, probes, Method("gradient_field", steps=7), 11)
    np.testing.assert_allclose(found.values, again.values, rtol=0, atol=1e-13)
    assert 2 * 5 * 7 <= count <= 2 * (5 * 7 + 12)


def test_a_field_of_chosen_pixels_on_a_grid_of_its_own():
    probes, nets = pyattrx.Probes.from_tensor(images()), [encoder(seed) for seed in range(2)]
    maps = pyattrx.AttributionMaps(Method("gradient_field", steps=3, grid=(4, 4)), (12, 12))
    small = pyattrx.AttributionMaps(
        Method("gradient_field", steps=3, grid=(4, 4), pixels=5), (12, 12)
    )
    with nets[0].prepare("cpu", images(2)) as prepared:
        whole, chosen = maps.rows(prepared, images()), small.rows(prepared, images())
    assert whole.shape == (3, 3 * 16) and chosen.shape == (3, 3 * 5)
    places = torch.from_numpy(pyattrx.methods.choose_pixels(16, 5, 0))
    expected = F.normalize(whole.view(3, 3, 16)[:, :, places], dim=2).flatten(1)
    torch.testing.assert_close(chosen, expected, rtol=0, atol=1e-14)
    centered = pyattrx.affinity(nets, probes, Method("gradient_field", steps=3, center=True))
    assert abs(centered.values[0, 1]) <= 1


@pytest.fixture
def wide():
    """Captum makes its points and weights in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def by_captum(network, x, start, name, steps):
    captum = pytest.importorskip("captum.attr")

    def scalar(given):
        return network(given).mean(1)

    begun = start.expand_as(x).contiguous()
    if name == "conductance":
        made = captum.LayerConductance(scalar, network.layer)
        return made.attribute(x, begun, n_steps=steps, method="riemann_trapezoid")
    if name == "layer_ig":
        made = captum.LayerIntegratedGradients(scalar, network.layer)
        return made.attribute(x, begun, n_steps=steps, method="gausslegendre")
    made = captum.InternalInfluence(scalar, network.layer)
    weights = made.attribute(x, begun, n_steps=steps, method="riemann_right")
    return (features_of(network, x) - features_of(network, begun)) * weights


def features_of(network, x):
    return network.layer(torch.tanh(network.stem(x)))


@pytest.mark.parametrize("name", INNER)
@pytest.mark.usefixtures("wide")
def test_an_inner_attribution_is_what_captum_finds(name):
    network, pixels = Net(), images()
    network.act = torch.nn.ReLU()  # captum's hooks return what an activation in place overwrites
    x, start = seen(pixels), seen(torch.zeros(1, 3, 12, 12))
    expected = by_captum(network, x, start, name, 6)
    one = pyattrx.Encoder(network, transform=NORMALIZE, features="layer")
    found = pyattrx.attribute(one, pixels, Method(InnerAttribution(name, 6), grid=(6, 6)))
    # Captum rounds the weights of integrated gradients to float32, and no others.
    rounding = 2.0**-22 * float(expected.abs().max()) if name == "layer_ig" else 1e-14
    torch.testing.assert_close(found, expected.mean(1).detach(), rtol=0, atol=rounding)


def from_layer(network, x, inner=None):
    """The output of our network, from the layer's answer on."""
    y = torch.tanh(network.stem(x))
    inner = network.layer(y) if inner is None else inner
    z = network.head(torch.relu(inner) + 0.1 * y).pow(2).mean((2, 3)).mean(1)
    return inner, z


def by_hand(network, x, start, name, steps):
    def at(share, inner=None):
        inner, z = from_layer(network, start + share * (x - start), inner)
        return inner.detach(), torch.autograd.grad(z.sum(), inner)[0]

    if name == "layer_ig":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        first, last = at(0.0)[0], at(1.0)[0]
        points = [first + (1 + node) / 2 * (last - first) for node in nodes]
        by = [at(1.0, point.requires_grad_())[1] for point in points]
        return (last - first) * sum(w / 2 * g for w, g in zip(weights, by, strict=True))
    along = [at(k / steps) for k in range(steps + 1)]
    if name == "naa":
        return (along[-1][0] - along[0][0]) * sum(by for _, by in along[1:]) / steps
    return sum(along[k][1] * (along[k + 1][0] - along[k][0]) for k in range(steps))


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_an_inner_attribution_is_its_formula(name, batch_size):
    pixels = images()
    expected = by_hand(Net(), seen(pixels), seen(torch.zeros(1, 3, 12, 12)), name, 5)
    found = pyattrx.attribute(
        encoder(), pixels, Method(name, steps=5, grid=(6, 6)), batch_size=batch_size
    )
    torch.testing.assert_close(found, expected.mean(1), rtol=0, atol=1e-14)
    whole = pyattrx.attribute(encoder(), pixels, InnerAttribution(name, 5), batch_size=batch_size)
    upsampled = expected.mean(1).repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(whole, upsampled, rtol=0, atol=1e-14)


def test_conductance_is_complete_where_all_goes_through_the_layer():
    torch.manual_seed(1)
    body = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Conv2d(4, 6, 3), torch.nn.Sigmoid(),
        torch.nn.Flatten(),
    ).double()  # fmt: skip
    pixels = images()
    one = pyattrx.Encoder(body, features="1")
    black = torch.zeros(3, 3, 12, 12, dtype=torch.float64)
    gap = (body(pixels.double()) - body(black)).mean(1).detach()
    apart = {}
    for name, steps in (("conductance", 30), ("conductance", 300), ("layer_ig", 30), ("naa", 300)):
        maps = pyattrx.attribute(one, pixels, Method(name, steps=steps, grid=(10, 10)))
        apart[name, steps] = float((4 * maps.sum((1, 2)) - gap).abs().max())
    assert apart["conductance", 300] < apart["conductance", 30] / 5 < 1e-3
    assert apart["layer_ig", 30] < 1e-12
    assert apart["naa", 300] > apart["conductance", 300]  # a product of means is not complete


@pytest.mark.parametrize("name", INNER)
def test_passes(name):
    passes = 0

    def output(module, x):
        nonlocal passes
        passes += 1
        return module(x)

    def run(count):
        nonlocal passes
        passes = 0
        pyattrx.attribute(encoder(output=output), images(count), Method(name), batch_size=4)
        return passes

    assert run(12) - run(8) <= 33  # of one batch, without the look at the network


def test_one_image_at_a_time_and_least_batches():
    """Networks that cannot stand every batch have the maps that they have alone."""

    class Asks(Net):
        def forward(self, x):
            return super().forward(x) * (2 if x.sum() > 0 else 1)  # a batch would go one way

    plain = pyattrx.attribute(encoder(), images(), "conductance")
    asked = pyattrx.Encoder(Asks(), transform=NORMALIZE, features="layer")
    found = pyattrx.attribute(asked, images(), "conductance")
    assert bool(found.any()) and found.shape == plain.shape

    class Squeezed(Net):
        def forward(self, x):
            return super().forward(x).squeeze()

    squeezed = pyattrx.Encoder(Squeezed(), transform=NORMALIZE, features="layer")
    one = pyattrx.attribute(squeezed, images(1), "conductance")
    torch.testing.assert_close(one, plain[:1], rtol=0, atol=1e-14)


def test_float32_is_as_good_as_autograd():
    wide = pyattrx.attribute(encoder(), images(), "conductance")
    narrow = pyattrx.attribute(encoder(dtype=torch.float32), images(), "conductance")
    assert narrow.dtype == torch.float32
    assert float((narrow - wide).norm() / wide.norm()) < 1e-5


def test_a_baseline_is_preprocessed():
    pixels, gray = images(), torch.full((3, 12, 12), 0.25)
    by_level = pyattrx.attribute(encoder(), pixels, Method(InnerAttribution("naa", 4, 0.25)))
    by_color = pyattrx.attribute(encoder(), pixels, Method(InnerAttribution("naa", 4, [0.25] * 3)))
    by_image = pyattrx.attribute(encoder(), pixels, Method(InnerAttribution("naa", 4, gray)))
    assert torch.equal(by_level, by_color) and torch.equal(by_level, by_image)
    expected = by_hand(Net(), seen(pixels), seen(gray[None]), "naa", 4).mean(1)
    small = Method(InnerAttribution("naa", 4, gray), grid=(6, 6))
    found = pyattrx.attribute(encoder(), pixels, small)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    again = Method.from_dict(small.to_dict())
    assert again == small and hash(again) == hash(small)
    assert "an image" in repr(again) and len(repr(again)) < 400


def test_what_is_written_down():
    for method in (
        Method("gradient_field", steps=7),
        Method(GradientField(7, baseline=(0.1, 0.2, 0.3), unit_steps=False)),
        Method("naa"),
        Method(InnerAttribution("layer_ig", 3)),
    ):
        assert pyattrx.methods.from_dict(method.to_dict()) == method
    assert "steps" not in Method("saliency").to_dict()
    assert str(Method("gradient_field", steps=7)) == "gradient_field, steps=7"
    assert pyattrx.methods.get(InnerAttribution("naa")) == Method(InnerAttribution("naa"))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Method("gradient_field", steps=0), InvalidValueError, "steps=0"),
        (lambda: Method("gradient_field", steps=2.5), InvalidTypeError, "steps=2.5"),
        (lambda: Method("saliency", steps=5), InvalidValueError, "steps=5.*follows no path"),
        (lambda: Method(GradientField(), steps=5), InvalidValueError, r"GradientField\(steps=\)"),
        (lambda: GradientField(0), InvalidValueError, "steps=0"),
        (lambda: GradientField(unit_steps=1), InvalidTypeError, "unit_steps=1"),
        (lambda: InnerAttribution("gradcam"), InvalidValueError, "name='gradcam'.*conductance"),
        (lambda: InnerAttribution("naa", steps=True), InvalidTypeError, "steps=True"),
        (lambda: GradientField(baseline=2.0), InvalidValueError, "baseline=2.0.*0 to 1"),
        (lambda: GradientField(baseline=float("nan")), InvalidValueError, "baseline=nan"),
        (lambda: GradientField(baseline=[0.1, 0.2]), InvalidValueError, r"baseline.shape=\(2,\)"),
        (lambda: GradientField(baseline="black"), InvalidTypeError, "baseline='black'"),
        (lambda: GradientField(baseline=None), InvalidTypeError, "baseline=None"),
        (lambda: GradientField(baseline=[[0.1], [0.2, 0.3]]), InvalidTypeError, "baseline="),
    ],
)
def test_bad_options(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": None}, "'net0'.*features= is nothing.*layer3"),
        ({"features": lambda module, x: module.stem(x)}, "features= is a function"),
        ({"features": "head", "output": "layer"}, "output is reached before the layer"),
    ],
)
def test_networks_without_such_a_layer(options, message):
    with pytest.raises(EncoderError, match=message):
        pyattrx.attribute(encoder(**options), images(), "naa")


def test_layers_that_are_no_maps():
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(432, 4), torch.nn.Tanh())
    with pytest.raises(EncoderError, match=r"answers \['N', 4\].*no map"):
        pyattrx.attribute(pyattrx.Encoder(flat, "flat", features="1"), images(), "conductance")

    class Aside(Net):
        def forward(self, x):
            self.layer(self.stem(x))
            return self.stem(x).mean((2, 3))

    with pytest.raises(EncoderError, match="does not depend on the layer"):
        pyattrx.attribute(pyattrx.Encoder(Aside(), "aside", features="layer"), images(), "naa")


@pytest.mark.parametrize("attribution", [GradientField, InnerAttribution])
def test_a_baseline_of_another_shape(attribution):
    with pytest.raises(InvalidValueError, match=r"baseline.shape=\(3, 10, 12\).*\(3, 12, 12\)"):
        pyattrx.attribute(encoder(), images(), Method(attribution(baseline=torch.zeros(3, 10, 12))))


def test_compiled_programs_have_no_inner_layers():
    with pytest.raises(EncoderError, match="compiled program.*leave out compile"):
        pyattrx.affinity([encoder()], pyattrx.Probes.from_tensor(images()), "naa", compile=True)


@pytest.mark.parametrize("name", ["gradient_field", *INNER])
def test_maps_that_are_none(name):
    """A black image has none, and is counted; one that is NaN is refused by name."""
    pixels = images()
    pixels[1] = 0
    probes = pyattrx.Probes.from_tensor(pixels)
    nets = [encoder(seed) for seed in range(2)]
    found = pyattrx.affinity(nets, probes, name)
    assert found.zero_maps == {"net0": 1, "net1": 1}
    np.testing.assert_allclose(np.diag(found.values), 2 / 3, atol=1e-12)

    class Poisoned(Net):
        def forward(self, x):
            z = super().forward(x)
            high = x.amax((1, 2, 3))
            return z * torch.where(high > high.new_tensor(2.3), torch.inf, 1.0)[:, None]

    bad = pyattrx.Encoder(Poisoned(), "bad", transform=NORMALIZE, features="layer")
    with pytest.raises(pyattrx.errors.PyattrxError, match="'bad'"):
        pyattrx.affinity([nets[0], bad], probes, name)


def answers_in(make):
    """A layer whose answer is a container."""

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 5, 3, padding=1)

        def forward(self, x):
            return make(self.conv(x))

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.layer = Layer()
            self.head = torch.nn.Conv2d(5, 4, 3)

        def forward(self, x):
            return self.head(pyattrx.encoders.pick_tensor(self.layer(x)).tanh()).mean((2, 3))

    return pyattrx.Encoder(Whole().double(), features="layer")


@pytest.mark.parametrize(
    "make",
    [lambda y: (y, None), lambda y: [torch.zeros(1).long(), y], lambda y: {"out": y, "n": 3}],
    ids=["tuple", "list", "dict"],
)
def test_layers_that_answer_with_containers(make):
    plain = pyattrx.attribute(answers_in(lambda y: y), images(), "layer_ig")
    found = pyattrx.attribute(answers_in(make), images(), "layer_ig")
    assert bool(plain.any())
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-15)
