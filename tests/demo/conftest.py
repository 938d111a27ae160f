"""Every pretrained network is built once, and everything runs on one thread."""

from functools import cache

import numpy as np
import pytest
import torch

from pyattrx.demo.networks import demo_networks
from pyattrx.demo.photos import demo_photos

CATALOGUE = {network.name: network for network in demo_networks()}


@cache
def _build(name):
    return CATALOGUE[name].build().requires_grad_(False)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def build():
    """A pretrained network by its name."""
    return _build


@pytest.fixture(scope="session")
def photos():
    """uint8 [H, W, 3] by name."""
    return {photo.name: photo.image for photo in demo_photos()}


@pytest.fixture(scope="session")
def prepare():
    """uint8 image [H, W, 3] to the input [1, 3, H, W] of a network."""

    def tensor(image, name=None):
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
        if name is None:
            return x
        mean, std = (
            torch.tensor(v)[:, None, None] for v in (CATALOGUE[name].mean, CATALOGUE[name].std)
        )
        return (x - mean) / std

    return tensor
