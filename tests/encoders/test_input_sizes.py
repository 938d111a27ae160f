"""Networks that run on one size only say which."""

import types

import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.errors import EncoderError


class Fixed(nn.Module):
    def __init__(self, size, says="no good", **attributes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.size, self.says = size, says
        self.seen = []
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        if tuple(x.shape[-2:]) != self.size:
            raise ValueError(self.says)
        return self.conv(x)


def failure(network, probes):
    with pytest.raises(EncoderError) as raised:
        pyattrx.affinity(
            [pyattrx.Encoder(network, name="net")], probes, device="cpu", method="grad_x_input"
        )
    assert "network 'net' failed on an input of shape (1, 3, 24, 24)" in str(raised.value)
    assert isinstance(raised.value.__cause__, Exception)
    return str(raised.value)


@pytest.mark.parametrize(
    "network",
    [
        Fixed((42, 42), image_size=42),
        Fixed((42, 42), img_size=(42, 42)),
        Fixed((42, 42), config=types.SimpleNamespace(image_size=42)),
        Fixed((42, 42), pretrained_cfg={"input_size": (3, 42, 42)}),
        Fixed((42, 42), says="Input height (24) doesn't match model (42)."),
    ],
)
def test_the_size_is_said(network, probes):
    assert "; it runs on 42 x 42: set input_size=42, or make the probes" in failure(network, probes)
    encoder = pyattrx.Encoder(network, name="net", input_size=42)
    pyattrx.affinity([encoder], probes, device="cpu", method="grad_x_input")  # as was said


def test_sizes_of_two_sides(probes):
    said = failure(Fixed((30, 42), image_size=(30, 42)), probes)
    assert "it runs on 30 x 42: set input_size=(30, 42)" in said


def test_a_number_of_tokens_is_no_size(probes):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.places = nn.Conv2d(3, 4, 8, 8), nn.Parameter(torch.randn(65, 4))

        def forward(self, x):
            tokens = self.patch(x).flatten(2).transpose(1, 2)
            return torch.cat([tokens[:, :1], tokens], 1) + self.places

    said = failure(Tokens(), probes)
    assert "must match the size of tensor b (65)" in said
    assert "it runs on 64 x 64: set input_size=64" in said  # as it does on 65 x 65


def test_a_usual_size_is_found_by_trying(probes):
    network = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2), nn.Flatten(), nn.Linear(2 * 31 * 31, 5))
    assert "it runs on 64 x 64: set input_size=64" in failure(network, probes)


def test_what_is_said_is_tried(probes):
    """A size that does not help, and values that are none, are no advice."""
    network = Fixed((43, 47), image_size=40, img_size="big", config={}, pretrained_cfg={})
    assert failure(network, probes).endswith("ValueError: no good")


@pytest.mark.parametrize("says", ["CUDA out of memory", "no good"])
def test_a_network_that_always_fails(probes, says):
    network = Fixed((-1, -1), says=says, image_size=48)
    assert failure(network, probes).endswith(f"ValueError: {says}")


def test_an_output_before_what_fails_is_not_asked_about(probes):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, 2))
    encoder = pyattrx.Encoder(network, name="net", output="0")
    assert torch.isfinite(
        torch.as_tensor(pyattrx.affinity([encoder], probes, method="grad_x_input").values)
    ).all()
