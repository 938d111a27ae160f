"""Epsilon-LRP where activations are computed out of its sight: in the backward pass, in threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import pyattrx
from networks import epsilon
from plainly import cosine, maps, measured


class Net(nn.Module):
    def __init__(self, way, *, by_hand=False):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 6, 3)
        self.tanh = epsilon(torch.tanh) if by_hand else torch.tanh
        self.sigmoid = epsilon(torch.sigmoid) if by_hand else torch.sigmoid
        self.way = way

    def body(self, h):
        return self.sigmoid(self.second(self.tanh(h)))

    def forward(self, x):
        return self.way(self, self.first(x)).mean((2, 3))


class Again(torch.autograd.Function):
    """Computed once more in the backward pass."""

    @staticmethod
    def forward(ctx, h, function):
        ctx.function = function
        ctx.save_for_backward(h)
        with torch.no_grad():
            return function(h)

    @staticmethod
    def backward(ctx, g):
        (h,) = ctx.saved_tensors
        with torch.enable_grad():
            h = h.detach().requires_grad_()
            z = ctx.function(h)
        return torch.autograd.grad(z, h, g)[0], None


def plain(m, h):
    return m.body(h)


def nested(m, h):
    def inner(v):
        return checkpoint(m.tanh, v, use_reentrant=False)

    return checkpoint(lambda v: m.sigmoid(m.second(inner(v))), h, use_reentrant=False)


def in_sequence(m, h):
    return checkpoint_sequential([m.tanh, m.second, m.sigmoid], 2, h, use_reentrant=False)


def again(m, h):
    return Again.apply(h, m.body)


def offloaded(m, h):
    with save_on_cpu():
        return m.body(h)


def hooked(m, h):
    h = m.tanh(h)
    if h.requires_grad:
        h.register_hook(lambda g: 3 * torch.tanh(g))  # of a gradient: no activation
    return m.sigmoid(m.second(h))


def in_a_thread(m, h):
    grad = torch.is_grad_enabled()

    def run():
        with torch.set_grad_enabled(grad):
            return m.body(h)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def by_vmap(m, h):
    return torch.func.vmap(torch.tanh)(h)


def reentrant(m, h):
    return checkpoint(m.body, h, use_reentrant=True)


@pytest.mark.parametrize("way", [plain, nested, in_sequence, again, offloaded, hooked])
def test_as_by_hand(way):
    expected = cosine(maps(Net(way, by_hand=True)), maps(Net(by_squares, by_hand=True)))
    assert abs(measured(Net(way), "elrp", beside=Net(by_squares)) - expected) < 1e-4


def by_squares(m, h):
    return m.tanh(h).square()


@pytest.mark.parametrize("way", [in_a_thread, by_vmap])
def test_what_the_rule_cannot_see_is_refused(way):
    with pytest.raises(pyattrx.PyattrxError, match="'one'.*cannot see an activation"):
        measured(Net(way), "elrp")


def test_an_lstm_keeps_its_own_derivative():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.lstm = nn.LSTM(36, 4, batch_first=True)

        def forward(self, x):
            return self.lstm(x.transpose(1, 2).flatten(2))[0]

    expected = cosine(maps(Rows()), maps(Net(plain, by_hand=True)))
    assert abs(measured(Rows(), "elrp", beside=Net(plain)) - expected) < 1e-4


def test_reentrant_checkpoints_are_refused_with_advice():
    with pytest.raises(pyattrx.PyattrxError, match="'one'.*set use_reentrant=False"):
        measured(Net(reentrant), "elrp")
