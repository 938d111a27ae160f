"""Small zoos of small networks."""

import contextlib
import sqlite3

import pytest
import torch
from torch import nn

import pyattrx


def network(seed, channels=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, 2, 3))


def encoder(seed, **options):
    return pyattrx.Encoder(network(seed), **{"name": f"net{seed}", **options})


@pytest.fixture
def probes():
    images = torch.rand(12, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    return pyattrx.Probes.from_tensor(images, groups=[i // 2 for i in range(12)])


@pytest.fixture
def zoo(tmp_path, probes):
    with pyattrx.Zoo.create(tmp_path / "zoo", probes, "saliency") as zoo:
        zoo.add_many([encoder(seed) for seed in range(6)], tags="small")
        yield zoo


@pytest.fixture
def spoil(zoo):
    """Damages the description of one of the zoo's networks."""

    def spoil(name):
        with contextlib.closing(sqlite3.connect(zoo.path / "zoo.sqlite")) as connection:
            connection.execute("UPDATE entries SET facts = '{}' WHERE name = ?", (name,))
            connection.commit()

    return spoil
