"""Adversarial responses against singular vectors of whole derivatives, and what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pyattrx
from pyattrx import methods
from pyattrx.encoders import compiling
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, NonFiniteError
from pyattrx.methods import AdversarialResponse, adversarial_response, enlarged

SIZE = 6
WIDTH = 3 * SIZE * SIZE
STRENGTHS = pytest.mark.parametrize("strength", [0.01, None])


class Linear(nn.Module):
    """A body and a head without anything between them, in float64."""

    def __init__(self, seed, body=7, head=5, channels=(0, 1, 2), size=SIZE):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weight = torch.zeros(body, 3, size, size, dtype=torch.float64)
        for channel in channels:
            drawn = torch.randn(body, size, size, dtype=torch.float64, generator=generator)
            weight[:, channel] = drawn
        self.body = nn.Linear(3 * size * size, body, bias=False)
        self.body.weight = nn.Parameter(weight.flatten(1))
        self.head = nn.Linear(body, head, bias=False)
        drawn = torch.randn(head, body, dtype=torch.float64, generator=generator)
        self.head.weight = nn.Parameter(drawn)

    def forward(self, x):
        return self.head(self.body(x.flatten(1)))


class Curved(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Tanh(), nn.Flatten())
        self.head = nn.Linear(16, 3)
        self.double()

    def forward(self, x):
        return self.head(self.body(x))


@pytest.fixture
def images():
    return torch.rand(5, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def found(nets, images, features=None, **options):
    encoders = [
        net if isinstance(net, pyattrx.Encoder)
        else pyattrx.Encoder(net, f"net{i}", features=features)
        for i, net in enumerate(nets)
    ]  # fmt: skip
    method = AdversarialResponse(**options)
    return pyattrx.affinity(encoders, pyattrx.Probes.from_tensor(images), method, batch_size=8)


def alpha(target, source):
    """|J_T v1(J_S)| / s1(J_T), by the whole decomposition."""
    strongest = np.linalg.svd(source)[2][0]
    return np.linalg.norm(target @ strongest) / np.linalg.norm(target, 2)


def whole(net, image, answer=None, grid=(SIZE, SIZE)):
    """Derivative [Z, D] of an answer by the steps of the grid, at an image [3, H, W]."""

    def moved(step):
        shown = image[None].double() + enlarged(step.view(1, 3, *grid), image[None])
        return (answer or net)(shown).flatten()

    start = torch.zeros(3 * grid[0] * grid[1], dtype=torch.float64)
    return torch.autograd.functional.jacobian(moved, start).numpy()


@STRENGTHS
def test_linear_networks_against_their_decomposition(strength, images):
    nets = [Linear(0), Linear(1, 9, 4), Linear(2, 6, 1), Linear(3, 4, 12)]
    weights = [(net.head.weight @ net.body.weight).detach().numpy() for net in nets]
    expected = [[alpha(target, source) for source in weights] for target in weights]
    got = found(nets, images, rank=12, steps=2, strength=strength)
    np.testing.assert_allclose(got.values, expected, atol=1e-10)
    np.testing.assert_allclose(np.diag(got.values), 1, atol=1e-12)
    assert got.values.min() >= 0 and got.values.max() <= 1


@STRENGTHS
def test_the_source_is_read_at_its_features_and_the_target_at_its_output(strength, images):
    nets = [Linear(0), Linear(1, 6, 4)]
    got = found(nets, images, features="body", rank=8, steps=2, strength=strength)
    for i, target in enumerate(nets):
        for j, source in enumerate(nets):
            z = (target.head.weight @ target.body.weight).detach().numpy()
            expected = alpha(z, source.body.weight.detach().numpy())
            assert got.values[i, j] == pytest.approx(expected, abs=1e-10)
    assert got.values[0, 0] < 0.99


def test_networks_that_look_at_other_channels(images):
    got = found([Linear(0, channels=(0,)), Linear(1, channels=(1, 2))], images)
    np.testing.assert_allclose(got.values, np.eye(2), atol=1e-12)


def test_the_derivative_of_curved_networks(images):
    nets = [Curved(seed) for seed in range(3)]
    got = found(nets, images, rank=3, steps=4, strength=None)
    derivatives = [[whole(net, image) for image in images] for net in nets]
    for i, target in enumerate(derivatives):
        for j, source in enumerate(derivatives):
            expected = np.mean([alpha(*pair) for pair in zip(target, source, strict=True)])
            assert got.values[i, j] == pytest.approx(expected, abs=1e-10)
    small = found(nets, images, rank=3, steps=4, strength=1e-5)
    np.testing.assert_allclose(small.values, got.values, atol=1e-4)
    large = found(nets, images, rank=3, steps=4, strength=0.5)
    assert np.abs(large.values - got.values).max() > 1e-3


def test_what_is_left_out_of_few_directions_counts_as_nothing(images):
    nets = [Linear(0), Linear(1, 9, 4)]
    weights = [(net.head.weight @ net.body.weight).detach().numpy() for net in nets]
    for rank in (1, 2, 3):
        # More iterations than for all of them: what is left out is close to what is kept.
        got = found(nets, images, rank=rank, steps=150)
        _, lengths, directions = np.linalg.svd(weights[0])
        target = lengths[:rank, None] * directions[:rank]
        source = np.linalg.svd(weights[1])[2][0]
        expected = np.linalg.norm(target @ source) / lengths[0]
        assert got.values[0, 1] == pytest.approx(expected, abs=1e-6)
        assert got.values[0, 1] < alpha(*weights)


@STRENGTHS
def test_steps_on_a_coarse_grid(strength, images):
    nets = [Linear(0), Linear(1, 9, 4)]
    got = found(nets, images, rank=5, steps=2, largest_grid=3, strength=strength)
    derivatives = [whole(net, images[0], grid=(3, 3)) for net in nets]
    expected = [[alpha(target, source) for source in derivatives] for target in derivatives]
    np.testing.assert_allclose(got.values, expected, atol=1e-8)
    facts = got.provenance["networks"][0]["observed"]
    assert [one["directions"] for one in facts.values()] == [[5, 27]]


def test_networks_of_other_input_sizes_are_asked_about_the_same_steps(images):
    small = Linear(1, size=4)
    normalize = pyattrx.Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    reads = [
        pyattrx.Encoder(Linear(0), "as it is"),
        pyattrx.Encoder(small, "small", transform=normalize, input_size=4),
    ]
    got = found(reads, images, rank=5, steps=2)

    def answer(x):
        return small(normalize(F.interpolate(x, size=4, mode="bilinear", antialias=True)))

    derivatives = [whole(reads[0].module, images[0]), whole(small, images[0], answer)]
    expected = [[alpha(target, source) for source in derivatives] for target in derivatives]
    np.testing.assert_allclose(got.values, expected, atol=1e-7)


def test_where_it_begins(images):
    nets = [Curved(0), Curved(1)]
    first, again = (found(nets, images, steps=1) for _ in range(2))
    assert (first.values == again.values).all()
    other = found(nets, images, steps=1, seed=1)
    assert np.abs(other.values - first.values).max() > 1e-4
    one, two = (
        found(nets, images, steps=3, rank=3, seed=seed, strength=None).values for seed in (0, 1)
    )
    np.testing.assert_allclose(one, two, atol=1e-10)


@STRENGTHS
def test_no_pass_has_more_images_than_a_batch(strength, images):
    seen = []

    class Counting(Curved):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    found([Counting(0)], images, rank=4, strength=strength)
    assert max(seen) <= 8


def test_what_is_compared_at_once(images, monkeypatch):
    nets = [Curved(seed) for seed in range(3)]
    whole_at_once = found(nets, images, features="body")
    monkeypatch.setattr(adversarial_response, "_BYTES", 1)
    one_by_one = found(nets, images, features="body")
    np.testing.assert_allclose(one_by_one.values, whole_at_once.values, atol=1e-14)
    np.testing.assert_allclose(one_by_one.stderr, whole_at_once.stderr, atol=1e-14)


def test_scores_without_a_block_are_those_of_the_rest():
    rng = np.random.default_rng(0)
    method = AdversarialResponse()
    observed = [{"output": torch.from_numpy(rng.normal(size=(9, 2, 12)) / 9)} for _ in range(3)]
    groups, blocks = np.arange(9), np.arange(9) // 3
    kept = [method.summarize(one) for one in observed]
    values, without = method.compare(kept, kept, groups, blocks)
    for block in range(3):
        rest = blocks != block
        some = [method.summarize({"output": one["output"][rest]}) for one in observed]
        expected, _ = method.compare(some, some, np.arange(6), np.arange(6))
        np.testing.assert_allclose(without[block], expected, atol=1e-14)
        assert np.abs(without[block] - values).max() > 1e-3


class Levels:
    """8-bit images on the way, as many pipelines have them."""

    def __init__(self, how):
        self.how = how

    def __call__(self, x):
        if self.how == "bytes":
            return (x * 255).byte().float() / 255
        if self.how == "numpy":
            return torch.from_numpy(x.numpy().copy())
        return (x * 255).round() / 255


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("bytes", "its transform has no derivative .*pyattrx.Normalize"),
        ("numpy", "its transform fails on images that ask for a gradient: .*pyattrx.Normalize"),
        ("round", "its output answers to its input, but not differentiably .*transform"),
    ],
)
def test_transforms_without_a_derivative(how, text, images):
    encoder = pyattrx.Encoder(nn.Conv2d(3, 2, 3), "odd", transform=Levels(how))
    with pytest.raises(EncoderError, match=f"network 'odd': {text}"):
        found([encoder], images)
    # Methods of forward passes do not ask for one.
    probes = pyattrx.Probes.from_tensor(images)
    assert pyattrx.affinity([encoder], probes, "cka").values.shape == (1, 1)


@pytest.mark.parametrize("reads", ["output", "features"])
def test_networks_without_a_derivative(reads, images):
    class Detached(Curved):
        def forward(self, x):
            return self.head(self.body(x if reads == "features" else x.detach()))

    def inner(module, x):
        return module.body(x.detach())

    encoder = pyattrx.Encoder(Detached(0), "odd", features=inner if reads == "features" else None)
    with pytest.raises(EncoderError, match=f"network 'odd'.*its {reads} answers.*{reads}="):
        found([encoder], images)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def test_operations_without_a_forward_derivative(images):
    class Net(Curved):
        def forward(self, x):
            return super().forward(Doubled.apply(x))

    with pytest.raises(EncoderError, match=r"'net0'.*a strength, such as 0.01, needs backward"):
        found([Net(0)], images, strength=None)
    assert found([Net(0)], images).values[0, 0] == pytest.approx(1)


def test_answers_that_are_not_finite(images):
    class Broken(Curved):
        def forward(self, x):
            z = super().forward(x)
            return torch.where(x.mean((1, 2, 3))[:, None] > 0, z * float("inf"), z)

    for strength in (0.01, None):
        with pytest.raises(NonFiniteError, match="network 'net0', probe 0"):
            found([Broken(0)], images, strength=strength)


@pytest.mark.parametrize(
    ("error", "text", "options"),
    [
        (InvalidValueError, "strength=0: expected a positive number, or None", {"strength": 0}),
        (InvalidValueError, "strength=inf", {"strength": float("inf")}),
        (
            InvalidTypeError,
            "strength='1' .a str.: expected a positive number, or None",
            {"strength": "1"},
        ),
        (InvalidValueError, "steps=0: expected an integer of at least 1", {"steps": 0}),
        (InvalidTypeError, "rank=1.5 .a float.: expected an integer of at least 1", {"rank": 1.5}),
        (InvalidValueError, "rank=0", {"rank": 0}),
        (InvalidValueError, "largest_grid=0", {"largest_grid": 0}),
        (InvalidValueError, "seed=-1", {"seed": -1}),
    ],
)
def test_wrong_options(error, text, options):
    with pytest.raises(error, match=text):
        AdversarialResponse(**options)


def test_as_it_is_written():
    method = AdversarialResponse(strength=None, rank=2)
    assert str(method) == "adversarial_response, strength=None, rank=2"
    assert methods.from_dict(method.to_dict()) == method
    assert methods.get("adversarial_response") == AdversarialResponse()


@pytest.mark.parametrize("strength", [0.01, None])
def test_compiled_networks(strength, images, monkeypatch):
    """A program has no forward derivative, and says what to do instead."""
    monkeypatch.setattr(compiling, "_BACKEND", "aot_eager")  # what C++ compilers do is not tried
    monkeypatch.setattr(compiling, "_programs", type(compiling._programs)())
    encoder = pyattrx.Encoder(Curved(0), "compiled", features="body")
    probes = pyattrx.Probes.from_tensor(images)
    method = AdversarialResponse(strength=strength, rank=2)
    plain = pyattrx.affinity([encoder], probes, AdversarialResponse(rank=2)).values
    if strength is None:
        with pytest.raises(EncoderError, match=r"'compiled'.*a strength, such as 0.01"):
            pyattrx.affinity([encoder], probes, method, compile=True)
    else:
        found = pyattrx.affinity([encoder], probes, method, compile=True).values
        np.testing.assert_allclose(found, plain, atol=1e-12)
