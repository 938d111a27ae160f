"""How many passes the look at a network takes."""

import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.errors import AssumptionError


class Network(nn.Module):
    passes = 0

    def __init__(self, extra=None):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.pool, self.last = nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, 3)
        self.extra = extra

    def forward(self, x):
        Network.passes += 1
        h = self.pool(self.norm(self.first(x)).relu())
        h = h if self.extra is None else self.extra(h)
        return self.pool(self.last(h)).mean((2, 3))


def photos(flat):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    if flat:  # a dark one with a black part, and a white sky
        images[0, :, :, 20:] = 0
        images[1, :, 20:] = 1
    return images


def look(images, extra=None):
    Network.passes = 0
    with pyattrx.Encoder(Network(extra).eval(), name="net").prepare("cpu", images) as prepared:
        seen = prepared.looked
        return seen.plain.distance(seen.prepared), Network.passes, prepared.folded


def test_nothing_is_wrong():
    assert look(photos(flat=False))[1:] == (3, 1)


def test_flat_parts_take_one_pass_more():
    """With other last bits other maxima are the largest there, and nothing is wrong with that."""
    (values, gradients), passes, folded = look(photos(flat=True))
    assert values < 0.1
    assert gradients > 1
    assert passes <= 5  # the last one only where rounding is more than usual
    assert folded == 1


@pytest.mark.parametrize(
    "mix", [lambda h: h + 1e-3 * h.mean(0, keepdim=True), lambda h: h + 1e-3 * h.flip(0)]
)
def test_what_is_mixed_is_seen_beside_flat_parts(mix):
    with pytest.raises(AssumptionError, match="beside another image than alone"):
        look(photos(flat=True), mix)
