"""Networks that are, or go, to half precision: computed in float32."""

import pytest
import torch
from torch import nn

from plainly import Parts, cosine, maps, measured, other


def trunk(scale=1.0):
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, 2), nn.Tanh(), nn.Conv2d(6, 6, 3)),
        *(nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    network[0].weight.data *= scale
    network[2].weight.data *= scale
    return network


def autocast(m, x):
    with torch.autocast("cpu", torch.float16):
        return m[0](x)


def with_plain_tensor(m, x):
    return m[0](x) * m.gains


def gained(network):
    network.layers.gains = torch.linspace(-1, 1, 6, dtype=torch.float16)
    return network


# The network, and what it is in float64: the weights as they were rounded.
NETWORKS = {
    "casts by itself": (lambda m, x: m[0](x.half()), lambda: trunk().half()),
    "casts, and has tiny weights": (lambda m, x: m[0](x.half()), lambda: trunk(1e-3).half()),
    "casts to bfloat16": (lambda m, x: m[0](x.bfloat16()), lambda: trunk().bfloat16()),
    "asks for a type": (lambda m, x: m[0](x.to(dtype=torch.float16)), lambda: trunk().half()),
    "float32 after half": (lambda m, x: m[0](x.half()).float(), lambda: trunk().half()),
    "half on the way": (lambda m, x: m[0](x.half().float()), lambda: trunk(1e-3)),
    "autocast": (autocast, trunk),
    "autocast, and tiny weights": (autocast, lambda: trunk(1e-3)),
    "half at the end": (lambda m, x: m[0](x).half(), trunk),
    "float64": (lambda m, x: m[0](x.double()), lambda: trunk().double()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_as_in_float64(name):
    function, make = NETWORKS[name]
    expected = cosine(maps(make()), maps(other()))
    assert abs(measured(Parts(function, make())) - expected) < 1e-4


def test_a_half_tensor_beside_the_weights():
    got = measured(gained(Parts(with_plain_tensor, trunk().half())))
    gains = torch.linspace(-1, 1, 6, dtype=torch.float16).double()
    expected = Parts(lambda m, x: m[0](x) * gains, trunk().half())
    assert abs(got - cosine(maps(expected), maps(other()))) < 1e-4


def test_a_half_trunk_and_a_float_head():
    def run(m, x):
        return m[1](m[0](x.half()).float())

    def make():
        return trunk().half(), nn.Linear(6, 4)

    plain = Parts(lambda m, x: m[1](m[0](x)), *make())
    assert abs(measured(Parts(run, *make())) - cosine(maps(plain), maps(other()))) < 1e-4
