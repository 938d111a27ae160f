"""The slow, plain way: a network as it is, one image at a time, in float64."""

import torch
from torch import nn

import pyattrx

SIDE = 12


def images(count=6):
    generator = torch.Generator().manual_seed(11)
    bright = torch.linspace(0.3, 2.5, count)[:, None, None, None]
    return torch.rand(count, 3, SIDE, SIDE, generator=generator) ** bright


class Parts(nn.Module):
    """Layers, put together by a function of them and the input."""

    def __init__(self, function, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x):
        return self.function(self.layers, x)


def lived_in(norm):
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.3, 2)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
    return norm


def other():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, 2, 2), nn.Tanh(), nn.Conv2d(6, 6, 3), nn.AdaptiveAvgPool2d(1)
    ).eval()


def maps(network):
    """Gradient x input of the mean of the output, [N, pixels]."""
    network = network.double().eval()
    rows = []
    for image in images().double():
        x = image[None].requires_grad_()
        (g,) = torch.autograd.grad(network(x).double().mean(), x)
        rows.append((g * x).detach().mean(1).flatten())
    return torch.stack(rows)


def cosine(a, b):
    return float(torch.nn.functional.cosine_similarity(a, b, eps=0).mean())


def measured(network, method="grad_x_input", *, backwards=False, batch_size=32, beside=None):
    """What pyattrx says of a network and another."""
    x = images().flip(0) if backwards else images()
    encoders = [
        pyattrx.Encoder(network, name="one"),
        pyattrx.Encoder(other() if beside is None else beside, name="other"),
    ]
    probes = pyattrx.Probes.from_tensor(x)
    return pyattrx.affinity(encoders, probes, method, batch_size=batch_size).values[0, 1]
