// Tensor cores of the emulated device.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

namespace attrx::emulation {

// mma.m16n8k4 in doubles, for all lanes of a warp: c += a b for two halves of a, of 8 rows each.
// Columns of a are added in their order; hardware may take another one.
inline void multiply_add(double (&c)[4], double a0, double a1, double b) {
  struct Lane {
    double a[2], b;
  };
  static thread_local Lane lanes[32][32];  // shared memory, as static variables of a kernel are
  auto& warp = lanes[threadIdx.x / 32];
  warp[lane()] = {{a0, a1}, b};
  __syncwarp();
  for (unsigned half = 0; half < 2; ++half) {
    for (unsigned i = 0; i < 2; ++i) {
      const unsigned row = lane() / 4, col = lane() % 4 * 2 + i;
      double& sum = c[2 * half + i];
      for (unsigned k = 0; k < 4; ++k) {
        sum = std::fma(warp[4 * row + k].a[half], warp[4 * col + k].b, sum);
      }
    }
  }
  __syncwarp();
}

}  // namespace attrx::emulation
