// The one instruction that pair_sums lives on.
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

// c += a b, in doubles, by a whole warp. Lane l holds a[l / 4][l % 4], b[l % 4][l / 4] and
// c[l / 4][l % 4 * 2 + i]: the rows of a, and the columns of b, lie in a warp alike.
__device__ inline void multiply_add(double (&c)[2], double a, double b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+d"(c[0]), "+d"(c[1])
               : "d"(a), "d"(b));
#else
  const int row = threadIdx.x % kWarp / 4, col = threadIdx.x % 4 * 2;
#pragma unroll
  for (int k = 0; k < kStep; ++k) {
    const double left = __shfl_sync(kFullMask, a, row * kStep + k);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      c[i] = fma(left, __shfl_sync(kFullMask, b, (col + i) * kStep + k), c[i]);
    }
  }
#endif
}

}  // namespace attrx::cuda
