"""A network may go another way for a larger batch than the look at it has."""

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.errors import AssumptionError
from pyattrx.features import extract

IMAGES = torch.rand(40, 3, 12, 12, generator=torch.Generator().manual_seed(0))
PROBES = pyattrx.Probes.from_tensor(IMAGES)
MIXES = "'other' answers to an image otherwise beside another image than alone"


class Network(nn.Module):
    def __init__(self, extra=None, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3)
        self.extra = extra

    def forward(self, x):
        h = self.norm(self.first(x)).tanh()
        return self.last(h if self.extra is None else self.extra(h, x)).mean((2, 3))


def encoder(extra=None, seed=0, name="other"):
    return pyattrx.Encoder(Network(extra, seed).eval(), name=name)


WAYS = {
    "the mean over the batch": lambda h, x: h - h.mean(0, keepdim=True) if len(h) > 12 else h,
    "a neighbour": lambda h, x: h.roll(1, 0) if len(h) > 12 else h,
    "only the first ones": lambda h, x: torch.cat([h[:12], h[12:] * 0]),
    "the number": lambda h, x: h * (1.1 if len(h) > 12 else 1),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["grad_x_input", "recommended", "cka"])
def test_affinity_refuses_what_mixes_a_large_batch(way, method):
    encoders = [encoder(name="a", seed=1), encoder(WAYS[way])]
    with pytest.raises(AssumptionError, match=MIXES):
        pyattrx.affinity(encoders, PROBES, method, batch_size=16)
    pyattrx.affinity(encoders, PROBES, method, batch_size=8)


@pytest.mark.parametrize("way", WAYS)
def test_features_of_a_large_batch(way):
    with pytest.raises(AssumptionError, match=MIXES):
        extract(encoder(WAYS[way]), PROBES, batch_size=16)
    small = extract(encoder(WAYS[way]), PROBES, batch_size=8)
    assert np.array_equal(small.pooled, extract(encoder(), PROBES, batch_size=8).pooled)


def test_features_that_are_read_elsewhere():
    class Two(Network):
        def forward(self, x):
            self.seen = self.norm(self.first(x))
            return super().forward(x)

    made = Two().eval()

    def seen(module, x):
        h = module.norm(module.first(x))
        return WAYS["a neighbour"](h, x)

    other = pyattrx.Encoder(made, name="other", features=seen)
    with pytest.raises(AssumptionError, match=MIXES):
        pyattrx.affinity([encoder(name="a"), other], PROBES, "recommended", batch_size=16)


def wrong_layout(h, x):
    """An operator that is wrong for large batches in one memory layout."""
    large = len(h) > 12 and h.is_contiguous(memory_format=torch.channels_last)
    return h * 2 if large else h


@pytest.mark.parametrize("method", ["grad_x_input", "cka"])
def test_what_only_the_preparation_breaks_is_run_as_it_is(method):
    others = [encoder(name="a", seed=1), encoder(wrong_layout)]
    expected = [encoder(name="a", seed=1), encoder(name="other")]
    found = pyattrx.affinity(others, PROBES, method, batch_size=16).values
    wanted = pyattrx.affinity(expected, PROBES, method, batch_size=16).values
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_features_of_what_only_the_preparation_breaks():
    found = extract(encoder(wrong_layout), PROBES, batch_size=16).pooled
    wanted = extract(encoder(), PROBES, batch_size=16).pooled
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-4)


def test_reduced_precision_is_no_mixture():
    encoders = [encoder(name="a", seed=1), encoder()]
    result = pyattrx.affinity(encoders, PROBES, "grad_x_input", batch_size=16, precision="bfloat16")
    assert np.isfinite(result.values).all()


def test_nobody_asks_twice():
    with encoder().prepare("cpu", IMAGES[:2], batch_size=16) as prepared:
        x = prepared.preprocess(IMAGES[:16])
        prepared.forward(x)
        assert prepared.first_batch_agrees()
        calls = []
        prepared.module.register_forward_hook(lambda *_: calls.append(1))
        assert prepared.first_batch_agrees()
        assert not prepared.settle_first_batch()
        assert not calls


def test_features_that_are_read_in_other_arithmetic():
    """What float32 rounds away is read in float64, by a copy that mixes large batches, too."""

    def hardly_varies(h, x):
        return 1000 + 1e-3 * WAYS["a neighbour"](h, x)

    def result(batch_size):
        encoders = [encoder(name="a", seed=1), encoder(hardly_varies)]
        return pyattrx.affinity(encoders, PROBES, "cka", batch_size=batch_size)

    assert result(8).provenance["networks"][1].get("features_in") == "float64"
    with pytest.raises(AssumptionError, match=MIXES):
        result(16)
