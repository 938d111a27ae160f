"""Probes that are some of others: a view, whatever holds the pixels."""

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx import Probes
from pyattrx._scratch import Scratch


@pytest.mark.parametrize("spilled", [False, True])
def test_pixels_names_and_groups_are_those_chosen(spilled):
    images = torch.rand(7, 3, 5, 4)
    scratch = Scratch(in_memory=100) if spilled else None
    probes = Probes.from_tensor(images, groups=[0, 0, 1, 2, 2, 3, 4], scratch=scratch)
    taken = probes.take(np.array([6, 1, 2, 3, 0]))
    assert taken.in_memory != spilled
    assert torch.equal(taken.images(), images[[6, 1, 2, 3, 0]])
    assert torch.equal(taken[1], images[1])
    assert torch.equal(torch.cat(list(taken.batches(2))), images[[6, 1, 2, 3, 0]])
    assert taken.names == ("image6", "image1", "image2", "image3", "image0")
    assert taken.groups.tolist() == [0, 1, 2, 3, 1]
    again = Probes.from_tensor(images[[6, 1, 2, 3, 0]], groups=[0, 1, 2, 3, 1])
    assert taken.hash == again.hash
    assert taken.digests() == again.digests()


def test_views_of_views_heads_and_files(tmp_path):
    images = torch.rand(6, 3, 4, 4)
    taken = Probes.from_tensor(images).take([5, 3, 1, 0]).take([2, 0, 1]).head(2)
    assert torch.equal(taken.images(), images[[1, 5]])
    loaded = Probes.load(taken.save(tmp_path / "two.probes"))
    assert torch.equal(loaded.images(), images[[1, 5]])
    assert torch.equal(loaded.take([1]).images(), images[[5]])


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([], "at least one probe"),
        ([1, 1], "none of them twice"),
        ([3], "indices from 0 to 2"),
        ([-1], "indices from 0 to 2"),
        ([0.5], "a sequence of integers"),
    ],
)
def test_other_orders_are_refused(order, expected):
    probes = Probes.from_tensor(torch.rand(3, 3, 4, 4))
    with pytest.raises(pyattrx.PyattrxError, match=f"^order=.*{expected}"):
        probes.take(order)
