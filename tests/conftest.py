"""Shared by all tests: one thread, no progress bars, fixed probes, and the gpu marker."""

import pytest
import torch

import pyattrx


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
def images():
    generator = torch.Generator().manual_seed(7)
    return torch.rand(6, 3, 24, 24, generator=generator)


@pytest.fixture
def probes(images):
    return pyattrx.Probes.from_tensor(images)
