"""Shared by all tests: one thread, no progress bars, fixed probes, and the gpu marker."""

import sys
from pathlib import Path

import pytest
import torch

import pyattrx
from durations import Durations
from pyattrx.running import Arriving, description

# Studies are in no installation. Last, for an installation of the package to be found first.
sys.path.append(str(Path(__file__).resolve().parents[1]))


def pytest_addoption(parser):
    parser.addoption("--record-slow", action="store_true", help="write tests/slow.txt")


def pytest_configure(config):
    config.pluginmanager.register(Durations(config))


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _quiet():
    pyattrx.set_progress(False)
    yield
    pyattrx.set_progress(None)


@pytest.fixture
def leaving(monkeypatch):
    """How many tensors a batch has queued copies of, beside its flags: rows that leave the device.

    With the lag of a GPU, whose copies wait for what is queued before them.
    """
    counts = []

    class Spied(Arriving):
        def __init__(self, tensors):
            counts.append(sum(tensor.dtype != torch.bool for tensor in tensors))
            super().__init__(tensors)

    monkeypatch.setattr(description, "Arriving", Spied)
    monkeypatch.setattr(description, "lag", lambda device: 1)
    return counts


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(7)
    return torch.rand(6, 3, 24, 24, generator=generator)


@pytest.fixture
def probes(images):
    return pyattrx.Probes.from_tensor(images)
