"""Any network: the right number, or an error of ours; held against a plain float64 oracle."""

import os
import warnings

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import pyattrx
from assembled import (
    BAD,
    GOOD,
    HEADS,
    METHODS,
    PATCHES,
    STEMS,
    assemble,
    copies_of,
    images,
    oracle,
    transform,
)

VARIES = "as many as there are bright pixels"


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
        expected = oracle(one(), other(), name, copies_of(head))
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
# Networks are small already: looking for smaller ones takes minutes.
phases = [Phase.explicit, Phase.reuse, Phase.generate]
quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


# The same ones each time: a network that nobody has met yet is for the slow test to find.
@settings(
    max_examples=100, deadline=None, derandomize=True, phases=phases, suppress_health_check=quiet
)
@given(**assembled)
def test_right_or_refused(**chosen):
    check(**chosen)


# Minutes, and other networks each time: PYATTRX_MANY_NETWORKS=1 asks for it.
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("PYATTRX_MANY_NETWORKS"), reason="asked for by name only")
@settings(max_examples=2000, deadline=None, phases=phases, suppress_health_check=quiet)
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


# A network that asks a batch which way to go is run one image at a time, and right.
RIGHT = {"one route for a batch"}


@pytest.mark.parametrize("part", sorted(set(BAD) - {"rounding", "no gradient"} - RIGHT))
@pytest.mark.parametrize("name", ["grad_x_input", "cka"])
def test_each_mistake_is_refused(part, name):
    assert check("conv", ["tanh", part], "maps", "left as it is", name, 4) is None


@pytest.mark.parametrize("part", sorted(RIGHT))
@pytest.mark.parametrize("name", ["grad_x_input", "cka"])
def test_some_mistakes_are_made_good(part, name):
    assert check("conv", ["tanh", part], "maps", "left as it is", name, 4) is not None


@pytest.mark.parametrize("parts", [["checkpoint", "conv"], ["weight norm", "conv", "relu"]])
def test_noise_that_is_the_same_in_float64_is_noise(parts):
    """A sum of probabilities is often 1 to the last bit: refused, or all of its maps are zero."""
    for stem in ("conv", "strided conv"):
        check(stem, parts, "sum of probabilities", "left as it is", "saliency", 32)
