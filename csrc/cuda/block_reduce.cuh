// Reductions over a block in a fixed order: every thread gets the same bits, run after run.
#pragma once

#include <cuda_runtime.h>

namespace attrx::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kFullMask = 0xffffffffu;

struct Sum {
  __device__ double operator()(double a, double b) const { return a + b; }
};

// fmax passes over a NaN, and its result depends on no order.
struct Max {
  __device__ double operator()(double a, double b) const { return fmax(a, b); }
};

// All threads call it, in blocks of whole warps. `scratch` is shared memory for kWarp doubles.
template <class Op>
__device__ inline double block_reduce(double value, Op op, double* scratch) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value = op(value, __shfl_xor_sync(kFullMask, value, step));
  }
  __syncthreads();  // the scratch of a reduction before this one has been read
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
  __syncthreads();
  const int warps = blockDim.x / kWarp;
  double all = scratch[0];
  for (int w = 1; w < warps; ++w) all = op(all, scratch[w]);
  return all;
}

}  // namespace attrx::cuda
