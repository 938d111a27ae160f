// The part of CUDA that csrc/cuda uses, on a device that is emulated: see device.h. With this
// folder before CUDA's own, a C++ compiler builds the .cu files as they are. What is missing here
// fails to compile, and is added when a kernel first wants it.
#pragma once

#include <math.h>
#include <string.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#if !defined(__x86_64__) || !defined(__FMA__) || !defined(__F16C__)
#error "the emulated device is for x86-64 with FMA and F16C"
#endif

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
// The one storage class that is static in a function and may also be written after `extern`. It
// puts all shared memory into one segment, too, which the device finds, fills and watches.
#define __shared__ thread_local

struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Those of the thread that runs now. Not const: a compiler would keep them over a barrier.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

// ---- Calls of the host --------------------------------------------------------------------------

// With CUDA's numbers.
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorLaunchFailure = 719,
};
// With their values on an H200.
enum cudaDeviceAttr {
  cudaDevAttrMaxSharedMemoryPerMultiprocessor = 228 << 10,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 227 << 10,
};
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9,  // only speed depends on it
};
enum { cudaSharedmemCarveoutMaxShared = 100 };
using cudaStream_t = struct CUstream_st*;  // everything runs at once, whatever the stream

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
};

cudaError_t cudaGetDeviceCount(int* count);
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  return *value = attribute, cudaSuccess;
}
cudaError_t cudaGetLastError();
// The last failure in words: what failed and where, not only its kind.
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream);

namespace attrx::emulation {

// Runs `body(arguments)` in every thread of a grid.
cudaError_t run_grid(const cudaLaunchConfig_t& config, const void* kernel,
                     void (*body)(const void* arguments), const void* arguments);
cudaError_t allow_dynamic_shared_memory(const void* kernel, int bytes);

void synchronize_block();

// What the lanes of a mask do together. A lane gives `bits`; it gets those of lane `from`, or of a
// vote the mask of the lanes whose bits were not zero.
enum class WarpCall { sync, shuffle, vote };
std::uint64_t call_warp(WarpCall call, unsigned mask, std::uint64_t bits, unsigned from);
unsigned lane();

}  // namespace attrx::emulation

template <class... Expected, class... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...),
                               Given&&... given) {
  using Arguments = std::tuple<void (*)(Expected...), std::tuple<Expected...>>;
  const Arguments arguments(kernel, std::tuple<Expected...>(std::forward<Given>(given)...));
  const auto body = [](const void* erased) {
    const auto& [call, values] = *static_cast<const Arguments*>(erased);
    std::apply(call, values);
  };
  return attrx::emulation::run_grid(*config, reinterpret_cast<const void*>(kernel), body,
                                    &arguments);
}

template <class... Expected>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Expected...), cudaFuncAttribute attribute,
                                 int bytes) {
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  return attrx::emulation::allow_dynamic_shared_memory(reinterpret_cast<const void*>(kernel),
                                                       bytes);
}

// ---- Calls of the kernels -----------------------------------------------------------------------

inline void __syncthreads() { attrx::emulation::synchronize_block(); }

inline void __syncwarp(unsigned mask = 0xffffffffu) {
  using namespace attrx::emulation;
  call_warp(WarpCall::sync, mask, 0, lane());
}

// Lanes are dealt to groups of `width`, and `source` counts in the caller's group.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  using namespace attrx::emulation;
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  const unsigned within = static_cast<unsigned>(width) - 1;
  const unsigned from = (lane() & ~within) | (static_cast<unsigned>(source) & within);
  bits = call_warp(WarpCall::shuffle, mask, bits, from);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int flipped) {
  return __shfl_sync(mask, value, static_cast<int>(attrx::emulation::lane()) ^ flipped);
}

inline int __any_sync(unsigned mask, int predicate) {
  using namespace attrx::emulation;
  return call_warp(WarpCall::vote, mask, predicate != 0, lane()) != 0;
}

inline int __clz(int value) {
  return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}

// Rounded once each: the emulation is compiled without contraction.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __ddiv_rn(double a, double b) { return a / b; }

// As in CUDA, numbers of two types are ambiguous.
template <class T>
std::enable_if_t<std::is_arithmetic_v<T>, T> min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
std::enable_if_t<std::is_arithmetic_v<T>, T> max(T a, T b) {
  return a < b ? b : a;
}

// ---- Tensor cores -------------------------------------------------------------------------------

namespace attrx::emulation {

// What csrc/cuda/tensor_cores.cuh calls in place of its assembly: mma.m16n8k4 in doubles, for all
// lanes of a warp, c += a b for two halves of a, of 8 rows each. Columns of a are added in their
// order; hardware may take another one.
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
        sum = fma(warp[4 * row + k].a[half], warp[4 * col + k].b, sum);
      }
    }
  }
  __syncwarp();
}

}  // namespace attrx::emulation
