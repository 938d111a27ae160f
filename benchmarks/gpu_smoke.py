"""One small call of every CUDA kernel and path; every result is checked.

python gpu_smoke.py          # all types and sizes
python gpu_smoke.py --few    # for compute-sanitizer, which slows a launch a hundredfold
"""

import importlib
import sys
from pathlib import Path

import torch

from pyattrx import ops
from pyattrx.ops import reference

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
emulated = importlib.import_module("emulated")
DEVICE: str = emulated.DEVICE
EMULATED: bool = emulated.EMULATED

SHAPES = [(2, 3, 17, 19), (1, 3, 64, 64), (3, 5, 1, 7), (1, 1, 200, 200)]
NETWORKS = [
    (1, 1, 1, 1),
    (5, 3, 2, 97),
    (33, 40, 1, 300),
    (3, 3, 2, 9001),
    (300, 80, 1, 72),
    (2, 2, 60 if EMULATED else 4200, 1100),
]
TYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def main(few: bool) -> None:
    """Run everything once and compare with the reference on the CPU."""
    torch.manual_seed(0)
    types, shapes = (TYPES[:1] + TYPES[3:], SHAPES[:2]) if few else (TYPES, SHAPES)
    for dtype in types:
        for shape in shapes:
            check_maps(dtype, shape)
        for sizes in NETWORKS[:5] if few else NETWORKS:
            check_cosines(dtype, *sizes)
        check_sketches(dtype)
        check_fused(dtype)
    torch.cuda.synchronize()
    print(f"every kernel agrees with the reference{', on an emulated device' if EMULATED else ''}")


def check_maps(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """Maps of gradients in both layouts."""
    for channels_last in (False, True):
        grad, image = (torch.randn(shape).to(DEVICE, dtype) for _ in range(2))
        if channels_last:
            grad = grad.contiguous(memory_format=torch.channels_last)
        for reduce in ("mean", "abs_mean", "none"):
            for normalize in (True, False):
                got = ops.attribution_maps(grad, image, "grad_x_input", reduce, normalize)
                expected = reference.attribution_maps(
                    grad.cpu(), image.cpu(), "grad_x_input", reduce, normalize
                )
                torch.testing.assert_close(got.cpu(), expected, rtol=1e-5, atol=1e-6)


def check_cosines(dtype: torch.dtype, m: int, k: int, n: int, d: int) -> None:
    """Cosines of networks with each other, and with others."""
    maps, other = torch.randn(m, n, d).to(dtype), torch.randn(k, n, d).to(dtype)
    for right in (None, other):
        got = ops.probe_cosines(maps.to(DEVICE), None if right is None else right.to(DEVICE))
        expected = reference.probe_cosines(maps, right)
        torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=1e-12)


def check_sketches(dtype: torch.dtype) -> None:
    """Sketches of several sizes."""
    maps = torch.randn(3, 700).to(dtype)
    for size in (64, 1000, 4097):
        got = ops.sketch(maps.to(DEVICE), size, 7, 11)
        expected = reference.sketch(maps, size, 7, 11, True)
        torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=1e-5)


def check_fused(dtype: torch.dtype) -> None:
    """Affinities straight from gradients."""
    grads, image = torch.randn(5, 2, 3, 17, 19).to(dtype), torch.randn(2, 3, 17, 19).to(dtype)
    for method in ("grad_x_input", "saliency"):
        got = ops.fused_affinity(grads.to(DEVICE), image.to(DEVICE), method)
        exact = reference.fused_probe_cosines(grads.double(), image.double(), method, "mean")
        torch.testing.assert_close(got.cpu(), exact.mean(0), rtol=0, atol=1e-8)


if __name__ == "__main__":
    with emulated.cuda_ops():
        main("--few" in sys.argv[1:])
