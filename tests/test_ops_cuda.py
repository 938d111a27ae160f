"""The CUDA ops against float64 oracles computed on the CPU, over dtypes, layouts and sizes.

The sizes sit on both sides of what the kernels divide their work by: micros of 8 and panels of 24
networks, blocks of 120 and 72, chunks of 16 to 64 and segments of 1024 elements, 16-byte loads,
rows that fit shared memory, 4096 slots and 65536 elements of a sketch.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from emulated import DEVICE, EMULATED, cuda_ops, sized
from pyattrx import ops
from pyattrx.ops.kernels import Kernels
from pyattrx.ops.native import core

pytestmark = (
    []
    if EMULATED
    else [
        pytest.mark.gpu,
        pytest.mark.skipif(core is None or not core.with_cuda, reason="built without CUDA"),
    ]
)

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
ON_CPU = None if core is None else Kernels(core.cpu, on_gpu=False)
METHODS = ["grad_x_input", "saliency", "identity"]
REDUCTIONS = ["mean", "abs_mean", "none"]
# Rows of several chunks, or longer than what waits in shared memory.
LARGE = (1, 3, sized(224, emulated=104), sized(224, emulated=112))
SHAPES = [(1, 1, 1, 1), (2, 3, 7, 33), (2, 5, 97, 1), (2, 3, 8, 8), (2, 4, 9, 16), LARGE]
LAYOUTS = ["contiguous", "channels_last", "padded", "strided", "expanded"]


@pytest.fixture(autouse=True)
def _cuda_ops():
    with cuda_ops():
        yield


def draw(shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def on_device(values, layout="contiguous"):
    """The values on the GPU; [..., H, W] in a layout that the kernels must read in place."""
    values = values.to(DEVICE)
    if layout == "channels_last":
        return values.movedim(-3, -1).contiguous().movedim(-1, -3)
    if layout == "padded":  # rows of elements that start where 16-byte loads cannot
        wide = torch.full((values.numel() + 1,), float("nan"), dtype=values.dtype, device=DEVICE)
        wide[1:] = values.flatten()
        return wide[1:].view(values.shape)
    if layout == "strided":
        return values.repeat_interleave(2, dim=-1)[..., ::2]
    if layout == "expanded":
        return values[..., :1, :, :].expand(values.shape)
    return values


def oracle_maps(grad, image, method, reduce, normalize):
    maps = grad.double().cpu()
    if method == "grad_x_input":
        maps = maps * image.double().cpu()
    elif method == "saliency":
        maps = maps.abs()
    if reduce != "none":
        maps = (maps.abs() if reduce == "abs_mean" else maps).mean(1)
    rows = maps.flatten(1)
    if not normalize:
        return rows
    norm = rows.norm(dim=1, keepdim=True)
    return rows / torch.where(norm == 0, 1.0, norm)


def oracle_cosines(left, right):
    """[N, M, K] from finite maps; rows are scaled first, so that no square leaves the range."""

    def units(maps):
        rows = maps.detach().double().cpu()
        largest = rows.abs().amax(-1, keepdim=True)
        rows = rows / torch.where(largest == 0, 1.0, largest)
        norm = rows.norm(dim=-1, keepdim=True)
        return rows / torch.where(norm == 0, 1.0, norm)

    return torch.einsum("ind,jnd->nij", units(left), units(right))


def largest_difference(result, expected):
    assert result.shape == expected.shape
    return (result.double().cpu() - expected).abs().max().item()


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_maps_match_the_definition(dtype, method, reduce):
    tolerance = 1e-14 if dtype == torch.float64 else 2e-6
    for shape, layout, normalize in itertools.product(SHAPES, LAYOUTS, (True, False)):
        grad = on_device(draw(shape, dtype, 1), layout)
        image = on_device(draw(shape, dtype, 2))
        maps = ops.attribution_maps(grad, image, method, reduce, normalize)
        expected = oracle_maps(grad, image, method, reduce, normalize)
        assert maps.device.type == DEVICE
        assert maps.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        scale = max(expected.abs().max().item(), 1.0)
        assert largest_difference(maps, expected) <= tolerance * scale, (shape, layout, normalize)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_map_elements_are_those_of_the_cpu_to_the_bit(dtype, reduce):
    for shape, layout in itertools.product(SHAPES, ["contiguous", "channels_last", "padded"]):
        grad, image = draw(shape, dtype, 3), draw(shape, dtype, 4)
        maps = ops.attribution_maps(
            on_device(grad, layout), on_device(image), reduce=reduce, normalize=False
        )
        expected = ON_CPU.attribution_maps(grad, image, "grad_x_input", reduce, False)
        assert torch.equal(maps.cpu(), expected), (shape, layout)


def test_norms_do_not_depend_on_the_layout():
    grad, image = draw((3, 3, 40, 52), torch.float32, 5), draw((3, 3, 40, 52), torch.float32, 6)
    expected = ops.attribution_maps(on_device(grad), on_device(image))
    for layout in ("channels_last", "padded", "strided"):
        maps = ops.attribution_maps(on_device(grad, layout), on_device(image, layout))
        assert torch.equal(maps, expected), layout


@pytest.mark.parametrize(
    ("dtype", "exponent"),
    [(torch.float32, e) for e in (-44, -30, 30)] + [(torch.float64, e) for e in (-300, -200, 200)],
)
def test_rows_are_unit_whatever_their_scale(dtype, exponent):
    grad = on_device((draw((2, 3, 16, 16)) * 10.0**exponent).to(dtype))
    maps = ops.attribution_maps(grad, None, "saliency")
    norms = maps.double().norm(dim=1).cpu()
    assert torch.allclose(norms, torch.ones(2, dtype=torch.float64), atol=1e-6)


def test_zero_rows_stay_zero_and_bad_values_stay_bad():
    grad = draw((4, 3, 5, 5), torch.float32)
    grad[1] = 0
    grad[2, 1, 2, 2] = float("nan")
    grad[3, 1, 2, 2] = float("inf")
    maps = ops.attribution_maps(on_device(grad), None, "identity").cpu()
    assert maps[0].isfinite().all()
    assert not maps[1].any()
    assert maps[2].isnan().all()
    expected = torch.zeros(25)
    expected[12] = float("nan")  # Inf over a norm of Inf
    assert torch.equal(maps[3].isnan(), expected.isnan())
    assert not maps[3].nan_to_num().any()


@pytest.mark.parametrize("networks", [1, 2, 7, 8, 9, 16, 17, 24, 25, 48, 49, 97, 120, 121, 200])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cosines_match_the_oracle(dtype, networks):
    for d in (1, 7, 63, 64, 65, 136) if networks < 100 else (7, 72):
        maps = on_device(draw((networks, 3, d), dtype, d))
        cosines = ops.probe_cosines(maps)
        assert cosines.dtype == torch.float64
        assert largest_difference(cosines, oracle_cosines(maps, maps)) < 1e-14, d
        assert torch.equal(cosines, cosines.mT)
        assert torch.equal(cosines.diagonal(dim1=1, dim2=2), torch.ones_like(cosines[:, 0]))


@pytest.mark.parametrize("d", [1023, 1024, 1025, 4097, 50176, 70001])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cosines_of_long_maps_match_the_oracle(dtype, d):
    maps = on_device(draw((5, 2, d), dtype, d))
    assert largest_difference(ops.probe_cosines(maps), oracle_cosines(maps, maps)) < 1e-13


@pytest.mark.parametrize(
    "sizes", [(1, 1), (1, 100), (100, 1), (5, 3), (24, 12), (25, 13), (40, 60), (73, 80)]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cosines_of_two_sets_match_the_oracle(dtype, sizes):
    for d in (9, 64, 2500):
        left = on_device(draw((sizes[0], 2, d), dtype, 7))
        right = on_device(draw((sizes[1], 2, d), dtype, 8))
        cosines = ops.probe_cosines(left, right)
        assert largest_difference(cosines, oracle_cosines(left, right)) < 1e-13, d


@pytest.mark.parametrize(
    ("dtype", "exponents"),
    [
        (torch.float32, (-30, -20, -12, 0, 12, 30)),
        (torch.float64, (-300, -200, -100, 0, 200, 300)),
    ],
)
def test_scales_of_networks_may_differ_by_any_amount(dtype, exponents):
    factors = torch.tensor([10.0**e for e in exponents], dtype=torch.float64)
    maps = on_device((draw((6, 4, 3000)) * factors[:, None, None]).to(dtype))
    expected = oracle_cosines(maps, maps)
    assert largest_difference(ops.probe_cosines(maps), expected) < 1e-13
    assert largest_difference(ops.cosine_affinity(maps), expected.mean(0)) < 1e-13


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [7, 2500, sized(70_000, emulated=9000)])
def test_the_bits_of_a_pair_do_not_depend_on_its_company(dtype, d):
    probes = sized(9, emulated=3)
    maps = on_device(draw((30, probes, d), dtype, d))
    full = ops.probe_cosines(maps)
    assert torch.equal(ops.probe_cosines(maps), full)

    order = torch.randperm(30, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    assert torch.equal(ops.probe_cosines(maps[order]), full[:, order][:, :, order])
    assert torch.equal(ops.probe_cosines(maps[[20, 3]]), full[:, [20, 3]][:, :, [20, 3]])
    assert torch.equal(ops.probe_cosines(maps[4:5], maps)[:, 0], full[:, 4])

    assert torch.equal(ops.probe_cosines(maps[:, 2:3])[0], full[2])
    if d > 3000:
        return
    # So many probes that blocks walk all segments themselves.
    repeats = sized(500, emulated=120)
    many = maps[:3].repeat(1, repeats, 1)
    assert torch.equal(ops.probe_cosines(many), full[:, :3, :3].repeat(repeats, 1, 1))


def test_bits_do_not_depend_on_alignment_or_on_the_order_of_dimensions():
    maps = on_device(draw((6, 5, 128), torch.float32))
    expected = ops.probe_cosines(maps)
    padded = torch.full((6, 5, 131), float("nan"), device=DEVICE)
    padded[..., 1:129] = maps
    assert torch.equal(ops.probe_cosines(padded[..., 1:129]), expected)
    probes_first = maps.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(ops.probe_cosines(probes_first), expected)
    assert torch.equal(
        ops.probe_cosines(maps[:1].expand(3, 5, 128)), torch.ones_like(expected)[:, :3, :3]
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("networks", [5, 40])
def test_zero_nan_and_infinite_maps(dtype, networks):
    maps = draw((networks, 2, 70), dtype)
    maps[1, 0] = 0
    maps[2, 0, 69] = float("nan")
    maps[3, 0, 0] = float("-inf")
    maps = on_device(maps)
    bad = torch.zeros(networks, dtype=torch.bool)
    bad[2:4] = True
    for cosines in (ops.probe_cosines(maps).cpu(), ops.probe_cosines(maps, maps).cpu()):
        assert torch.equal(cosines[0].isnan(), bad[:, None] | bad[None, :])
        assert not cosines[0, 1, ~bad].any()
        assert not cosines[0, ~bad, 1].any()
        assert cosines[0, 0, 0] == pytest.approx(1.0, abs=1e-15)
        assert cosines[1].isfinite().all()


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_affinity_has_the_bits_of_its_two_steps(dtype, method, reduce):
    for shape, layout, shared in itertools.product(
        [(5, 2, 3, 8, 8), (3, 2, 1, 3, 3), (26, 2, 2, 3, 11), (3, 1, 3, 50, 60)],
        ["contiguous", "channels_last", "padded"],
        [True, False],
    ):
        grads = on_device(draw(shape, dtype, 1), layout)
        inputs = on_device(draw(shape, dtype, 2))
        image = inputs[0] if shared else inputs
        maps = torch.stack(
            [
                ops.attribution_maps(g, image if shared else x, method, reduce, normalize=False)
                for g, x in zip(grads, inputs, strict=True)
            ]
        )
        fused = ops.fused_affinity(grads, image, method, reduce)
        assert torch.equal(fused, ops.cosine_affinity(maps)), (shape, layout, shared)
        assert largest_difference(fused, oracle_cosines(maps, maps).mean(0)) < 1e-13


def test_threads_of_the_host_do_not_disturb_one_another():
    # Sizes that want different amounts of shared memory, of which a kernel must ask for more.
    grads = [on_device(draw((1, 1, 1, size), torch.float32)) for size in (11000, 14000, 20000)]
    maps = [on_device(draw((m, 1, 64), torch.float32)) for m in (100, 130)]
    calls = [
        *(partial(ops.attribution_maps, grad, None, "identity") for grad in grads),
        *(partial(ops.probe_cosines, some) for some in maps),
    ]
    expected = [call() for call in calls]

    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda call: call(), calls * 80)
        for result, wanted in zip(results, expected * 80, strict=True):
            assert torch.equal(result, wanted)


def test_more_rows_than_a_grid_dimension_of_65535():
    n = sized(70_000, emulated=66_000)
    maps = on_device(draw((2, n, 3), torch.float32))
    assert largest_difference(ops.probe_cosines(maps), oracle_cosines(maps, maps)) < 1e-14
    grad = on_device(draw((n, 1, 1, 2), torch.float32))
    expected = oracle_maps(grad, None, "identity", "mean", True)
    assert largest_difference(ops.attribution_maps(grad, None, "identity"), expected) < 1e-6


def test_empty_sizes():
    def empty(*shape):
        return torch.empty(shape, device=DEVICE)

    assert ops.probe_cosines(empty(0, 2, 5)).shape == (2, 0, 0)
    assert ops.probe_cosines(empty(2, 0, 5)).shape == (0, 2, 2)
    assert ops.probe_cosines(empty(2, 3, 5), empty(0, 3, 5)).shape == (3, 2, 0)
    assert torch.equal(
        ops.probe_cosines(empty(2, 3, 0)).cpu(), torch.zeros(3, 2, 2, dtype=torch.float64)
    )
    assert ops.attribution_maps(empty(0, 3, 4, 4), empty(0, 3, 4, 4)).shape == (0, 16)
    assert ops.attribution_maps(empty(2, 3, 0, 4), empty(2, 3, 0, 4)).shape == (2, 0)
    torch.cuda.synchronize()


@pytest.mark.skipif(EMULATED, reason="an emulated device works at once")
def test_work_is_queued_on_the_current_stream():
    maps = draw((4, 8, 50176), torch.float32)
    expected = ops.probe_cosines(on_device(maps))
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        # The kernels see the copy only if they wait for what was queued before them.
        late = torch.zeros(maps.shape, device=DEVICE)
        torch.cuda._sleep(50_000_000)
        late.copy_(on_device(maps))
        cosines = ops.probe_cosines(late)
    stream.synchronize()
    assert torch.equal(cosines, expected)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n", "d", "size"),
    [
        (1, 1, 1),
        (3, 700, 64),
        (5, 9001, 1000),
        (2, 97, 4096),
        (2, 300, 4097),
        (600, 30, 64),
        (1, 140_000, 4096),
        (1, 3000, 1),
    ],
)
def test_sketches_are_those_of_the_cpu(dtype, n, d, size, normalize):
    maps = draw((n, d), dtype)
    expected = ON_CPU.sketch(maps, size, 7, 11, normalize)
    got = ops.sketch(on_device(maps), size, 7, 11, normalize)
    scale = float(expected.abs().max())
    assert float((got.cpu() - expected).abs().max()) <= 4e-6 * max(scale, 1e-30)


def test_sketches_of_special_rows():
    maps = draw((4, 300), torch.float64)
    maps[1] = 0
    maps[2] *= 1e-310
    expected = ON_CPU.sketch(maps, 64, 0, 0, True)
    assert largest_difference(ops.sketch(on_device(maps), 64), expected) < 2e-6
    maps[3, 7] = float("inf")
    assert ops.sketch(on_device(maps), 64).isnan().all()
    assert torch.equal(ops.sketch(on_device(maps[:0]), 8).cpu(), torch.zeros(8))


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_chosen_places_are_those_of_the_whole_map(dtype, reduce):
    grad, image = (on_device(draw((3, 3, 40, 41), dtype, seed)) for seed in (0, 1))
    whole = ops.attribution_maps(grad, image, reduce=reduce, normalize=False)
    places = torch.arange(2, whole.shape[1], 5)
    got = ops.attribution_maps(grad, image, reduce=reduce, normalize=False, places=places)
    assert torch.equal(got, whole[:, places.to(DEVICE)])
    unit = ops.attribution_maps(grad, image, reduce=reduce, places=places)
    assert largest_difference(unit.double().norm(dim=1), torch.ones(3)) < 1e-6
