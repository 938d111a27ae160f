// What every launcher needs: errors as exceptions, grid sizes, the choice of an element type.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "attrx/types.h"

namespace attrx::cuda {

inline void check(cudaError_t status, const char* op) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // reported here, it must not be found again by some later and innocent call
  throw std::runtime_error(std::string("attrx::cuda::") + op + ": " + cudaGetErrorString(status));
}

__host__ __device__ constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

__host__ __device__ constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) {
  return ceil_div(a, b) * b;
}

// Blocks of a one-dimensional grid. Kernels walk their work with a stride of gridDim.x, so that a
// grid cut to the hardware's limit still covers it.
inline unsigned grid_size(std::int64_t work) {
  return static_cast<unsigned>(std::min<std::int64_t>(work, 0x7fffffff));
}

inline constexpr int kStaticShared = 2048;  // bytes, at most, of a kernel that has dynamic ones too

// Where and how wide a kernel runs.
struct Launch {
  unsigned blocks, threads;
  std::size_t shared;  // bytes of dynamic shared memory
  cudaStream_t stream;
};

// Every launch of the project. A refused one throws; the kernel's own errors show later.
template <class... Expected, class... Given>
void launch(const char* op, const Launch& on, void (*kernel)(Expected...), Given&&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(on.blocks);
  config.blockDim = dim3(on.threads);
  config.dynamicSmemBytes = on.shared;
  config.stream = on.stream;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Given>(arguments)...), op);
}

// Before a launch with dynamic shared memory: without asking, a kernel gets 48 KB of a block, and
// not most of a multiprocessor's fast memory. Always the same values, whatever a launch needs: they
// are the kernel's, and another thread's smaller ones would refuse this launch.
template <class Kernel>
void allow_shared(const char* op, Kernel kernel) {
  int device = 0, most = 0;
  check(cudaGetDevice(&device), op);
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), op);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             most - kStaticShared),
        op);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared),
        op);
}

__device__ inline double* dynamic_shared() {
  alignas(16) extern __shared__ double shared[];
  return shared;
}

template <class T>
struct TypeTag {
  using Type = T;
};

// Calls f with the tag of the C++ type that `dtype` names.
template <class F>
void with_type(DType dtype, const char* op, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(TypeTag<float>{});
    case DType::f64:
      return f(TypeTag<double>{});
    case DType::f16:
      return f(TypeTag<__half>{});
    case DType::bf16:
      return f(TypeTag<__nv_bfloat16>{});
  }
  throw std::invalid_argument(std::string("attrx::cuda::") + op + ": unknown dtype " +
                              std::to_string(static_cast<int>(dtype)));
}

}  // namespace attrx::cuda
