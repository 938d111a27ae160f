"""Zoos whose probes are copies of one another, now or when more are added."""

import numpy as np
import pytest
import torch
from zoo.conftest import encoder

from pyattrx import Probes, Zoo
from pyattrx.errors import InvalidValueError

PHOTOS = torch.rand(10, 3, 14, 14, generator=torch.Generator().manual_seed(1))


def probes(numbers, groups=None):
    return Probes.from_tensor(PHOTOS[list(numbers)], groups)


def test_a_zoo_of_every_photo_four_times(tmp_path):
    nets = [encoder(seed) for seed in range(4)]
    errors = []
    for name, numbers in (("once", range(10)), ("often", [*range(10)] * 4)):
        with Zoo.create(tmp_path / name, probes(numbers), "saliency") as zoo:
            zoo.add_many(nets)
            assert zoo.probes.n_groups == 10
            assert zoo.probes.describe()["duplicates"] == len(numbers) - 10
            assert zoo.affinity().provenance["probes"]["duplicates"] == len(numbers) - 10
            errors.append([match.stderr for match in zoo.query("net0", k=3)])
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)


def test_more_probes_that_are_copies_of_the_old_ones(tmp_path):
    nets = [encoder(seed) for seed in range(4)]
    old, new = [0, 1, 1, 2, 3, 4], [0, 1, 1, 2, 3, 4, 2, 5, 5, 0, 6]
    with (
        Zoo.create(tmp_path / "grown", probes(old), "saliency") as zoo,
        Zoo.create(tmp_path / "whole", probes(new), "saliency") as whole,
    ):
        assert zoo.probes.groups.tolist() == [0, 1, 1, 2, 3, 4]
        zoo.add_many(nets)
        whole.add_many(nets)
        assert not zoo.add_probes(probes(new), encoders=nets).failed
        assert zoo.probes.hash == whole.probes.hash
        assert zoo.probes.groups.tolist() == [0, 1, 1, 2, 3, 4, 2, 5, 5, 0, 6]
        assert np.array_equal(zoo.affinity().stderr, whole.affinity().stderr)
        assert zoo.verify().ok


def test_more_probes_that_would_join_old_groups(tmp_path):
    """What networks have on disk is by the groups that were; it says so and changes nothing."""
    nets = [encoder(seed) for seed in range(3)]
    with Zoo.create(tmp_path / "zoo", probes([0, 1, 2, 3]), "saliency") as zoo:
        zoo.add_many(nets)
        bridge = probes([0, 1, 2, 3, 1, 3, 4], groups=[0, 1, 2, 3, 4, 4, 5])
        assert bridge.groups.tolist() == [0, 1, 2, 1, 1, 1, 3]
        with pytest.raises(InvalidValueError, match="the zoo's 4 probes, groups and all"):
            zoo.add_probes(bridge, encoders=nets)
        assert len(zoo.probes) == 4
        apart = probes([0, 1, 2, 3, 1, 3, 4])
        assert not zoo.add_probes(apart, encoders=nets).failed
        assert zoo.probes.groups.tolist() == [0, 1, 2, 3, 1, 3, 4]


def test_a_zoo_of_before_has_the_groups_that_it_had(tmp_path):
    """Its probes were saved with every copy a group of its own."""
    new = probes([0, 1, 0, 2])
    old = Probes(new._store, new.names, [0, 1, 2, 3], dict(new._source))
    path = old.save(tmp_path / "old.probes")
    with Zoo.create(tmp_path / "zoo", Probes.load(path), "saliency") as zoo:
        zoo.add_many([encoder(seed) for seed in range(3)])
    with Zoo.open(tmp_path / "zoo") as zoo:
        assert zoo.probes.hash == old.hash
        assert (zoo.probes.n_groups, zoo.probes.duplicates) == (4, 1)
        assert zoo.verify().ok
        assert len(zoo.query("net0", k=2)) == 2
