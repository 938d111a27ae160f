"""The native ops against float64 oracles, over dtypes, layouts, sizes and the whole float range."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pyattrx
from pyattrx import ops
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.ops import reference
from pyattrx.ops.native import core

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
METHODS = ["grad_x_input", "elrp", "saliency", "identity"]
REDUCTIONS = ["mean", "abs_mean", "none"]
SHAPES = [(1, 1, 1, 1), (2, 3, 7, 33), (3, 1, 1, 97), (2, 5, 97, 1), (1, 3, 64, 65), (2, 4, 8, 8)]
LAYOUTS = ["contiguous", "channels_last", "transposed", "strided", "expanded"]


def draw(shape, dtype, layout="contiguous", seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    if layout == "channels_last":
        return values.contiguous(memory_format=torch.channels_last)
    if layout == "transposed":
        return values.transpose(2, 3).contiguous().transpose(2, 3)
    if layout == "strided":
        wide = values.repeat_interleave(2, dim=3)
        return wide[..., ::2]
    if layout == "expanded":
        return values[:1].expand(shape)
    return values


def oracle_maps(grad, image, method, reduce, normalize):
    """The definition, in NumPy and float64."""
    a = grad.double().numpy()
    if method in ("grad_x_input", "elrp"):
        a = a * image.double().numpy()
    elif method == "saliency":
        a = np.abs(a)
    if reduce == "mean":
        a = a.mean(1)
    elif reduce == "abs_mean":
        a = np.abs(a).mean(1)
    rows = a.reshape(len(a), -1)
    if normalize:
        norm = np.sqrt((rows**2).sum(1, keepdims=True))
        rows = rows / np.where(norm == 0, 1, norm)
    return torch.from_numpy(rows)


def oracle_cosines(left, right):
    """Cosines by the published script's formula, pair by pair, in long double."""
    a = left.double().numpy().astype(np.longdouble)
    b = right.double().numpy().astype(np.longdouble)
    out = np.zeros((a.shape[1], len(a), len(b)))
    for k in range(a.shape[1]):
        for i in range(len(a)):
            for j in range(len(b)):
                norms = np.sqrt(a[i, k] @ a[i, k]) * np.sqrt(b[j, k] @ b[j, k])
                out[k, i, j] = (a[i, k] @ b[j, k]) / norms if norms > 0 else 0
    return torch.from_numpy(out)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_maps_match_the_definition(dtype, method, reduce):
    tolerance = 1e-14 if dtype == torch.float64 else 2e-6
    for seed, shape in enumerate(SHAPES):
        for layout in LAYOUTS:
            grad, image = draw(shape, dtype, layout, seed), draw(shape, dtype, layout, seed + 99)
            for normalize in (True, False):
                maps = ops.attribution_maps(grad, image, method, reduce, normalize)
                expected = oracle_maps(grad, image, method, reduce, normalize)
                assert maps.shape == expected.shape
                assert maps.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
                assert maps.is_contiguous()
                scale = expected.abs().max().clamp(min=1.0)
                assert (maps - expected).abs().max() <= tolerance * scale, (shape, layout)


def test_gradient_and_input_may_differ_in_layout():
    grad, image = (
        draw((2, 3, 9, 11), torch.float32, "channels_last"),
        draw((2, 3, 9, 11), torch.float32),
    )
    assert torch.equal(
        ops.attribution_maps(grad, image), ops.attribution_maps(grad.contiguous(), image)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exponent", [-42, -30, -12, 0, 12, 30, 37])
def test_rows_are_unit_whatever_their_scale(dtype, exponent):
    grad = draw((2, 3, 16, 16), torch.float64) * 10.0**exponent
    maps = ops.attribution_maps(grad.to(dtype), None, "saliency")
    expected = oracle_maps(grad.to(dtype), None, "saliency", "mean", True)
    # Below 1e-38 a float32 map has only a few bits left before it is normalized.
    tolerance = 1e-14 if dtype == torch.float64 else (1e-6 if exponent > -38 else 0.05)
    assert (maps - expected).abs().max() < tolerance
    assert maps.double().norm(dim=1) == pytest.approx([1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("exponent", [-320, -300, -200, 200, 300])
def test_float64_rows_beyond_the_range_of_their_squares(exponent):
    grad = draw((2, 1, 8, 8), torch.float64) * 10.0**exponent
    scaled = grad / 10.0**exponent if exponent > -308 else grad * 1e300 * 1e20
    maps = ops.attribution_maps(grad, None, "identity")
    expected = oracle_maps(scaled, None, "identity", "mean", True)
    assert (maps - expected).abs().max() < (1e-14 if exponent > -308 else 1e-3)


def test_float64_rows_whose_norm_overflows():
    grad = torch.full((1, 1, 2, 2), 1.7e308, dtype=torch.float64)
    maps = ops.attribution_maps(grad, None, "identity")
    assert torch.allclose(maps, torch.full((1, 4), 0.5, dtype=torch.float64), rtol=1e-15)


def test_zero_rows_stay_zero_and_bad_values_stay_bad():
    grad = draw((4, 3, 5, 5), torch.float32)
    grad[1] = 0
    grad[2, 1, 2, 2] = float("nan")
    grad[3, 1, 2, 2] = float("inf")
    maps = ops.attribution_maps(grad, None, "identity")
    assert torch.equal(maps[1], torch.zeros(25))
    assert maps[0].isfinite().all()
    assert maps[2].isnan().all()
    assert not maps[3].isfinite().all()


def test_a_product_that_overflows_is_infinite():
    grad, image = torch.full((1, 3, 2, 2), 1e30), torch.full((1, 3, 2, 2), 1e30)
    assert ops.attribution_maps(grad, image, normalize=False).isinf().all()


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0)])
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_empty_maps(shape, reduce):
    maps = ops.attribution_maps(torch.ones(shape), torch.ones(shape), reduce=reduce)
    size = (3 if reduce == "none" else 1) * shape[2] * shape[3]
    assert maps.shape == (shape[0], size)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_chosen_places_are_those_of_the_whole_map(dtype, reduce, layout):
    for shape in [(2, 3, 64, 65), (1, 1, 1, 1), (3, 2, 5, 1)]:
        grad, image = draw(shape, dtype, layout), draw(shape, dtype, layout, seed=1)
        whole = ops.attribution_maps(grad, image, reduce=reduce, normalize=False)
        size = whole.shape[1]
        generator = torch.Generator().manual_seed(2)
        for count in {0, 1, size // 3, size}:
            places = torch.randperm(size, generator=generator)[:count].sort().values
            for normalize in (False, True):
                got = ops.attribution_maps(grad, image, "elrp", reduce, normalize, places)
                assert got.shape == (shape[0], count)
                if not normalize:
                    assert torch.equal(got, whole[:, places])
                expected = reference.attribution_maps(
                    grad, image, "elrp", reduce, normalize, places
                )
                assert torch.allclose(got, expected, rtol=1e-6, atol=1e-7)


SCALES = [1e-30, 1e-20, 1e-12, 1.0, 1e12, 1e30]


@pytest.mark.parametrize("d", [1, 7, 33, 97, 255, 256, 257, 50176])
def test_affinity_is_exact_for_networks_of_any_scale(d):
    generator = torch.Generator().manual_seed(d)
    base = torch.randn(6, 2, d, generator=generator) + 0.5 * torch.randn(2, d, generator=generator)
    maps = base * torch.tensor(SCALES)[:, None, None]
    expected = oracle_cosines(maps, maps).mean(0)
    assert (ops.cosine_affinity(maps) - expected).abs().max() < 1e-12
    assert (ops.cosine_affinity(maps.double()) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("exponents", [(-200, 0, 200), (-305, -160, 305), (-323, 0, 308)])
def test_affinity_of_float64_over_its_whole_range(exponents):
    base = draw((3, 2, 1, 65), torch.float64).flatten(2).sign()  # +-1: exact at any power of ten
    factors = torch.tensor([float(f"1e{e}") for e in exponents], dtype=torch.float64)
    maps = base * factors[:, None, None]
    assert maps.isfinite().all() and (maps != 0).all()
    assert (ops.cosine_affinity(maps) - oracle_cosines(base, base).mean(0)).abs().max() < 1e-14


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("m", "k", "n", "d"),
    [(1, 1, 1, 1), (7, 3, 2, 33), (33, 40, 2, 97), (70, 2, 1, 300), (4, 5, 3, 257), (2, 65, 1, 8)],
)
def test_cosines_of_two_sets(dtype, m, k, n, d):
    left, right = draw((m, n, 1, d), dtype).flatten(2), draw((k, n, 1, d), dtype, seed=1).flatten(2)
    cross = ops.probe_cosines(left, right)
    assert (cross - oracle_cosines(left, right)).abs().max() < 1e-13
    own = ops.probe_cosines(left)
    assert (own - oracle_cosines(left, left)).abs().max() < 1e-13
    assert torch.equal(own, own.transpose(1, 2))
    assert torch.equal(own.diagonal(dim1=1, dim2=2), torch.ones(n, m, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 40),
    k=st.integers(1, 40),
    n=st.integers(1, 4),
    d=st.integers(1, 600),
    dtype=st.sampled_from(DTYPES),
    step=st.sampled_from([1, 2]),
    offset=st.integers(0, 3),
)
def test_native_equals_reference_for_any_shape_stride_and_alignment(
    m, k, n, d, dtype, step, offset
):
    def rows(count, seed):
        flat = draw((1, 1, 1, count * n * d * step + offset), dtype, seed=seed).flatten()
        return flat[offset:].view(count, n, d * step)[..., ::step].transpose(0, 1).transpose(0, 1)

    left, right = rows(m, 0), rows(k, 1)
    cross = ops.probe_cosines(left, right)
    assert (cross - reference.probe_cosines(left, right)).abs().max() < 1e-13
    assert (ops.probe_cosines(left) - reference.probe_cosines(left, None)).abs().max() < 1e-13


def test_the_bits_of_a_pair_do_not_depend_on_the_company():
    maps = draw((40, 5, 1, 700), torch.float32).flatten(2)
    cosines = ops.probe_cosines(maps)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    assert torch.equal(ops.probe_cosines(maps[order]), cosines[:, order][:, :, order])
    for few in ([0, 39], [5, 6, 7], [38, 2]):
        assert torch.equal(ops.probe_cosines(maps[few]), cosines[:, few][:, :, few])
    assert torch.equal(ops.probe_cosines(maps[:, 2:3])[0], cosines[2])
    assert torch.equal(ops.probe_cosines(maps[:3], maps), cosines[:, :3])


def test_the_bits_do_not_depend_on_threads():
    maps, grad = (
        draw((35, 4, 1, 500), torch.float32).flatten(2),
        draw((5, 3, 30, 30), torch.float32),
    )
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 7):
            torch.set_num_threads(count)
            results.append((ops.cosine_affinity(maps), ops.attribution_maps(grad, grad)))
    finally:
        torch.set_num_threads(threads)
    for affinity, made in results[1:]:
        assert torch.equal(affinity, results[0][0])
        assert torch.equal(made, results[0][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("m", "d"), [(130, 700), (520, 257)])
def test_the_bits_of_a_pair_do_not_depend_on_how_many_networks_are_blocked(m, d, dtype):
    # Blocks, strips, rows read in place and rows packed by their own tile, on one and two threads.
    maps = draw((m, 1, 1, d), dtype).flatten(2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        cosines = ops.probe_cosines(maps)
        torch.set_num_threads(7)
        assert torch.equal(ops.probe_cosines(maps), cosines)
        assert torch.equal(ops.probe_cosines(maps[:70], maps), cosines[:, :70])
        for few in (range(44, 53), range(60, 80), range(m - 60, m), [0, 63, 64, m - 1]):
            chosen = list(few)
            assert torch.equal(ops.probe_cosines(maps[chosen]), cosines[:, chosen][:, :, chosen])
    finally:
        torch.set_num_threads(threads)
    some = [0, 47, 48, 63, 64, 127, m - 1]
    expected = oracle_cosines(maps[some], maps[some])
    assert (cosines[:, some][:, :, some] - expected).abs().max() < 1e-13


def test_special_rows():
    maps = draw((5, 1, 1, 40), torch.float32).flatten(2)
    maps[1] = 0
    maps[2, 0, 3] = float("nan")
    maps[3, 0, 3] = float("inf")
    cosines = ops.probe_cosines(maps)[0]
    for bad in (2, 3):
        assert cosines[bad].isnan().all()
        assert cosines[:, bad].isnan().all()
    good = [0, 1, 4]
    assert cosines[good][:, good].isfinite().all()
    assert torch.equal(cosines[1, good], torch.zeros(3, dtype=torch.float64))
    assert torch.equal(cosines.isnan(), reference.probe_cosines(maps, None)[0].isnan())


def test_one_hot_rows_are_orthogonal_and_opposite_rows_are_minus_one():
    eye = torch.eye(4)[:, None]
    assert torch.equal(ops.cosine_affinity(eye), torch.eye(4, dtype=torch.float64))
    pair = torch.stack([eye[0], -3e-20 * eye[0]])
    assert ops.cosine_affinity(pair)[0, 1] == -1.0


@pytest.mark.parametrize(("m", "n", "d"), [(0, 2, 3), (2, 0, 3), (2, 2, 0), (0, 0, 0)])
def test_empty_cosines(m, n, d):
    cosines = ops.probe_cosines(torch.ones(m, n, d))
    assert torch.equal(cosines, torch.zeros(n, m, m, dtype=torch.float64))


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_is_the_two_ops_to_the_bit(dtype, method, reduce):
    for shape in [(2, 3, 7, 33), (1, 1, 1, 1), (3, 4, 20, 20)]:
        for layout in ("contiguous", "channels_last", "strided"):
            grads = torch.stack([draw(shape, dtype, seed=s) for s in range(5)])
            if layout == "channels_last":
                n, c, h, w = shape
                grads = grads.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
            shared = draw(shape, dtype, layout, seed=9)
            own = torch.stack([draw(shape, dtype, layout, seed=10 + s) for s in range(5)])
            for image in (shared, own):
                per_network = image if image.dim() == 5 else image.expand(5, *shape)
                maps = torch.stack(
                    [
                        ops.attribution_maps(g, x, method, reduce, normalize=False)
                        for g, x in zip(grads, per_network, strict=True)
                    ]
                )
                fused = ops.fused_affinity(grads, image, method, reduce)
                assert torch.equal(fused, ops.cosine_affinity(maps))
            if method in ("saliency", "identity"):
                assert torch.equal(ops.fused_affinity(grads, None, method, reduce), fused)


def test_mean_over_blocks_of_probes_is_the_mean(monkeypatch):
    maps = draw((6, 11, 1, 50), torch.float32).flatten(2)
    whole = ops.cosine_affinity(maps)
    monkeypatch.setattr("pyattrx.ops.library._BLOCK_BYTES", 8 * 36 * 4)
    assert torch.allclose(ops.cosine_affinity(maps), whole, rtol=0, atol=1e-15)


OPERATORS = {
    "attribution_maps": lambda: (
        torch.randn(2, 3, 5, 7),
        torch.randn(2, 3, 5, 7),
        "grad_x_input",
        "mean",
        True,
        torch.tensor([0, 3, 34]),
    ),
    "probe_cosines": lambda: (torch.randn(3, 2, 9), torch.randn(4, 2, 9)),
    "cosine_affinity": lambda: (torch.randn(3, 2, 9),),
    "fused_probe_cosines": lambda: (
        torch.randn(3, 2, 3, 5, 7),
        torch.randn(2, 3, 5, 7),
        "saliency",
        "none",
    ),
    "fused_affinity": lambda: (
        torch.randn(3, 2, 3, 5, 7),
        torch.randn(3, 2, 3, 5, 7),
        "grad_x_input",
        "abs_mean",
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_registered_correctly(name):
    operator = getattr(torch.ops.pyattrx, name).default
    checked = torch.library.opcheck(operator, OPERATORS[name]())
    assert set(checked.values()) == {"SUCCESS"}


def test_public_functions_compile_without_graph_breaks():
    def pipeline(grads, image):
        maps = torch.stack([ops.attribution_maps(g, image) for g in grads])
        return ops.cosine_affinity(maps), ops.probe_cosines(maps), ops.fused_affinity(grads, image)

    grads, image = torch.randn(3, 2, 3, 6, 6), torch.randn(2, 3, 6, 6)
    compiled = torch.compile(pipeline, fullgraph=True, backend="aot_eager")
    for got, expected in zip(compiled(grads, image), pipeline(grads, image), strict=True):
        assert torch.equal(got, expected)


def test_gradients_are_not_tracked():
    grad = torch.randn(2, 3, 4, 4, requires_grad=True)
    assert not ops.attribution_maps(grad, grad).requires_grad
    assert not ops.cosine_affinity(torch.randn(2, 2, 4, requires_grad=True)).requires_grad


def at_places(places):
    return ops.attribution_maps(torch.ones(1, 3, 2, 2), None, "saliency", places=places)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: ops.attribution_maps([1.0]), InvalidTypeError, "grad"),
        (lambda: ops.attribution_maps(torch.ones(3, 4)), InvalidValueError, r"\[N, C, H, W\]"),
        (lambda: ops.attribution_maps(torch.ones(1, 3, 2, 2)), InvalidValueError, "input=None"),
        (
            lambda: ops.attribution_maps(torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 3)),
            InvalidValueError,
            r"input.shape=\(1, 3, 2, 3\)",
        ),
        (
            lambda: ops.attribution_maps(torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 2).double()),
            InvalidValueError,
            "input.dtype",
        ),
        (
            lambda: ops.attribution_maps(torch.ones(1, 3, 2, 2).long(), None, "saliency"),
            InvalidValueError,
            "grad.dtype",
        ),
        (
            lambda: ops.attribution_maps(torch.ones(1, 0, 2, 2), None, "saliency"),
            InvalidValueError,
            "at least one channel",
        ),
        (
            lambda: ops.attribution_maps(torch.ones(1, 3, 2, 2), None, "gradcam"),
            InvalidValueError,
            "method='gradcam'",
        ),
        (
            lambda: ops.attribution_maps(torch.ones(1, 3, 2, 2), None, "saliency", "max"),
            InvalidValueError,
            "reduce='max'",
        ),
        (
            lambda: ops.attribution_maps(torch.ones(1, 3, 2, 2), None, "saliency", normalize="no"),
            InvalidTypeError,
            "normalize='no'",
        ),
        (lambda: at_places([1]), InvalidTypeError, r"places=\[1\]"),
        (lambda: at_places(torch.tensor([1.0])), InvalidValueError, "places=.*float32"),
        (lambda: at_places(torch.tensor([[1]])), InvalidValueError, r"places=.*\(1, 1\)"),
        (lambda: at_places(torch.tensor([0, 4])), InvalidValueError, "places='0 to 4'.*0 to 3"),
        (lambda: at_places(torch.tensor([-1, 2])), InvalidValueError, "places='-1 to 2'"),
        (lambda: at_places(torch.tensor([2, 1])), InvalidValueError, "places=.*rising"),
        (lambda: at_places(torch.tensor([1, 1])), InvalidValueError, "places=.*rising"),
        (lambda: ops.probe_cosines(torch.ones(2, 3)), InvalidValueError, r"maps.shape=\(2, 3\)"),
        (
            lambda: ops.probe_cosines(torch.ones(2, 3, 4), torch.ones(2, 3, 5)),
            InvalidValueError,
            "other.shape",
        ),
        (lambda: ops.probe_cosines(torch.ones(2, 3, 4), "x"), InvalidTypeError, "other"),
        (lambda: ops.cosine_affinity(torch.ones(2, 0, 4)), InvalidValueError, "at least one probe"),
        (
            lambda: ops.cosine_affinity(torch.ones(2, 3, 4).to_sparse()),
            InvalidValueError,
            "maps.layout",
        ),
        (
            lambda: ops.fused_affinity(torch.ones(2, 1, 3, 2, 2), torch.ones(1, 3, 2, 3)),
            InvalidValueError,
            "input.shape",
        ),
        (lambda: ops.fused_affinity(torch.ones(2, 1, 3, 2, 2)), InvalidValueError, "input=None"),
        (
            lambda: ops.probe_cosines(torch.ones(2, 3, 4), torch.ones(2, 3, 4, device="meta")),
            InvalidValueError,
            "other.device",
        ),
    ],
)
def test_bad_arguments_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_errors_are_value_and_type_errors_too():
    assert issubclass(InvalidValueError, ValueError)
    assert issubclass(InvalidTypeError, TypeError)
    assert issubclass(InvalidValueError, pyattrx.PyattrxError)


def in_subprocess(code, folder, **environment):
    """Run code elsewhere: in the repository it would import the sources, not what is installed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_native_module_loads_neither_torch_nor_a_driver(tmp_path):
    path = importlib.util.find_spec("pyattrx._core").origin
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("_core", {path!r})
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
assert "torch" not in sys.modules
assert "libtorch" not in open("/proc/self/maps").read()
print(core.cpu.instruction_set(), core.cuda.device_count() if core.with_cuda else 0)
"""
    name, devices = in_subprocess(code, tmp_path, CUDA_VISIBLE_DEVICES="").split()
    assert name in ("avx512", "avx2", "base")
    assert devices == "0"


@pytest.mark.parametrize("isa", ["base", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_numbers(isa, tmp_path):
    order = ["base", "avx2", "avx512"]
    if order.index(isa) > order.index(core.cpu.instruction_set()):
        pytest.skip(f"this processor has no {isa}")
    code = f"""
import torch
from pyattrx import ops
from pyattrx.ops import reference
assert ops.backends()["cpu"] == "native ({isa})", ops.backends()
torch.manual_seed(0)
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
    for m, n, d in ((5, 2, 300), (37, 1, 97), (52, 1, 700)):
        maps = torch.randn(m, n, d).to(dtype)
        error = (ops.probe_cosines(maps) - reference.probe_cosines(maps, None)).abs().max()
        assert error < 1e-13, error
    for reduce in ("mean", "abs_mean", "none"):
        g, x = torch.randn(2, 3, 17, 19).to(dtype), torch.randn(2, 3, 17, 19).to(dtype)
        got = ops.attribution_maps(g, x, reduce=reduce, normalize=False)
        expected = reference.attribution_maps(g, x, "grad_x_input", reduce, False)
        assert (got - expected).abs().max() < 2e-6
    maps = torch.randn(3, 500).to(dtype)
    for size in (64, 100):
        got, expected = ops.sketch(maps, size), reference.sketch(maps, size, 0, 0, True)
        assert (got - expected).abs().max() < 2e-6
print("same")
"""
    assert in_subprocess(code, tmp_path, ATTRX_INSTRUCTION_SET=isa) == "same"


def test_half_types_cover_every_value():
    for dtype in (torch.float16, torch.bfloat16):
        every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
        maps = ops.attribution_maps(every.view(1, 1, 256, 256), None, "identity", normalize=False)
        assert torch.equal(maps[0].nan_to_num(7.0), every.float().nan_to_num(7.0))
        assert torch.equal(maps[0].isnan(), every.isnan())


def test_freed_memory_is_kept_only_while_asked(tmp_path):
    code = """
import torch
from pyattrx.ops.heap import freed_memory_kept
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
def use():
    torch.ones(64 << 20)  # 256 MiB, freed at once
use()
before = resident()
with freed_memory_kept():
    with freed_memory_kept():
        use()
    kept = resident() - before
print(kept, resident() - before)
"""
    kept, after = map(float, in_subprocess(code, tmp_path).split())
    assert kept > 200
    assert after < 32
