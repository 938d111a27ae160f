"""Networks that need several images at once are looked at in a batch of another size, too."""

import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.errors import AssumptionError


class Squeezed(nn.Module):
    """Loses the batch dimension of one image; `extra` is added to the feature maps of all."""

    def __init__(self, extra):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 4, 3)
        self.last = nn.Conv2d(4, 5, 3)
        self.extra = extra

    def forward(self, x):
        h = self.layer(x)
        return self.last((h + self.extra(h)).tanh()).mean((2, 3)).squeeze()


def look(extra, batch_size):
    images = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    encoder = pyattrx.Encoder(Squeezed(extra).eval(), name="a")
    with encoder.prepare("cpu", images, batch_size=batch_size) as prepared:
        return prepared.sizes


@pytest.mark.parametrize(
    "extra",
    [lambda h: 1 / len(h), lambda h: 0.01 * len(h), lambda h: (h * 0).softmax(0)],
    ids=["one over the number", "the number", "a softmax over the batch"],
)
def test_the_size_of_the_batch_matters(extra):
    with pytest.raises(AssumptionError, match="'a' answers to an image otherwise beside another"):
        look(extra, 8)


def test_it_is_no_matter_where_the_batch_is_never_larger():
    assert look(lambda h: 1 / len(h), 2).least == 2


def test_the_size_alone_is_no_reason():
    assert look(lambda h: 1.0, 8).least == 2


def test_a_small_share_of_the_other_image_is_found():
    """Within what rounding may do to a gradient, and no rounding."""

    class Leaking(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            h = self.layer(x).tanh()
            mean = h.mean(0, keepdim=True)
            return h.detach() + (h - h.detach()) * (1 + 0.02 * (mean - h).detach())

    images = torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    with pytest.raises(AssumptionError, match="'a' answers to an image otherwise beside another"):
        pyattrx.Encoder(Leaking().eval(), name="a").prepare("cpu", images, batch_size=4)
