"""Prepared networks on images that nobody has looked at: the numbers of the plain network."""

import pytest
import torch
from torch import nn

from plainly import Parts, cosine, lived_in, maps, measured, other


def norm():
    return lived_in(nn.BatchNorm2d(6))


def conv(stride=2):
    return nn.Conv2d(3, 6, 3, stride)


def some(x):
    """Images that are neither the brightest nor the darkest."""
    mean = x.mean((1, 2, 3))
    return ((mean > 0.4) & (mean < 0.55))[:, None, None, None]


def pooled(h):
    return h.relu().mean((2, 3))


def output_twice(m, x):
    h = m[0](x)
    y = m[1](h)
    return pooled(torch.where(some(x), y + h * h, y) if some(x).any() else y)


def weight_elsewhere(m, x):
    y = m[1](m[0](x))
    if some(x).any():
        y = torch.where(some(x), nn.functional.conv2d(x, m[0].weight, stride=2), y)
    return pooled(y)


def layer_twice(m, x):
    y = m[1](m[0](x))
    return pooled(torch.where(some(x), y + m[0](x.flip(-1)), y) if some(x).any() else y)


def asks_for_the_class(m, x):
    h = x
    for part in m:
        h = part(h)
        if isinstance(part, nn.BatchNorm2d) and some(x).any():
            h = torch.where(some(x), h.tanh() * part.weight[:, None, None], h)
    return pooled(h)


def view_of_some(m, x):
    h = m[0](x)
    if some(x).any():
        h.view(len(h), -1)
    return pooled(h)


def two_norms(m, x):
    h = m[0](x)
    return pooled(m[1](h)) + m[2](h).tanh().mean((2, 3))


def shared_layer(m, x):
    return pooled(m[1](m[0](x))) + m[2](m[0](x.flip(-1))).tanh().mean((2, 3))


def odd_scales(m, x):
    m[1].weight.data = torch.tensor([-1.0, 0, 2, -3, 0, 1e-9]).to(m[1].weight)
    return pooled(m[1](m[0](x)))


def scripted():
    inner = nn.Sequential(nn.Conv2d(6, 6, 3), norm(), nn.ReLU()).eval()
    return nn.Sequential(conv(), norm(), torch.jit.script(inner), nn.AdaptiveAvgPool2d(1))


def hooked():
    network = nn.Sequential(conv(), norm(), nn.Tanh(), nn.AdaptiveAvgPool2d(1))
    network[1].register_forward_hook(lambda m, i, o: 1.5 * o + i[0])
    return network


NETWORKS = {
    "some images use the layer's output twice": lambda: Parts(output_twice, conv(), norm()),
    "some images use the layer's weight": lambda: Parts(weight_elsewhere, conv(), norm()),
    "some images use the layer twice": lambda: Parts(layer_twice, conv(), norm()),
    "some images ask for the norm's class": lambda: Parts(asks_for_the_class, conv(), norm()),
    "some images need the plain layout": lambda: Parts(view_of_some, conv()),
    "one output, two norms": lambda: Parts(two_norms, conv(), norm(), norm()),
    "one layer, two norms": lambda: Parts(shared_layer, conv(), norm(), norm()),
    "scales of zero and below": lambda: Parts(odd_scales, conv(), norm()),
    "a part in TorchScript": scripted,
    "a hook on a norm": hooked,
}


def make(name):
    torch.manual_seed(0)
    return NETWORKS[name]().eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("backwards", "batch_size"), [(False, 32), (True, 32), (False, 1)])
def test_as_the_plain_network_in_any_order(name, backwards, batch_size):
    expected = cosine(maps(make(name)), maps(other()))
    got = measured(make(name), backwards=backwards, batch_size=batch_size)
    assert abs(got - expected) < 1e-4
