"""Epsilon-LRP against hand-derived results, for every spelling of an activation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import erf
from torch import nn

from pyattrx import ELRP
from pyattrx.errors import InvalidValueError
from pyattrx.methods import resolve_scalar

EPS = 1e-4
MEAN = resolve_scalar("mean")
SLOPE = torch.full((1,), 0.25, dtype=torch.float64)


def ratio(value, u):
    return value / np.where(u >= 0, u + EPS, u - EPS)


def silu(u):
    return u / (1 + np.exp(-u))


def gelu(u):
    return u * 0.5 * (1 + erf(u / np.sqrt(2)))


class Functional(nn.Module):
    def forward_layers(self, x, w):
        u1 = x @ w[0].T
        u2 = F.relu(u1) @ w[1].T
        u3 = F.silu(u2) @ w[2].T
        return F.gelu(u3) @ w[3].T

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, x):
        return self.forward_layers(x, self.weights)


class Modules(Functional):
    def __init__(self, weights, inplace):
        super().__init__(weights)
        self.relu, self.silu, self.gelu = nn.ReLU(inplace), nn.SiLU(inplace), nn.GELU()

    def forward_layers(self, x, w):
        h = self.relu(x @ w[0].T)
        h = self.silu(h @ w[1].T)
        return self.gelu(h @ w[2].T) @ w[3].T


@pytest.mark.parametrize(
    "make", [Functional, lambda w: Modules(w, False), lambda w: Modules(w, True)]
)
def test_a_small_network_by_hand(make):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 6))
    w = [rng.normal(size=s) for s in ((7, 6), (5, 7), (6, 5), (3, 6))]
    u1 = x @ w[0].T
    u2 = np.maximum(u1, 0) @ w[1].T
    u3 = silu(u2) @ w[2].T
    relevance = np.full((4, 3), 1 / 3) @ w[3]
    relevance = (relevance * ratio(gelu(u3), u3)) @ w[2]
    relevance = (relevance * ratio(silu(u2), u2)) @ w[1]
    relevance = (relevance * ratio(np.maximum(u1, 0), u1)) @ w[0]

    network = make([torch.from_numpy(m) for m in w])
    gradient = ELRP().gradient(network, torch.from_numpy(x), MEAN)
    assert np.abs(gradient.numpy() - relevance).max() < 1e-13


SPELLINGS = {
    "relu": (
        torch.relu,
        [
            nn.ReLU(),
            nn.ReLU(inplace=True),
            F.relu,
            torch.relu,
            lambda u: u.relu(),
            lambda u: F.relu(u, True),
            lambda u: F.relu(input=u),
            lambda u: (u.relu_(), u)[1],
            lambda u: (torch.relu_(u), u)[1],
            torch.ops.aten.relu.default,
        ],
    ),
    "silu": (F.silu, [nn.SiLU(), nn.SiLU(inplace=True), F.silu, torch.ops.aten.silu.default]),
    "gelu": (F.gelu, [nn.GELU(), F.gelu, torch.ops.aten.gelu.default]),
    "gelu, tanh form": (
        lambda u: F.gelu(u, approximate="tanh"),
        [nn.GELU("tanh"), lambda u: F.gelu(u, approximate="tanh")],
    ),
    "sigmoid": (
        torch.sigmoid,
        [
            nn.Sigmoid(),
            F.sigmoid,
            lambda u: u.sigmoid(),
            torch.special.expit,
            lambda u: u.sigmoid_(),
        ],
    ),
    "tanh": (torch.tanh, [nn.Tanh(), F.tanh, torch.tanh, lambda u: u.tanh()]),
    "relu6": (F.relu6, [nn.ReLU6(), nn.ReLU6(inplace=True), F.relu6]),
    "hardswish": (F.hardswish, [nn.Hardswish(), nn.Hardswish(inplace=True), F.hardswish]),
    "hardsigmoid": (F.hardsigmoid, [nn.Hardsigmoid(), F.hardsigmoid]),
    "hardtanh": (lambda u: F.hardtanh(u, -0.5, 2), [nn.Hardtanh(-0.5, 2)]),
    "softplus": (F.softplus, [nn.Softplus(), F.softplus]),
    "elu": (F.elu, [nn.ELU(), nn.ELU(inplace=True), F.elu]),
    "celu": (lambda u: F.celu(u, 0.7), [nn.CELU(0.7), nn.CELU(0.7, inplace=True)]),
    "selu": (F.selu, [nn.SELU(), nn.SELU(inplace=True)]),
    "leaky_relu": (
        lambda u: F.leaky_relu(u, 0.2),
        [nn.LeakyReLU(0.2), nn.LeakyReLU(0.2, True), lambda u: F.leaky_relu(u, negative_slope=0.2)],
    ),
    "prelu": (lambda u: F.prelu(u, SLOPE), [nn.PReLU().double().requires_grad_(False)]),
    "rrelu": (lambda u: F.rrelu(u, 0.1, 0.3), [nn.RReLU(0.1, 0.3).eval()]),
    "mish": (F.mish, [nn.Mish(), nn.Mish(inplace=True)]),
    "softsign": (F.softsign, [nn.Softsign()]),
    "logsigmoid": (F.logsigmoid, [nn.LogSigmoid()]),
    "tanhshrink": (F.tanhshrink, [nn.Tanhshrink()]),
    "softshrink": (F.softshrink, [nn.Softshrink()]),
    "hardshrink": (F.hardshrink, [nn.Hardshrink()]),
    "threshold": (lambda u: F.threshold(u, 0.1, 0.0), [nn.Threshold(0.1, 0.0)]),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_an_activation(name):
    f, spellings = SPELLINGS[name]
    torch.manual_seed(1)
    x = torch.randn(5, 6, dtype=torch.float64)
    w = torch.randn(4, 6, dtype=torch.float64)
    u = x @ w.T
    expected = (f(u) / torch.where(u >= 0, u + EPS, u - EPS) / 4) @ w
    for spelling in spellings:
        gradient = ELRP().gradient(lambda t, s=spelling: s(t @ w.T), x, MEAN)
        assert torch.allclose(gradient, expected, rtol=0, atol=1e-14), spelling


def test_at_zero_the_sign_is_plus_one():
    x = torch.zeros(1, 1, dtype=torch.float64)
    gradient = ELRP(eps=0.5).gradient(torch.sigmoid, x, MEAN)
    assert gradient.item() == 0.5 / 0.5


def test_softmax_normalisation_and_products_keep_their_derivative():
    x = torch.randn(3, 8, dtype=torch.float64)

    def network(t):
        return F.layer_norm(t.softmax(-1) * t, (8,))

    plain = x.clone().requires_grad_()
    network(plain).mean(1).sum().backward()
    assert torch.equal(ELRP().gradient(network, x, MEAN), plain.grad)


def test_activations_of_an_exported_program():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4), nn.SiLU()).double()
    x = torch.randn(5, 6, dtype=torch.float64)
    program = torch.export.export(network, (x,)).module()
    expected = ELRP().gradient(network, x, MEAN)
    assert torch.allclose(ELRP().gradient(program, x, MEAN), expected, rtol=0, atol=1e-14)


def test_activations_of_constants_and_integers_are_left_alone():
    x = torch.randn(2, 3, dtype=torch.float64)
    gradient = ELRP().gradient(lambda t: t * torch.relu(torch.tensor([1.0, -1.0, 2.0])), x, MEAN)
    assert torch.allclose(gradient, torch.tensor([1.0, 0.0, 2.0]).double() / 3)


@pytest.mark.parametrize("eps", [0, -1.0, float("nan")])
def test_eps_must_be_positive(eps):
    with pytest.raises(InvalidValueError, match="eps"):
        ELRP(eps=eps)
