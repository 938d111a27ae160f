"""One small call of every CUDA kernel and path, for compute-sanitizer; results are checked."""

import torch

from pyattrx import ops
from pyattrx.ops import reference


def main() -> None:
    """Run everything once and compare with the reference on the CPU."""
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for shape in ((2, 3, 17, 19), (1, 3, 64, 64), (3, 5, 1, 7), (1, 1, 200, 200)):
            for channels_last in (False, True):
                grad, image = (torch.randn(shape).to("cuda", dtype) for _ in range(2))
                if channels_last:
                    grad = grad.contiguous(memory_format=torch.channels_last)
                for reduce in ("mean", "abs_mean", "none"):
                    for normalize in (True, False):
                        got = ops.attribution_maps(grad, image, "grad_x_input", reduce, normalize)
                        expected = reference.attribution_maps(
                            grad.cpu(), image.cpu(), "grad_x_input", reduce, normalize
                        )
                        torch.testing.assert_close(got.cpu(), expected, rtol=1e-5, atol=1e-6)
        for m, k, n, d in (
            (1, 1, 1, 1),
            (5, 3, 2, 97),
            (33, 40, 1, 300),
            (3, 3, 2, 9001),
            (300, 80, 1, 72),
            (2, 2, 4200, 1100),
        ):
            maps, other = torch.randn(m, n, d).to(dtype), torch.randn(k, n, d).to(dtype)
            for right in (None, other):
                on_gpu = None if right is None else right.cuda()
                got = ops.probe_cosines(maps.cuda(), on_gpu)
                expected = reference.probe_cosines(maps, right)
                torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=1e-12)
        maps = torch.randn(3, 700).to(dtype)
        for size in (64, 1000, 4097):
            got = ops.sketch(maps.cuda(), size, 7, 11)
            torch.testing.assert_close(got.cpu(), ops.sketch(maps, size, 7, 11), rtol=0, atol=1e-5)
        grads, image = torch.randn(5, 2, 3, 17, 19).to(dtype), torch.randn(2, 3, 17, 19).to(dtype)
        for method in ("grad_x_input", "saliency"):
            got = ops.fused_affinity(grads.cuda(), image.cuda(), method)
            expected = ops.fused_affinity(grads, image, method)
            torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=1e-12)
    torch.cuda.synchronize()
    print("every kernel agrees with the reference")


if __name__ == "__main__":
    main()
