"""Weights that nobody has trained are said; those of trained networks are not doubted."""

import warnings

import pytest
import torch
from torch import nn

import pyattrx
from plainly import images


def ended(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def kaiming():
    network = ended(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    for part in network:
        if hasattr(part, "weight"):
            nn.init.kaiming_normal_(part.weight)
            nn.init.zeros_(part.bias)
    return network


NETWORKS = {
    "batch norm": lambda: ended(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
    "group norm": lambda: ended(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU()),
    "norm without weights": lambda: ended(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8, affine=False)),
    "no norm": lambda: ended(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)),
    "no biases": lambda: ended(nn.Conv2d(3, 8, 3, bias=False), nn.Tanh()),
    "biases of zero": kaiming,
}


def make(name):
    torch.manual_seed(0)
    return NETWORKS[name]()


def trained(network):
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), 0.05)
    for _ in range(5):
        loss = (network(images()) - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def compared(network):
    encoder = pyattrx.Encoder(network, name="one")
    return pyattrx.affinity([encoder], pyattrx.Probes.from_tensor(images()), method="grad_x_input")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_new_network_is_said_to_be_one(name):
    with pytest.warns(pyattrx.errors.UntrainedWarning, match="'one' looks untrained"):
        compared(make(name).eval())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_few_steps_are_training(name):
    network = trained(make(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pyattrx.errors.UntrainedWarning)
        compared(network)


class Behind(nn.Module):
    """A trained part that is there and does not run, or runs behind the output."""

    def __init__(self, used, spare):
        super().__init__()
        self.used, self.spare = used, spare

    def forward(self, x):
        return self.used(x)


def attending():
    """Its layer's projection is used, and never called."""

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)

    return Attending()


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_that_do_not_run_are_not_judged(name):
    spare = trained(make("batch norm"))
    with pytest.warns(pyattrx.errors.UntrainedWarning, match="'one' looks untrained"):
        compared(Behind(make(name), spare).eval())
    with warnings.catch_warnings():
        warnings.simplefilter("error", pyattrx.errors.UntrainedWarning)
        compared(Behind(spare, make(name)).eval())


def test_what_comes_behind_the_output_is_not_judged():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Tanh(), trained(make("batch norm"))).eval()
    probes = pyattrx.Probes.from_tensor(images())
    with pytest.warns(pyattrx.errors.UntrainedWarning, match="weights that PyTorch draws"):
        pyattrx.affinity(
            [pyattrx.Encoder(network, name="one", output="1")], probes, method="grad_x_input"
        )


def test_parts_that_are_used_without_being_called_are_judged():
    torch.manual_seed(0)
    network = attending().eval()
    found = pyattrx.Encoder(network, name="one").prepare("cpu", images()).looked.used
    assert found == {"", "patches", "attention", "attention.out_proj"}
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3, bias=False))
    network = nn.Sequential(layer, nn.Identity()).eval()
    found = pyattrx.Encoder(network, name="two").prepare("cpu", images()).looked.used
    assert "0" in found


class Spare(nn.Module):
    """A trained part that answers, and others that are random at each load."""

    def __init__(self, seed):
        super().__init__()
        self.used = trained(make("batch norm"))
        torch.manual_seed(seed)
        self.head = nn.Linear(8, 1000)
        self.branch = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.register_buffer("noise", torch.randn(4))

    def forward(self, x):
        self.branch(x)  # computed, and thrown away
        return self.used(x)


def test_what_does_not_matter_is_not_who_a_network_is(tmp_path):
    probes = pyattrx.Probes.from_tensor(images())
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        report = zoo.add_many([pyattrx.Encoder(Spare(1), name="spare")])
        again = zoo.add_many([pyattrx.Encoder(Spare(2), name="spare")])
    assert (list(report.added), list(again.skipped)) == (["spare"], ["spare"])
