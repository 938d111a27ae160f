"""What every method says of itself holds, for every method that has a name."""

import numpy as np
import pytest
import torch

import pyattrx
from pyattrx import methods

NAMES = list(methods.list())
WIDTH = 5


class Net(torch.nn.Module):
    """Two convolutions and a pooled vector, in float64."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 3, stride=2), torch.nn.Tanh(), torch.nn.Conv2d(6, WIDTH, 3)
        )
        self.double()

    def forward(self, x):
        return self.body(x).mean((2, 3))


def encoders(change=None, features=None):
    """Four networks; the output of the first is changed."""
    made = []
    for seed in range(4):
        output = None
        if seed == 0 and change is not None:
            # Source and target alike: the features are the output.
            output = lambda module, x: change(module(x))  # noqa: E731
        made.append(
            pyattrx.Encoder(
                Net(seed), f"net{seed}", output=output, dtype=torch.float64, features=features
            )
        )
    return made


def images():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(14, 3, 20, 20, generator=generator)


def found(method, change=None, order=None):
    shown = images() if order is None else images()[order]
    # An inner attribution is to a layer; of other methods the features are the output.
    inner = methods.get(method).needs == {"gradients", "features"}
    nets = encoders(change, "body.1" if inner else None)
    return pyattrx.affinity(nets, pyattrx.Probes.from_tensor(shown), method)


def rotation():
    generator = np.random.default_rng(0)
    turn = np.linalg.qr(generator.standard_normal((WIDTH, WIDTH)))[0]
    return torch.from_numpy(turn)


CHANGES = {
    "scale": lambda z: 1e6 * z,
    "rotation": lambda z: z @ rotation(),
    "shift": lambda z: z + torch.linspace(-1, 2, WIDTH, dtype=torch.float64),
}


@pytest.fixture(scope="module", params=NAMES)
def plain(request):
    return request.param, found(request.param)


def test_symmetry_and_bounds(plain):
    name, result = plain
    method = methods.get(name)
    if method.symmetric:
        np.testing.assert_array_equal(result.values, result.values.T)
    else:
        assert np.abs(result.values - result.values.T).max() > 1e-6
    low, high = method.bounds
    assert result.symmetric == method.symmetric
    assert result.values.min() >= low - 1e-12 and result.values.max() <= high + 1e-12


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_no_score(plain, change):
    name, result = plain
    if change not in methods.get(name).invariant_to:
        pytest.skip(f"{name} makes no such promise")
    moved = found(name, CHANGES[change])
    np.testing.assert_allclose(moved.values, result.values, atol=1e-8)


def test_the_order_of_probes(plain):
    name, result = plain
    if "permutation of probes" not in methods.get(name).invariant_to:
        pytest.skip(f"{name} makes no such promise")
    order = torch.from_numpy(np.random.default_rng(1).permutation(14))
    np.testing.assert_allclose(found(name, order=order).values, result.values, atol=1e-10)


def test_promises_are_not_empty():
    """Every change does change what makes no promise: the tests above can fail."""
    for change, moves in CHANGES.items():
        rest = [name for name in NAMES if change not in methods.get(name).invariant_to]
        if change == "scale":
            assert rest == []
            continue
        apart = [
            np.abs(found(name, moves).values - found(name).values).max()
            for name in rest
            if "gradients" not in methods.get(name).needs  # a shift has none
        ]
        assert apart and min(apart) > 1e-6, change
