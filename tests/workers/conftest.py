"""Specifications of small networks in a file: what is sent to workers, and what ends them."""

import pytest
import torch

import pyattrx

SOURCE = """
import os, signal, sys, time, warnings
from pathlib import Path
import torch
from torch import nn

def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))

def a(): return network(0)
def b(): return network(1)
def c(): return network(2)
def d(): return network(3)
def slow():
    time.sleep(1)
    return network(4)

class Ends(nn.Module):
    def forward(self, x):
        print("about to end", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

def ends(): return Ends()

def ends_once():
    mark = Path(__file__).with_name("ended")
    if not mark.exists():
        mark.touch()
        os._exit(7)
    return network(5)

def loud():
    print("a line")
    os.system("echo of a program")
    print("an error", file=sys.stderr)
    warnings.warn("careful")
    return network(6)

def leaves(): sys.exit(3)

class Own(Exception):
    pass

def own(): raise Own("of its own kind")
"""


@pytest.fixture
def nets(tmp_path):
    """Path of the file."""
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return lambda *names: [f"{path}:{name}" for name in names]


@pytest.fixture
def probes():
    images = torch.rand(12, 3, 20, 20, generator=torch.Generator().manual_seed(7))
    return pyattrx.Probes.from_tensor(images, groups=[i // 2 for i in range(12)])


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
