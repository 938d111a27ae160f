"""The input gradient of strided stems against autograd's own."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import pyattrx
from pyattrx.encoders.stem import StridedStem, replace_stems


@settings(max_examples=150, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.integers(2, 5),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.integers(1, 4),
    bias=st.booleans(),
)
def test_gradient_is_autograds(kernel, stride, padding, size, channels, bias):
    assume(all(k <= s + 2 * p for k, s, p in zip(kernel, size, padding, strict=True)))
    conv = nn.Conv2d(channels, 5, kernel, stride, padding, bias=bias).double()
    conv.requires_grad_(False)
    x = torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)
    z = conv(x)
    g = torch.randn_like(z)
    stem = StridedStem(conv)
    assert torch.equal(stem(x), z)
    (expected,) = torch.autograd.grad(z, x, g)
    (got,) = torch.autograd.grad(stem(x), x, g)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, rtol=0, atol=1e-13)


def test_a_stem_still_looks_like_the_convolution():
    conv = nn.Conv2d(3, 8, (7, 5), 2, (3, 2)).requires_grad_(False)
    stem = StridedStem(conv)
    assert isinstance(stem, nn.Conv2d)
    assert stem.weight is conv.weight
    assert stem.bias is conv.bias
    for name in ("kernel_size", "stride", "padding", "in_channels", "out_channels", "groups"):
        assert getattr(stem, name) == getattr(conv, name)
    assert sorted(stem.state_dict()) == sorted(conv.state_dict())


def test_what_is_replaced():
    patches = nn.Sequential(nn.Conv2d(3, 8, 16, 16), nn.Conv2d(8, 8, 3, 2)).requires_grad_(False)
    assert replace_stems(patches) == 1
    assert isinstance(patches[0], StridedStem)
    assert type(patches[1]) is nn.Conv2d


def hooked():
    conv = nn.Conv2d(3, 8, 3, 2)
    conv.register_forward_hook(lambda *_: None)
    return conv


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(3, 8, 3),
        lambda: nn.Conv2d(3, 8, 3, (2, 1)),
        lambda: nn.Conv2d(3, 8, 3, 2, dilation=2),
        lambda: nn.Conv2d(3, 9, 3, 2, groups=3),
        lambda: nn.Conv2d(3, 8, 3, 2, 1, padding_mode="reflect"),
        lambda: nn.Conv2d(8, 8, 3, 2),
        lambda: nn.Conv2d(3, 8, 3, 2).double(),
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3, 2)),
        hooked,
    ],
)
def test_what_is_left_alone(make):
    network = nn.Sequential(make()).requires_grad_(False)
    before = type(network[0])
    assert replace_stems(network) == 0
    assert type(network[0]) is before


def test_shared_and_chosen_layers_are_left_alone():
    conv = nn.Conv2d(3, 3, 3, 2).requires_grad_(False)
    assert replace_stems(nn.Sequential(conv, conv)) == 0
    assert replace_stems(nn.Sequential(conv), keep=[conv]) == 0


@pytest.mark.parametrize("method", ["saliency", "grad_x_input", "elrp"])
def test_maps_are_those_of_the_plain_network(method, images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    descriptor = pyattrx.AttributionMaps(pyattrx.Method(method), (24, 24))
    rows = []
    for module in (network, copy.deepcopy(network).double()):
        with pyattrx.Encoder(module).prepare("cpu", images) as prepared:
            stems = [isinstance(m, StridedStem) for m in prepared.module.modules()]
            assert any(stems) == (module is network)
            rows.append(descriptor.rows(prepared, images).double())
    assert torch.allclose(rows[0], rows[1], rtol=1e-4, atol=1e-7)
