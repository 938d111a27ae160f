"""Any network: the right number, or an error of ours; held against a plain float64 oracle."""

import os
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyattrx
from assembled import BAD, GOOD, HEADS, PATCHES, STEMS, assemble

METHODS = {
    "saliency": pyattrx.Method("saliency"),
    "grad_x_input": pyattrx.Method("grad_x_input"),
    "norm": pyattrx.Method("grad_x_input", scalar="half_squared_norm"),
    "cka": pyattrx.FeatureMethod("cka"),
}
PROBES = 6
VARIES = "as many as there are bright pixels"


def images():
    generator = torch.Generator().manual_seed(11)
    bright = torch.linspace(0.4, 2.5, PROBES)[:, None, None, None]
    return torch.rand(PROBES, 3, 12, 12, generator=generator) ** bright


def transform(x):
    return 2 * x - 1


def scalar_of(name, z):
    z = z.flatten(1)
    return z.square().sum(1) / 2 if name == "norm" else z.mean(1)


def oracle_rows(network, name, copies=1):
    """Maps (or outputs) of every image by itself, in float64; maps that are nothing are zero."""
    network = network.double().eval()
    rows, scalars = [], []
    for image in transform(images().double()):
        x = image[None].requires_grad_()
        z = network(x.expand(copies, -1, -1, -1))[:1]
        if name == "cka":
            rows.append(z.detach().flatten())
            continue
        s = scalar_of(name, z).sum()
        (g,) = torch.autograd.grad(s, x, retain_graph=True)
        signs = torch.randint(0, 2, z.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1
        (j,) = torch.autograd.grad((z * signs).sum(), x)
        leaf = z.detach().requires_grad_()
        (v,) = torch.autograd.grad(scalar_of(name, leaf).sum(), leaf)
        scale = j.norm() / signs.norm() * v.norm()
        map_ = g.abs() if name == "saliency" else g * x
        map_ = map_.detach().mean(1).flatten()
        rows.append(map_ * float(g.norm() > 1e-12 * scale))
        scalars.append((float(s.detach()), float((v * leaf).detach().abs().sum())))
    if scalars:
        values, sizes = np.array(scalars).T
        if np.ptp(values) <= 1e-12 * sizes.max():  # the same for every image
            rows = [0 * row for row in rows]
    return torch.stack(rows).numpy()


def oracle(one, other, name, copies):
    a, b = oracle_rows(one, name, copies), oracle_rows(other, name)
    if name == "cka":
        a, b = a - a.mean(0), b - b.mean(0)
        if min(np.abs(a).max(), np.abs(b).max()) < 1e-12:
            return 0.0
        k, m = a @ a.T, b @ b.T
        return float((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(1) / np.where(norms == 0, 1.0, norms)))


def check(stem, parts, head, patch, name, batch_size):
    """One network and a well-behaved one: right, or refused."""

    def one():
        return assemble(stem, parts, head, patch)

    def other():
        return assemble("strided conv", ["tanh", "conv"], "pooled", seed=5)

    network = one()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    encoders = [
        pyattrx.Encoder(network, name="one", transform=transform),
        pyattrx.Encoder(other(), name="other", transform=transform),
    ]
    probes = pyattrx.Probes.from_tensor(images())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = pyattrx.affinity(encoders, probes, METHODS[name], batch_size=batch_size)
        except pyattrx.PyattrxError as error:
            message, result = str(error), None
    assert result is not None or "'one'" in message
    after = network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    if result is not None:
        torch.manual_seed(0)
        # Those that cannot be run on one image are given it several times.
        copies = 4 if head in ("squeezed", "four at a time") else 1
        expected = oracle(one(), other(), name, copies)
        # float32 through a dozen layers; at a kink a unit may be on one side or the other.
        assert abs(result.values[0, 1] - expected) < 2e-3, (result.values[0, 1], expected)
    return result


assembled = {
    "stem": st.sampled_from(sorted(STEMS)),
    "parts": st.lists(st.sampled_from(sorted(GOOD) + sorted(BAD)), max_size=4),
    "head": st.sampled_from(sorted(set(HEADS) - {VARIES})),
    "patch": st.sampled_from(sorted(PATCHES)),
    "name": st.sampled_from(sorted(METHODS)),
    "batch_size": st.sampled_from([1, 2, 3, 4, 32]),
}
quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


# The same ones each time: a network that nobody has met yet is for the slow test to find.
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=quiet)
@given(**assembled)
def test_right_or_refused(**chosen):
    check(**chosen)


# Minutes, and other networks each time: PYATTRX_MANY_NETWORKS=1 asks for it.
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("PYATTRX_MANY_NETWORKS"), reason="asked for by name only")
@settings(max_examples=2000, deadline=None, suppress_health_check=quiet)
@given(**assembled)
def test_two_thousand_are_right_or_refused(**chosen):
    check(**chosen)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_an_output_of_another_shape_for_another_image_is_refused(name):
    assert check("conv", [], VARIES, "left as it is", name, 1) is None


@pytest.mark.parametrize("part", sorted(GOOD))
@pytest.mark.parametrize("name", ["grad_x_input", "cka"])
def test_what_is_well_behaved_is_never_refused(part, name):
    assert check("conv", [part, "conv"], "pooled", "left as it is", name, 4) is not None


@pytest.mark.parametrize("part", sorted(set(BAD) - {"rounding", "no gradient"}))
@pytest.mark.parametrize("name", ["grad_x_input", "cka"])
def test_each_mistake_is_refused(part, name):
    assert check("conv", ["tanh", part], "maps", "left as it is", name, 4) is None


@pytest.mark.parametrize("parts", [["checkpoint", "conv"], ["weight norm", "conv", "relu"]])
def test_noise_that_is_the_same_in_float64_is_noise(parts):
    """A sum of probabilities is often 1 to the last bit: refused, or all of its maps are zero."""
    for stem in ("conv", "strided conv"):
        check(stem, parts, "sum of probabilities", "left as it is", "saliency", 32)
