// The one instruction that pair_tile.cuh lives on.
#pragma once

#include <cuda_runtime.h>

#include "csrc/cuda/block_reduce.cuh"

namespace attrx::cuda {

inline constexpr int kMicro = 8;  // rows of a, and columns of b
inline constexpr int kStep = 4;   // columns of a, and rows of b: what one instruction adds

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
inline constexpr bool kScarceRegisters = true;  // the fallback below takes many
#else
inline constexpr bool kScarceRegisters = false;
#endif

namespace detail {

// c += a b.
__device__ inline void multiply_add_micro(double& c0, double& c1, double a, double b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+d"(c0), "+d"(c1)
               : "d"(a), "d"(b));
#else
  const int row = threadIdx.x % kWarp / 4, col = threadIdx.x % 4 * 2;
#pragma unroll
  for (int k = 0; k < kStep; ++k) {
    const double left = __shfl_sync(kFullMask, a, row * kStep + k);
    c0 = fma(left, __shfl_sync(kFullMask, b, col * kStep + k), c0);
    c1 = fma(left, __shfl_sync(kFullMask, b, (col + 1) * kStep + k), c1);
  }
#endif
}

}  // namespace detail

// Two micros a times a micro b, in doubles, by a whole warp: c[0, 1] += a0 b, c[2, 3] += a1 b. Lane
// l holds a[l / 4][l % 4] of both, b[l % 4][l / 4], and c[l / 4][l % 4 * 2 + i]: the rows of a, and
// the columns of b, lie in a warp alike. All products of an architecture are made by the same
// instruction, the largest that it has, so that none is added in another order.
__device__ inline void multiply_add(double (&c)[4], double a0, double a1, double b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile(
      "mma.sync.aligned.m16n8k4.row.col.f64.f64.f64.f64 "
      "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
      : "d"(a0), "d"(a1), "d"(b));
#elif defined(ATTRX_EMULATED)
  emulation::multiply_add(c, a0, a1, b);
#else
  detail::multiply_add_micro(c[0], c[1], a0, b);
  detail::multiply_add_micro(c[2], c[3], a1, b);
#endif
}

// One micro a times a micro b, to c[0, 1]; what c[2, 3] are then means nothing.
__device__ inline void multiply_add(double (&c)[4], double a, double b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  detail::multiply_add_micro(c[0], c[1], a, b);
#else
  multiply_add(c, a, a, b);
#endif
}

}  // namespace attrx::cuda
