"""Sketches against their reference, against exact inner products, and over the float range."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pyattrx import ops
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.ops import reference

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def draw(shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(scope="module")
def maps_of_strided_networks():
    """Unit maps [M, N, D] of strided convolutions, which have a period of their own."""
    image = draw((4, 3, 96, 96), seed=1).abs()
    rows = []
    for seed in range(6):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(3, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 8, 3, 2))
        x = image.clone().requires_grad_()
        (grad,) = torch.autograd.grad(network(x).flatten(1).mean(1).sum(), x)
        rows.append(ops.attribution_maps(grad, image))
    return torch.stack(rows)


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(0, 5),
    d=st.integers(0, 700),
    size=st.sampled_from([1, 2, 7, 63, 64, 65, 128, 100, 256, 700, 5000]),
    dtype=st.sampled_from(DTYPES),
    normalize=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
    first_probe=st.integers(0, 2**40),
    step=st.sampled_from([1, 2]),
    offset=st.integers(0, 3),
)
def test_native_equals_reference(n, d, size, dtype, normalize, seed, first_probe, step, offset):
    flat = draw((n * d * step + offset,), dtype)
    maps = flat[offset:].view(n, d * step)[:, ::step]
    got = ops.sketch(maps, size, seed, first_probe, normalize)
    expected = reference.sketch(maps, size, seed, first_probe, normalize)
    assert got.dtype == torch.float32
    # What a slot adds up, in float32, is at most all elements of all rows.
    scale = max(n * d / size, 1) ** 0.5 * (1 if not normalize else max(d, 1) ** -0.5)
    assert torch.allclose(got, expected, rtol=1e-6, atol=2e-6 * max(scale * 4, 1e-3))


def test_the_estimate_is_unbiased_and_as_sharp_as_the_theory(maps_of_strided_networks):
    maps = maps_of_strided_networks
    m, n, _ = maps.shape
    exact = ops.cosine_affinity(maps)
    apart = ~torch.eye(m, dtype=torch.bool)
    for size in (256, 1024):
        errors = []
        for seed in range(200):
            sketches = torch.stack([ops.sketch(rows, size, seed) for rows in maps]).double()
            errors.append(sketches @ sketches.T / n - exact)
        # A network with itself: the variance is (1 + cos^2) / size.
        own = torch.stack(errors)[:, ~apart]
        assert 1 < own.square().mean().sqrt() * size**0.5 < 1.5
        error = torch.stack(errors)[:, apart]
        assert error.square().mean().sqrt() * size**0.5 < 1.05
        # The mean of 200 errors, each of about 1 / sqrt(size).
        assert error.mean(0).abs().max() < 4 / (200 * size) ** 0.5


def test_elements_of_one_lap_never_meet():
    size = 640
    basis = torch.eye(size)
    slots = torch.stack([ops.sketch(row[None], size, seed=3) for row in basis])
    assert torch.equal(slots.abs().sum(0), torch.ones(size))
    assert torch.equal(slots.abs().sum(1), torch.ones(size))
    signs = slots.sum(1)
    assert 0.4 < (signs > 0).float().mean() < 0.6


def test_sketches_of_batches_add_up():
    maps = draw((40, 1000))
    whole = ops.sketch(maps, 256, seed=1)
    parts = ops.sketch(maps[:13], 256, seed=1) + ops.sketch(maps[13:], 256, 1, first_probe=13)
    assert torch.allclose(parts, whole, rtol=0, atol=1e-6)
    assert not torch.allclose(ops.sketch(maps[13:], 256, 1), ops.sketch(maps[13:], 256, 1, 13))
    assert not torch.allclose(ops.sketch(maps, 256, seed=2), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_maps_of_any_scale_have_the_sketch_of_their_unit_rows(dtype):
    maps = draw((3, 777), dtype)
    expected = ops.sketch(maps.double(), 64)
    exponents = (-300, -30, 30, 300) if dtype == torch.float64 else (-30, 30)
    for exponent in exponents:
        # Powers of two, so that nothing is rounded.
        scaled = torch.ldexp(maps, torch.tensor(int(exponent * 3.32)))
        assert torch.allclose(ops.sketch(scaled, 64), expected, rtol=0, atol=1e-6)
    unit = torch.nn.functional.normalize(maps.double(), dim=1)
    assert torch.allclose(ops.sketch(unit, 64, normalize=False), expected, rtol=0, atol=1e-6)


def test_denormal_rows_and_the_largest_doubles():
    for value in (5e-324, 1e-310, 1.7e308):
        maps = torch.full((1, 16), value, dtype=torch.float64)
        assert torch.allclose(ops.sketch(maps, 64).abs().sum(), torch.tensor(4.0))


def test_special_rows():
    maps = draw((3, 100))
    maps[1] = 0
    assert torch.allclose(
        ops.sketch(maps, 64), ops.sketch(maps[:1], 64) + ops.sketch(maps[2:], 64, 0, 2)
    )
    for bad in (float("nan"), float("inf")):
        maps[1, 5] = bad
        assert ops.sketch(maps, 64).isnan().all()
        assert reference.sketch(maps, 64, 0, 0, True).isnan().all()


@pytest.mark.parametrize(("n", "d"), [(0, 5), (3, 0), (0, 0)])
def test_nothing_to_sketch(n, d):
    assert torch.equal(ops.sketch(torch.ones(n, d), 8), torch.zeros(8))


def test_the_bits_do_not_depend_on_threads():
    maps = draw((37, 999))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(ops.sketch(maps, 128))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_cover_every_value(dtype):
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    finite = every[every.isfinite()]
    # In one lap every element has a slot of its own.
    slots = ops.sketch(finite[None], len(finite), normalize=False)
    assert torch.equal(slots.abs().sort().values, finite.float().abs().sort().values)


def test_the_operator_is_registered_correctly():
    checked = torch.library.opcheck(
        torch.ops.pyattrx.sketch.default, (torch.randn(3, 90), 16, 1, 2, True)
    )
    assert set(checked.values()) == {"SUCCESS"}


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([1.0],), InvalidTypeError, "maps"),
        ((torch.ones(3),), InvalidValueError, r"maps.shape=\(3,\)"),
        ((torch.ones(3, 2).long(),), InvalidValueError, "maps.dtype"),
        ((torch.ones(3, 2), 0), InvalidValueError, "size=0"),
        ((torch.ones(3, 2), 2**31), InvalidValueError, "size=2147483648"),
        ((torch.ones(3, 2), 8.0), InvalidTypeError, "size=8.0"),
        ((torch.ones(3, 2), 8, -1), InvalidValueError, "seed=-1"),
        ((torch.ones(3, 2), 8, 0, -2), InvalidValueError, "first_probe=-2"),
        ((torch.ones(3, 2), 8, 0, 0, 1), InvalidTypeError, "normalize=1"),
    ],
)
def test_bad_arguments_are_named(arguments, kind, message):
    with pytest.raises(kind, match=message):
        ops.sketch(*arguments)
