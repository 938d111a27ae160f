"""The faster backward pass of strided first convolutions: the same outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pyattrx
from pyattrx.encoders.stems import speed_up_stems


def both(conv, x, grad):
    x = x.detach().requires_grad_()
    y = conv(x)
    return y.detach(), torch.autograd.grad(y, x, grad(y))[0]


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 4),
    kernel=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    stride=st.integers(2, 6),
    padding=st.tuples(st.integers(0, 7), st.integers(0, 7)),
    size=st.tuples(st.integers(9, 30), st.integers(9, 30)),
    bias=st.booleans(),
    last=st.booleans(),
)
def test_outputs_keep_their_bits_and_gradients_are_right(
    channels, kernel, stride, padding, size, bias, last
):
    torch.manual_seed(0)
    layout = torch.channels_last if last else torch.contiguous_format
    conv = nn.Conv2d(channels, 5, kernel, stride, padding, bias=bias).double()
    conv = conv.requires_grad_(False).to(memory_format=layout)
    x = torch.randn(2, channels, *size, dtype=torch.float64).contiguous(memory_format=layout)
    output, gradient = both(conv, x, lambda y: torch.cos(y.detach()))
    assert len(speed_up_stems(conv)) == 1
    ours, faster = both(conv, x, lambda y: torch.cos(y.detach()))
    assert torch.equal(ours, output)
    assert faster.shape == gradient.shape
    assert (faster - gradient).abs().max() <= 1e-12 * gradient.abs().max()


def test_numerical_gradients_of_both_orders():
    conv = nn.Conv2d(2, 3, 4, 3, 2).double().requires_grad_(False)
    assert len(speed_up_stems(conv)) == 1
    x = torch.randn(1, 2, 7, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, x)
    assert torch.autograd.gradgradcheck(conv, x)


OTHERS = {
    "many channels": nn.Conv2d(8, 4, 5, 2),
    "stride 1": nn.Conv2d(3, 4, 5),
    "uneven stride": nn.Conv2d(3, 4, 5, (2, 3)),
    "single pixels": nn.Conv2d(3, 4, 1, 2),
    "dilated": nn.Conv2d(3, 4, 5, 2, dilation=2),
    "grouped": nn.Conv2d(4, 4, 5, 2, groups=2),
    "reflected": nn.Conv2d(3, 4, 5, 2, 2, padding_mode="reflect"),
    "parametrized": nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 5, 2)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_convolutions_are_left_alone(name):
    assert speed_up_stems(OTHERS[name].requires_grad_(False)) == []


def test_parameters_that_learn_are_left_alone():
    assert speed_up_stems(nn.Conv2d(3, 4, 5, 2)) == []


def test_a_prepared_network_uses_it_and_the_users_does_not(images):
    stem = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
    network = nn.Sequential(stem, nn.BatchNorm2d(8), nn.ReLU(inplace=True)).eval()
    run = pyattrx.Encoder(network).prepare("cpu", images)
    assert run.folded == 1
    x = run.preprocess(images).requires_grad_()
    z = run.forward(x)
    assert "StridedConv" in z.grad_fn.next_functions[0][0].name()
    assert "forward" not in vars(stem)
    y = images.clone().requires_grad_()
    (ours,) = torch.autograd.grad(z.sum(), x)
    (theirs,) = torch.autograd.grad(network(y).sum(), y)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_the_copy_is_freed_without_the_garbage_collector(images):
    import gc
    import weakref

    run = pyattrx.Encoder(nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3))).prepare("cpu", images)
    weight = weakref.ref(run.module[0].weight)
    gc.disable()
    try:
        run.close()
        assert weight() is None
    finally:
        gc.enable()
