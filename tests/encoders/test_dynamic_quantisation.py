"""A dynamically quantised network: why it is refused is said, and what is advised works."""

import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.errors import AssumptionError
from pyattrx.features import extract

# Of torch.ao, which is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*quantiz")
PROBES = pyattrx.Probes.from_tensor(
    torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
)
WHY = "'head.1' is dynamically quantised.*whole batch.*float network.*batch_size=1"


def network():
    torch.manual_seed(0)
    head = nn.Sequential(nn.Flatten(), nn.Linear(400, 6))
    made = nn.Sequential()
    made.add_module("first", nn.Conv2d(3, 4, 3))
    made.add_module("head", head)
    return made.eval()


def encoder(*, quantised):
    module = network()
    if quantised:
        module = torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)
    return pyattrx.Encoder(module, name="net", features="head.1")


@pytest.mark.parametrize("method", ["cka", "grad_x_input"])
def test_the_reason_is_said(method):
    with pytest.raises(AssumptionError, match=WHY) as caught:
        pyattrx.affinity([encoder(quantised=True), pyattrx.Encoder(network(), name="other")],
                         PROBES, method, batch_size=4)  # fmt: skip
    assert caught.value.assumption == "alone"


def test_what_is_advised_works():
    with pytest.raises(AssumptionError, match=WHY):
        extract(encoder(quantised=True), PROBES, batch_size=4)
    one_by_one = extract(encoder(quantised=True), PROBES, batch_size=1).pooled
    exact = extract(encoder(quantised=False), PROBES, batch_size=4).pooled
    # Rounded to 8 bits, nothing else.
    assert abs(one_by_one - exact).max() < 0.05 * abs(exact).max()


def test_another_mixture_is_not_blamed_on_it():
    class Mixes(nn.Module):
        def forward(self, x):
            return (x - x.mean(0, keepdim=True)).flatten(1)

    with pytest.raises(AssumptionError, match="a mean over the batch"):
        extract(pyattrx.Encoder(Mixes(), name="net"), PROBES, batch_size=4)
