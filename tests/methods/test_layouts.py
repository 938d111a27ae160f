"""Gradients do not depend on how tensors lie in memory, whatever PyTorch's batch norm does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pyattrx
from pyattrx._layouts import any_layout


class Tokens(nn.Module):
    def forward(self, x):
        return x.flatten(2).transpose(1, 2)


class Rows(nn.Module):
    """As `Tokens`, but the places of an image stay where they are."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1)


class Turned(nn.Module):
    """The channels innermost before a batch norm that gives a plain gradient back."""

    def __init__(self):
        super().__init__()
        self.norm = norm(8)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2).contiguous()
        return self.norm(tokens.transpose(1, 2).reshape(x.shape))


def norm(channels):
    made = nn.BatchNorm2d(channels)
    nn.init.uniform_(made.running_mean)
    nn.init.uniform_(made.running_var, 0.5, 2)
    nn.init.uniform_(made.weight, 0.5, 2)
    nn.init.uniform_(made.bias)
    return made


def embedding():
    """How LeViT, XCiT and EfficientFormer begin; GELU keeps the batch norm from being folded."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.GELU(), norm(8), Tokens(), nn.Linear(8, 5), nn.Tanh()
    )


def instance():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8), nn.Tanh(), Rows(), nn.Linear(8, 5), nn.Tanh()
    )


def at_the_input():
    return nn.Sequential(norm(3), Tokens(), nn.Linear(3, 4), nn.Tanh())


def turned():
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.Tanh(), Turned(), nn.Conv2d(8, 4, 3), nn.Tanh())


NETWORKS = [embedding, instance, at_the_input, turned]


def made(network, seed):
    torch.manual_seed(seed)
    return network().eval()


def slopes(module, image, direction):
    """The derivative along a direction by differences, in float64: no backward pass at all."""
    module, image, direction = module.double(), image.double(), direction.double()
    h = 1e-5
    with torch.no_grad():
        there = module(image + h * direction).flatten(1).mean(1)
        back = module(image - h * direction).flatten(1).mean(1)
    return ((there - back) / (2 * h)).numpy()


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_maps_are_the_derivative(network, batch_size):
    images = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    probes = pyattrx.Probes.from_tensor(images)
    encoders = [pyattrx.Encoder(made(network, seed), name=str(seed)) for seed in (0, 1)]
    found = pyattrx.affinity(
        encoders, probes, pyattrx.Method("grad_x_input"), batch_size=batch_size
    )

    def maps(seed):
        """Gradient times input, by differences along every pixel (all channels at once)."""
        module = made(network, seed)
        rows = []
        for image in images:
            along = torch.zeros(144, 3, 12, 12)
            for place in range(144):
                at = divmod(place, 12)
                along[place, :, at[0], at[1]] = image[:, at[0], at[1]]
            rows.append(slopes(module, image.expand(144, -1, -1, -1), along))
        return np.stack(rows)

    a, b = maps(0), maps(1)
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert found.values[0, 1] == pytest.approx(cosines.mean(), abs=1e-4)


def laid_out(x, layout):
    n, c, h, w = x.shape
    inner = x.permute(0, 2, 3, 1).contiguous()
    if layout == "channels last":
        return inner.permute(0, 3, 1, 2)
    if layout == "as tokens are":
        return inner.as_strided((n, c, h, w), (c if n == 1 else h * w * c, 1, w * c, c))
    if layout == "rows innermost":
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    if layout == "a part":
        return torch.cat([x, x], 1)[:, :c]
    return x.contiguous()


LAYOUTS = ["plain", "channels last", "as tokens are", "rows innermost", "a part"]


@settings(deadline=None, max_examples=150)
@given(
    first=st.sampled_from(LAYOUTS),
    second=st.sampled_from(LAYOUTS),
    shape=st.tuples(*[st.integers(1, 4) for _ in range(4)]),
    training=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_layout_of_input_and_gradient(first, second, shape, training, dtype):
    generator = torch.Generator().manual_seed(3)
    x, g = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    if training and x[:, 0].numel() == 1:
        return
    torch.manual_seed(0)
    layer = norm(shape[1]).double().train(training)
    # An oracle without the operation: batch norm written out.
    plain = x.clone().requires_grad_()
    mean, var = layer.running_mean, layer.running_var
    if training:
        mean, var = plain.mean((0, 2, 3)), plain.var((0, 2, 3), correction=0)
    scaled = (plain - mean[:, None, None]) / (var[:, None, None] + layer.eps).sqrt()
    (expected,) = torch.autograd.grad(scaled * layer.weight.detach()[:, None, None], plain, g)

    layer = layer.to(dtype)
    at = laid_out(x.to(dtype), first).detach().requires_grad_()
    answer = layer(at)
    with any_layout(at):
        (found,) = torch.autograd.grad(answer, at, laid_out(g.to(dtype), second))
    few = 1e-3 if dtype == torch.float32 else 1e-8
    assert (found.double() - expected).abs().max() <= few * (1 + expected.abs().max())
