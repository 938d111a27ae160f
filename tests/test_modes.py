"""PyTorch's modes, as pyattrx enters them."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import pyattrx
from pyattrx._modes import DispatchMode
from pyattrx.features.costs import multiply_adds

# What everybody does, in a process of its own.
_RUN = """
import sys, warnings, numpy as np, torch, pyattrx
warnings.simplefilter("ignore")
def network(seed):
    torch.manual_seed(seed)
    parts = [torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()]
    return pyattrx.Encoder(torch.nn.Sequential(*parts).eval(), name=str(seed))
images = np.random.default_rng(0).random((12, 3, 8, 8), np.float32)
encoders = [network(seed) for seed in range(2)]
pyattrx.affinity(encoders, pyattrx.Probes.from_tensor(torch.from_numpy(images)))
pyattrx.recommend(encoders, (images, np.arange(12) % 2), cache=False)
print("torch._dynamo" in sys.modules)
"""


def test_nobody_waits_for_the_compiler_to_be_imported():
    done = subprocess.run(
        [sys.executable, "-c", _RUN], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.split()[-1] == "False"


class Names(DispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, function, arguments, named):
        self.seen.append(function.overloadpacket)
        return function(*arguments, **named)


def test_operators_are_seen_with_the_compiler_there_and_without(monkeypatch):
    import torch._dynamo

    for there in (True, False):
        if not there:
            monkeypatch.delitem(sys.modules, "torch._dynamo")
        with Names() as names:
            torch.ones(2).relu()
        assert torch.ops.aten.relu in names.seen


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(144, 3 * 24)

    def forward(self, x):
        q, k, v = self.project(x.flatten(2)).chunk(3, dim=2)
        return nn.functional.scaled_dot_product_attention(q, k, v).flatten(1)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, groups=4), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 7), nn.LayerNorm(7), nn.Linear(7, 2)),
        Attention(),
    ],
    ids=["convolutions", "linear layers", "attention"],
)
def test_multiply_adds_are_those_of_the_counter_of_pytorch(network):
    x = torch.rand(1, 3, 12, 12)
    with pyattrx.Encoder(network.eval(), name="a").prepare("cpu", x, looked_at=False) as prepared:
        with FlopCounterMode(display=False) as counter:
            prepared.outputs(x)
        assert multiply_adds(prepared, x) == counter.get_total_flops() // 2 > 0
