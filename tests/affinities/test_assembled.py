"""Any network: the right number, or an error of ours; held against a plain float64 oracle."""

import warnings

import pytest
import torch

import pyattrx
from assembled import BAD, GOOD, METHODS, assemble, images, transform
from drawn import VARIES, close, expected, few, many, named, other, said


def check(stem, parts, head, patch, name, batch_size):
    """One network and a well-behaved one: the number, which is right, or the refusal."""

    def one():
        return assemble(stem, parts, head, patch)

    network = one()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    encoders = [named(network, "one"), named(other(), "other")]
    probes = pyattrx.Probes.from_tensor(images())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = pyattrx.affinity(encoders, probes, METHODS[name], batch_size=batch_size)
            answer = float(result.values[0, 1])
        except pyattrx.PyattrxError as error:
            answer = error
    after = network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    if isinstance(answer, float):
        assert close(answer, right := expected(one(), head, name)), (answer, right)
    else:
        assert "'one'" in str(answer)
    return answer


@few(100, METHODS, most=4)
def test_right_or_refused(**chosen):
    said(check(**chosen))


@many(2000, METHODS, most=4)
def test_two_thousand_are_right_or_refused(**chosen):
    said(check(**chosen))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_an_output_of_another_shape_for_another_image_is_refused(name):
    assert not isinstance(check("conv", [], VARIES, "left as it is", name, 1), float)


@pytest.mark.parametrize("part", sorted(GOOD))
@pytest.mark.parametrize("name", ["grad_x_input", "cka"])
def test_what_is_well_behaved_is_never_refused(part, name):
    assert isinstance(check("conv", [part, "conv"], "pooled", "left as it is", name, 4), float)


# A network that asks a batch which way to go is run one image at a time, and right.
RIGHT = {"one route for a batch"}


@pytest.mark.parametrize("part", sorted(set(BAD) - {"rounding", "no gradient"} - RIGHT))
@pytest.mark.parametrize("name", ["grad_x_input", "cka"])
def test_each_mistake_is_refused(part, name):
    assert not isinstance(check("conv", ["tanh", part], "maps", "left as it is", name, 32), float)


KEEPING = [
    "a mask of the first image",
    "the size of the first image",
    "centred by the first image",
    "kept beside the network",
    "a number kept beside the network",
]


@pytest.mark.parametrize("part", KEEPING)
@pytest.mark.parametrize("head", ["squeezed", "four at a time"])
def test_what_is_kept_of_a_pass_that_fails_is_refused(part, head):
    """One image alone is too few for the head, and was seen by then."""
    answer = check("conv", ["tanh", part], head, "left as it is", "cka", 2)
    assert answer.assumption == "repeats"


@pytest.mark.parametrize("part", sorted(RIGHT))
@pytest.mark.parametrize("name", ["grad_x_input", "cka"])
def test_some_mistakes_are_made_good(part, name):
    assert isinstance(check("conv", ["tanh", part], "maps", "left as it is", name, 4), float)


@pytest.mark.parametrize("parts", [["checkpoint", "conv"], ["weight norm", "conv", "relu"]])
def test_noise_that_is_the_same_in_float64_is_noise(parts):
    """A sum of probabilities is often 1 to the last bit: refused, or all of its maps are zero."""
    for stem in ("conv", "strided conv"):
        check(stem, parts, "sum of probabilities", "left as it is", "saliency", 32)


@pytest.mark.parametrize("patch", ["left as it is", "in half precision"])
def test_a_small_gradient_is_not_noise(patch):
    """Behind two group norms half the squared norm is constant but for the square of their eps."""
    parts = ["conv, norm", "conv, norm", "group norm", "group norm"]
    answer = check("conv", parts, "maps", patch, "norm", 1)
    assert isinstance(answer, float)
    assert answer != 0
    network = assemble("conv", parts, "maps", patch).double()
    first, last = transform(images().double())[[0, -1]]

    def scalar(x):
        return network(x).square().sum() / 2

    places = (torch.arange(20, dtype=torch.float64) + 0.5) / 20
    path = (first + places[:, None, None, None] * (last - first)).requires_grad_()
    (gradient,) = torch.autograd.grad(scalar(path), path)
    change = float((scalar(last[None]) - scalar(first[None])).detach())
    assert float((gradient * (last - first)).sum() / 20) == pytest.approx(change, rel=1e-2)
