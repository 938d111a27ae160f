"""Saliency and gradient x input against captum; scalars; methods of one's own."""

import captum.attr
import pytest
import torch

import pyattrx
from networks import ARCHITECTURES, build
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError
from pyattrx.methods import resolve_attribution, resolve_scalar

MEAN = resolve_scalar("mean")


def scalar_network(network):
    return lambda x: network(x).flatten(1).mean(1)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_saliency_and_grad_x_input_agree_with_captum(name, images):
    network = build(name).double()
    x = images.double()
    saliency = pyattrx.Saliency()
    gradient = saliency.gradient(network, x, MEAN)
    maps = pyattrx.ops.attribution_maps(gradient, x, saliency.combine, "none", normalize=False)
    expected = captum.attr.Saliency(scalar_network(network)).attribute(x.clone(), abs=True)
    assert torch.allclose(maps, expected.flatten(1), rtol=0, atol=1e-14)

    method = pyattrx.GradXInput()
    gradient = method.gradient(network, x, MEAN)
    maps = pyattrx.ops.attribution_maps(gradient, x, method.combine, "none", normalize=False)
    expected = captum.attr.InputXGradient(scalar_network(network)).attribute(x.clone())
    assert torch.allclose(maps, expected.flatten(1), rtol=0, atol=1e-14)


def test_the_mean_is_the_mean_of_the_units_attributions(images):
    network = build("plain").double()
    x = images.double()
    units = []
    for unit in range(5):
        one = lambda z, u=unit: z[:, u]  # noqa: E731
        units.append(pyattrx.GradXInput().gradient(network, x, one))
    mean = pyattrx.GradXInput().gradient(network, x, MEAN)
    assert torch.allclose(torch.stack(units).mean(0), mean, rtol=0, atol=1e-15)


def test_half_squared_norm_does_not_depend_on_the_outputs_basis(images):
    network = build("plain").double()
    x = images.double()
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    scalar = resolve_scalar("half_squared_norm")
    plain = pyattrx.Saliency().gradient(network, x, scalar)
    rotated = pyattrx.Saliency().gradient(lambda t: network(t) @ rotation.T, x, scalar)
    assert torch.allclose(plain, rotated, rtol=1e-10, atol=1e-15)


def test_scalars_of_half_precision_outputs_do_not_overflow():
    output = torch.full((2, 1000), 300.0, dtype=torch.float16)
    assert resolve_scalar("half_squared_norm")(output).tolist() == [45_000_000.0] * 2
    assert resolve_scalar("mean")(output).tolist() == [300.0] * 2


def test_one_output_a_image_needs_no_axis():
    assert resolve_scalar("mean")(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_a_scalar_of_ones_own_is_checked():
    scalar = resolve_scalar(lambda z: z.sum())
    with pytest.raises(EncoderError, match="one number per image"):
        scalar(torch.ones(3, 4))


@pytest.mark.parametrize("scalar", ["max", 3, None])
def test_unknown_scalars(scalar):
    with pytest.raises(InvalidValueError, match="scalar"):
        resolve_scalar(scalar)


def test_unknown_attributions():
    with pytest.raises(InvalidValueError, match="gradcam"):
        resolve_attribution("gradcam")
    with pytest.raises(InvalidTypeError, match="attribution"):
        resolve_attribution(pyattrx.Saliency)


class Occlusion(pyattrx.InputAttribution):
    """Not a gradient at all: the answer to hiding each quarter."""

    name = "occlusion"

    def gradient(self, forward, x, scalar):
        out = torch.zeros_like(x)
        half = x.shape[-1] // 2
        for i in (slice(0, half), slice(half, None)):
            for j in (slice(0, half), slice(half, None)):
                hidden = x.clone()
                hidden[:, :, i, j] = 0
                change = scalar(forward(x)) - scalar(forward(hidden))
                out[:, :, i, j] = change[:, None, None, None]
        return out


def test_a_method_of_ones_own_runs_end_to_end(probes):
    encoders = [pyattrx.Encoder(build(n), name=n) for n in ("plain", "vit")]
    result = pyattrx.affinity(encoders, probes, pyattrx.Method(Occlusion()))
    assert result.values.shape == (2, 2)
    assert 0 < abs(result.values[0, 1]) < 1
    assert result.provenance["method"]["attribution"]["class"].endswith(":Occlusion")


def test_attributions_compare_by_their_options():
    assert pyattrx.ELRP() == pyattrx.ELRP(1e-4)
    assert pyattrx.ELRP() != pyattrx.ELRP(1e-3)
    assert hash(pyattrx.ELRP()) == hash(pyattrx.ELRP())
    assert repr(pyattrx.ELRP(0.5)) == "ELRP(eps=0.5)"


@pytest.mark.parametrize(
    "wrap", [torch.jit.script, lambda n: torch.jit.trace(n, torch.rand(1, 3, 8, 8))]
)
def test_elrp_refuses_torchscript(wrap, probes):
    network = wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.SiLU()).eval())
    with pytest.raises(EncoderError, match="'scripted'.*TorchScript"):
        pyattrx.affinity([pyattrx.Encoder(network, name="scripted")], probes, "elrp")


class InPlaceAfterSigmoid(torch.nn.Module):
    def forward(self, x):
        return x.mean((2, 3)).sigmoid().add_(1)


def test_what_fails_in_the_backward_pass_names_the_network(probes):
    encoder = pyattrx.Encoder(InPlaceAfterSigmoid(), name="written over")
    with pytest.raises(EncoderError, match="'written over' cannot be differentiated.*RuntimeError"):
        pyattrx.affinity([encoder], probes, method="grad_x_input")
