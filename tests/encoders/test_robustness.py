"""Networks that are awkward to copy, lay out, stop or differentiate, and what must not change."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import pyattrx
from networks import build
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError


class Net(nn.Module):
    """Parts, put together by a function."""

    def __init__(self, function, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, x):
        return self.function(self.parts, x)


def prepare(network, images, **options):
    return pyattrx.Encoder(network, name="net", **options).prepare("cpu", images)


def gradient(forward, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(forward(x).flatten(1).mean(1).sum(), x)[0]


def flattens_by_view():
    return Net(lambda m, x: m[1](m[0](x).view(len(x), -1)), nn.Conv2d(3, 4, 3), nn.Linear(1936, 5))


def weight_norm():
    with pytest.warns(FutureWarning):
        return nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)).eval()


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        self.kept = self.conv(x)
        return self.kept.relu()


def mixed_precision():
    head = nn.Linear(4, 2).double()
    return Net(lambda m, x: m[1](m[0](x).mean((2, 3)).double()), nn.Conv2d(3, 4, 3), head)


def complex_parameters():
    network = Net(lambda m, x: (m[0](x) * m.phase).real, nn.Conv2d(3, 4, 3))
    network.parts.phase = nn.Parameter(torch.randn(4, 1, 1, dtype=torch.complex64))
    return network


def volumetric():
    lifted = nn.Conv3d(1, 2, 3)
    return Net(lambda m, x: m[1](m[0](x)[:, None]), nn.Conv2d(3, 4, 3), lifted)


def scripted():
    return torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval())


AWKWARD = {
    "flattens by view": flattens_by_view,
    "old weight norm": weight_norm,
    "keeps an activation": Keeps,
    "mixed precision": mixed_precision,
    "complex parameters": complex_parameters,
    "2-D and 3-D convolutions": volumetric,
    "scripted": scripted,
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_networks_give_the_plain_gradient(name, images):
    network = AWKWARD[name]()
    network(images)  # what is kept on the way has a history now
    run = prepare(network, images)
    ours, theirs = gradient(run.forward, run.preprocess(images)), gradient(network, images)
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_a_finer_output_makes_rounding_before_it_no_smaller(images):
    def rounded(m, x):  # as sums in another order are, where more images come at once
        pooled = m[0](x).mean((2, 3))
        return (pooled * (1 + 2**-20) if len(x) > 1 else pooled).double()

    run = prepare(Net(rounded, nn.Conv2d(3, 4, 3)), images)
    assert run.outputs(run.preprocess(images))[0].dtype == torch.float64


def test_a_layout_that_a_network_cannot_stand_is_undone(images):
    run = prepare(flattens_by_view(), images)
    assert run.preprocess(images).is_contiguous()
    assert run.module.parts[0].weight.is_contiguous()


def test_a_network_that_writes_into_its_input(images):
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3))
    before = images.clone()
    run = prepare(network, images)
    x = run.preprocess(images)
    assert gradient(run.forward, x).abs().max() > 0
    assert torch.equal(x, before)
    assert torch.equal(images, before)


def test_random_states_are_kept(images):
    def noisy(m, x):
        return m[0](x) + torch.randn(1) + random.random() + np.random.rand()  # noqa: NPY002

    network = Net(noisy, nn.Conv2d(3, 4, 3))
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    with pytest.raises(EncoderError, match="output is random"):
        prepare(network, images)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert np.array_equal(states[2], np.random.get_state()[1])  # noqa: NPY002


def test_prepared_in_inference_mode(images):
    network = build("resnet")
    with torch.inference_mode():
        run = prepare(network, images)
    assert run.folded == 7
    assert gradient(run.forward, run.preprocess(images)).abs().max() > 0


@pytest.mark.parametrize(
    "network", [nn.LazyConv2d(4, 3), nn.Conv2d(3, 4, 3, device="meta")], ids=["lazy", "meta"]
)
def test_networks_without_values(network, images):
    with pytest.raises(EncoderError, match="'net': weight has no values yet"):
        prepare(network, images)


def test_what_comes_after_the_output_may_fail(images):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, 2))
    run = prepare(network, images, output="0")
    assert run.forward(run.preprocess(images)).shape == (6, 4, 22, 22)
    with pytest.raises(EncoderError, match="'net' failed on an input of shape"):
        prepare(network, images, output="2")


def test_a_forward_that_catches_everything_is_still_stopped(images):
    def careful(m, x):
        try:
            y = m[0](x)
        except Exception:
            y = None
        return m[1](y)

    network = Net(careful, nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3))
    assert prepare(network, images, output="parts.0").forward(images).shape == (6, 4, 22, 22)


def test_an_output_of_the_original_instead_of_the_copy(images):
    network = build("plain")
    with pytest.raises(EncoderError, match="must use the module that it is given"):
        prepare(network, images, output=lambda module, x: network(x))


def test_an_output_without_units(images):
    network = Net(lambda m, x: m[0](x)[:, :0], nn.Conv2d(3, 4, 3))
    with pytest.raises(EncoderError, match=r"shape \(1, 0, 22, 22\)"):
        prepare(network, images)


def test_no_gradient_for_other_reasons(images):
    run = prepare(Net(lambda m, x: (x > 1.5).float().mean((2, 3))), images)
    with pytest.raises(EncoderError, match="not differentiably"):
        run.explain_no_gradient(run.preprocess(images))


def test_a_constant_nan_ignores_the_input(images):
    run = prepare(Net(lambda m, x: torch.full((len(x), 2), torch.nan)), images)
    run.explain_no_gradient(run.preprocess(images))


@pytest.mark.parametrize(
    ("device", "change", "kind", "message"),
    [
        ("gpu0", lambda x: x, InvalidValueError, "device='gpu0'"),
        ("cpu", lambda x: x[0], InvalidValueError, r"example.shape=\(3, 24, 24\)"),
        ("cpu", lambda x: x[:0], InvalidValueError, r"example.shape=\(0, 3, 24, 24\)"),
        ("cpu", lambda x: x[:, :1], InvalidValueError, r"example.shape=\(6, 1, 24, 24\)"),
        ("cpu", lambda x: (255 * x).byte(), InvalidValueError, "example.dtype=torch.uint8"),
        ("cpu", lambda x: x.numpy(), InvalidTypeError, "example="),
    ],
)
def test_wrong_arguments_of_prepare(device, change, kind, message, images):
    with pytest.raises(kind, match=message):
        pyattrx.Encoder(build("plain")).prepare(device, change(images))


def test_versions_are_described():
    versions = pyattrx.Encoder(build("plain")).describe()["versions"]
    assert versions["torch"] == torch.__version__
