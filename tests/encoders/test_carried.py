"""What is made of one image and used for another is found, wherever it is kept."""

import pytest
import torch
from torch import nn

import pyattrx
from plainly import images
from pyattrx.encoders.carried import Carried
from pyattrx.errors import AssumptionError


def sources(first, second):
    """Which images the second pass's answer is made of, of functions of images 0 and 1."""
    carried = Carried()
    with carried.following(torch.ones(1, 3), 0) as x:
        kept = first(x)
    with carried.following(torch.full((1, 3), 2.0), 1) as x:
        answer = second(x, kept)
    return carried.sources([answer])


def buffered(write):
    """What a buffer holds after something was written to it in the first pass."""

    def first(x):
        buffer = torch.zeros(2, 3)
        write(buffer, x)
        return buffer

    return first


USED = {
    "a tensor": (lambda x: x.mean(), lambda x, kept: x + kept),
    "a view": (lambda x: x.exp()[:, 1:], lambda x, kept: x[:, 1:] * kept),
    "a list": (lambda x: [x.sin()], lambda x, kept: torch.cat([x, *kept])),
    "written in part": (buffered(lambda b, x: b[0].copy_(x[0])), lambda x, kept: x + kept),
    "added to": (buffered(lambda b, x: b.add_(x)), lambda x, kept: x + kept),
    "set by an index": (buffered(lambda b, x: b.__setitem__(1, x[0])), lambda x, kept: x + kept[0]),
    "a mask": (lambda x: x > 0, lambda x, kept: torch.where(kept, x, 0.0)),
    "a name": (lambda x: x.sum(), lambda x, kept: torch.add(input=x, other=kept)),
}
UNUSED = {
    "kept and not used": (lambda x: x.mean(), lambda x, kept: x + 1),
    "of its shape": (lambda x: torch.arange(x.shape[1]), lambda x, kept: x + kept),
    "overwritten": (lambda x: x.clone(), lambda x, kept: kept.copy_(x) * x),
    "zeroed": (lambda x: x.clone(), lambda x, kept: kept.zero_().add_(x)),
    "a length": (len, lambda x, kept: x * kept),
}


@pytest.mark.parametrize("how", USED)
def test_what_is_kept_is_found(how):
    assert sources(*USED[how]) == {0, 1}


@pytest.mark.parametrize("how", UNUSED)
def test_what_does_not_matter_is_not(how):
    assert sources(*UNUSED[how]) == {1}


def test_memory_that_is_used_again_is_not_taken_for_what_it_held():
    carried = Carried()
    for _ in range(50):  # of one size, so that the allocator gives the same place
        with carried.following(torch.ones(1, 1000), 0) as x:
            x.exp()
        with carried.following(torch.ones(1, 1000), 1) as x:
            assert carried.sources([x.exp(), torch.zeros(1, 1000)]) == {1}


class Keeping(nn.Module):
    """Keeps statistics of what it sees first, unless it has some."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.mean = None

    def forward(self, x):
        h = self.conv(x)
        if self.mean is None:
            self.mean = h.detach().mean((0, 2, 3), keepdim=True)
        return (h - self.mean).tanh()


def test_a_network_that_was_run_once_keeps_the_same_for_all():
    network = Keeping().eval()
    with pytest.raises(AssumptionError, match="what it has seen before") as caught:
        pyattrx.Encoder(network, name="one").prepare("cpu", images())
    assert caught.value.assumption == "repeats"
    with torch.no_grad():
        network(images())
    with pyattrx.Encoder(network, name="one").prepare("cpu", images()) as prepared:
        expected = (network.conv(images()) - network.mean).tanh()
        assert torch.allclose(prepared.forward(prepared.preprocess(images())), expected, atol=1e-5)


def test_statistics_that_are_kept_and_not_used_do_no_harm():
    class Recording(Keeping):
        def forward(self, x):
            super().forward(x)
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
            return self.conv(x)

    with pyattrx.Encoder(Recording().eval(), name="one").prepare("cpu", images()) as prepared:
        assert prepared.looked.plain.output.shape[0] == 2
