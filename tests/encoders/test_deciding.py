"""Networks whose Python code asks tensors which way to go: their images run one at a time."""

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.encoders.deciding import Decisions, always_the_same


def side(x):
    """How much brighter the right half of each image is than the left, [N]."""
    return x[..., x.shape[-1] // 2 :].mean((1, 2, 3)) - x[..., : x.shape[-1] // 2].mean((1, 2, 3))


class Asking(nn.Module):
    """Goes one way or another, by what `ask` says of a batch of feature maps."""

    def __init__(self, ask):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.one, self.other = (nn.Conv2d(i, 5, 3, padding=1) for i in (3, 5, 5))
        self.norm = nn.BatchNorm2d(5)
        self.norm.running_mean.normal_()
        self.flag = nn.Buffer(torch.tensor(True))
        self.number = torch.tensor(2.0)
        self.ask = ask

    def forward(self, x):
        h = self.first(x)
        return self.norm(self.one(h)).tanh() if self.ask(self, side(x)) else self.other(h).relu()


class Each(Asking):
    """Asks every image by itself."""

    def forward(self, x):
        return torch.cat([super(Each, self).forward(x[i : i + 1]) for i in range(len(x))])


# Of a whole batch: a comparison, a number, a list, an array, the first image, any of them.
BATCH = {
    "a comparison": lambda m, s: s.mean() > 0,
    "a number": lambda m, s: s.mean().item() > 0,
    "a float": lambda m, s: float(s.mean()) > 0,
    "an integer": lambda m, s: int((s > 0).sum()) > 0,
    "a list": lambda m, s: max(s.tolist()) > 0,
    "an array": lambda m, s: s.detach().numpy().mean() > 0,
    "the first image": lambda m, s: s[0] > 0,
    "any": lambda m, s: (s > 0).any(),
    "how many": lambda m, s: len((s > 0).nonzero()) > 0,
    "the chosen": lambda m, s: s.masked_select(s > 0).numel() > 0,
    "equal": lambda m, s: torch.equal(s.mean() > 0, torch.tensor(True)),
}


def probes_that_hide_it():
    """The darkest image and the brightest go one way, those between them the other."""
    torch.manual_seed(1)
    images = torch.rand(10, 3, 8, 8) * 0.3 + torch.linspace(0, 0.5, 10)[:, None, None, None]
    images[..., 4:] += 0.1
    images[3:7, ..., :4] += 0.2
    return images


def alone(network, images):
    """Maps of gradient x input, one image at a time, in float64."""
    network = network.double().eval()
    maps = []
    for image in images.double():
        x = image[None].requires_grad_()
        (g,) = torch.autograd.grad(network(x).mean(), x)
        maps.append((g * x).detach().sum(1).flatten().numpy())
    return np.stack(maps)


def expected(make, images):
    a, b = alone(make(), images), alone(plain(), images)
    return ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).mean()


def plain():
    torch.manual_seed(9)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3)).eval()


@pytest.mark.parametrize("name", BATCH)
def test_a_batch_that_is_asked_as_one(name):
    images = probes_that_hide_it()
    ways = [bool(BATCH[name](None, side(image[None]))) for image in images]
    assert ways == [True] * 3 + [False] * 4 + [True] * 3
    network = Asking(BATCH[name]).eval()
    encoders = [pyattrx.Encoder(network, name="a"), pyattrx.Encoder(plain(), name="b")]
    probes = pyattrx.Probes.from_tensor(images)
    for size in (1, 3, 10):
        got = pyattrx.affinity(encoders, probes, batch_size=size, method="grad_x_input")
        want = expected(lambda: Asking(BATCH[name]), images)
        assert got.values[0, 1] == pytest.approx(want, abs=1e-4)


def sizes_of(network):
    images = probes_that_hide_it()
    with pyattrx.Encoder(network, name="a").prepare("cpu", images[:2], batch_size=4) as prepared:
        return prepared.sizes


STAYS = {
    "a buffer": lambda: Asking(lambda m, s: m.flag),
    "a number that is always the same": lambda: Asking(lambda m, s: float(m.number) > 1),
    "a size": lambda: Asking(lambda m, s: s.shape[0] > 0),
    "a constant": lambda: Asking(lambda m, s: torch.ones(3).sum().item() > 2),
    "nothing": plain,
}


@pytest.mark.parametrize("name", STAYS)
def test_others_run_in_batches(name):
    assert not sizes_of(STAYS[name]().eval()).alone


def test_truth_that_two_images_share_is_not_taken_for_a_constant():
    assert sizes_of(Asking(lambda m, s: (s > 100).any()).eval()).alone


def test_every_image_asked_by_itself_is_right_as_well():
    images = probes_that_hide_it()
    encoders = [
        pyattrx.Encoder(Each(BATCH["any"]).eval(), name="a"),
        pyattrx.Encoder(plain(), name="b"),
    ]
    got = pyattrx.affinity(encoders, pyattrx.Probes.from_tensor(images), method="grad_x_input")
    assert got.values[0, 1] == pytest.approx(expected(lambda: Each(BATCH["any"]), images), abs=1e-4)


def test_a_scripted_network_is_heard():
    class Scripted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            h = self.layer(x)
            if h.mean() > 0.01:
                h = h.tanh()
            return h

    assert sizes_of(torch.jit.script(Scripted().eval())).alone


@pytest.mark.parametrize(
    ("passes", "same"),
    [
        ([[], [], []], True),
        ([[1.0], [1.0]], True),
        ([[1, 2.0], [2.0, 1]], True),
        ([[1.0], [2.0]], False),
        ([[1], [1.0]], False),
        ([[True], [True]], False),
        ([[float("nan")], [float("nan")]], True),
        ([[1], [1, 1]], False),
        ([[], [], [1]], False),
    ],
)
def test_what_counts_as_the_same(passes, same):
    assert always_the_same(passes) is same


def test_what_is_read_elsewhere_is_not_noted():
    decisions = Decisions(nn.Linear(2, 2))
    float(torch.rand(1))
    numbers = []
    with decisions.noted(numbers):
        pass
    float(torch.rand(1))
    assert numbers == []


def test_one_that_needs_several_images_is_refused():
    class Squeezed(Asking):
        def forward(self, x):
            return super().forward(x).mean((2, 3)).squeeze()

    with pytest.raises(pyattrx.PyattrxError, match="'a' reads numbers out of tensors"):
        sizes_of(Squeezed(BATCH["a number"]).eval())


def test_the_provenance_says_so():
    images = probes_that_hide_it()
    network = Asking(BATCH["a number"]).eval()
    encoders = [pyattrx.Encoder(network, name="a"), pyattrx.Encoder(plain(), name="b")]
    a, b = pyattrx.affinity(
        encoders, pyattrx.Probes.from_tensor(images), method="grad_x_input"
    ).provenance["networks"]
    assert a["one_at_a_time"] is True
    assert "one_at_a_time" not in b
