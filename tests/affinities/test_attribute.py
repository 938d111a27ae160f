"""Maps of one network against plain autograd."""

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from pyattrx.errors import AssumptionError, InvalidTypeError, InvalidValueError, NonFiniteError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.norm.running_mean += 0.1

    def forward(self, x):
        return self.norm(self.conv(x)).relu().mean((2, 3))


def images(n=7):
    return torch.rand(n, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def plainly(network, x, scalar=lambda z: z.flatten(1).mean(1)):
    network = network.double().eval()
    x = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(scalar(network(x)).sum(), x)
    return gradient, x.detach()


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_grad_x_input(batch_size):
    found = pyattrx.attribute(Net(), images(), batch_size=batch_size, device="cpu")
    gradient, x = plainly(Net(), images())
    expected = (gradient * x).mean(1)
    assert (found.dtype, found.shape) == (torch.float32, (7, 12, 10))
    torch.testing.assert_close(
        found.double(), expected, rtol=1e-4, atol=1e-6 * expected.abs().max()
    )


def test_other_methods_and_encoders():
    method = pyattrx.Method("saliency", scalar="half_squared_norm", reduce="abs_mean", grid=(4, 5))
    shift = pyattrx.Normalize((0.5,) * 3, (0.25,) * 3)
    encoder = pyattrx.Encoder(Net().double(), name="net", transform=shift)
    found = pyattrx.attribute(encoder, pyattrx.Probes.from_tensor(images()), method)
    gradient, _ = plainly(Net(), (images() - 0.5) / 0.25, lambda z: z.square().sum(1) / 2)
    expected = nn.functional.interpolate(gradient.abs().mean(1)[:, None], (4, 5), mode="area")[:, 0]
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7 * float(expected.max()))


def test_uint8_images_are_those_between_0_and_1():
    whole = (images() * 255).to(torch.uint8)
    one, two = pyattrx.attribute(Net(), whole), pyattrx.attribute(Net(), whole.float() / 255)
    np.testing.assert_array_equal(one, two)


def test_a_specification(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def network():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())\n"
    )
    torch.manual_seed(0)
    same = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    found = pyattrx.attribute(f"{tmp_path}/mine.py:network", images())
    torch.testing.assert_close(found, pyattrx.attribute(same, images()))


def test_the_module_is_left_as_it_was():
    network = Net().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    pyattrx.attribute(network, images())
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, images()), InvalidTypeError, "encoder=3"),
        ((Net(), "photo.jpg"), InvalidTypeError, "images"),
        ((Net(), images()[:, :1]), InvalidValueError, "images"),
        ((Net(), images(), "cka"), InvalidValueError, "method='cka'"),
        ((Net(), images(), pyattrx.methods.CKA()), InvalidTypeError, "method"),
        ((Net(), images(), pyattrx.Method("saliency", reduce="none")), InvalidValueError, "reduce"),
        ((Net(), images(), pyattrx.Method("saliency", pixels=5)), InvalidValueError, "pixels"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        pyattrx.attribute(*arguments)


def test_wrong_options_and_networks():
    with pytest.raises(InvalidValueError, match="batch_size=0"):
        pyattrx.attribute(Net(), images(), batch_size=0)
    with pytest.raises(InvalidValueError, match="device"):
        pyattrx.attribute(Net(), images(), device="nowhere")

    class Random(Net):
        def forward(self, x):
            return super().forward(x) + torch.rand(len(x), 1)

    with pytest.raises(AssumptionError, match="Random"):
        pyattrx.attribute(Random(), images())

    class Broken(Net):
        def forward(self, x):
            return super().forward(x) * torch.nan

    with pytest.raises(NonFiniteError, match=r"'Broken', probe 0"):
        pyattrx.attribute(Broken(), images())
