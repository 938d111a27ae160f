// Single elements: how they are loaded and widened, and the arithmetic of a map element. Each
// operation here rounds once, as on the CPU; a plain `g * x + sum` would be contracted to an FMA.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace attrx::cuda {

// The type that map elements of T data are computed in.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Elements in one 16-byte load.
template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

__device__ inline float widen(float v) { return v; }
__device__ inline double widen(double v) { return v; }
__device__ inline float widen(__half v) { return __half2float(v); }
__device__ inline float widen(__nv_bfloat16 v) { return __bfloat162float(v); }

__device__ inline float multiply(float a, float b) { return __fmul_rn(a, b); }
__device__ inline double multiply(double a, double b) { return __dmul_rn(a, b); }
__device__ inline float add(float a, float b) { return __fadd_rn(a, b); }
__device__ inline double add(double a, double b) { return __dadd_rn(a, b); }
__device__ inline float divide(float a, float b) { return __fdiv_rn(a, b); }
__device__ inline double divide(double a, double b) { return __ddiv_rn(a, b); }
__device__ inline float magnitude(float v) { return fabsf(v); }
__device__ inline double magnitude(double v) { return fabs(v); }

// W elements that lie side by side, to v, in aligned pieces of 16 bytes; W = 1 is a plain load.
template <int W, class T>
__device__ inline void load(const T* from, Real<T> (&v)[W]) {
  if constexpr (W == 1) {
    v[0] = widen(*from);
  } else {
    static_assert(W % kPack<T> == 0, "vector loads move 16 bytes");
#pragma unroll
    for (int first = 0; first < W; first += kPack<T>) {
      const uint4 raw = *reinterpret_cast<const uint4*>(from + first);
      T narrow[kPack<T>];
      memcpy(narrow, &raw, sizeof raw);
#pragma unroll
      for (int i = 0; i < kPack<T>; ++i) v[first + i] = widen(narrow[i]);
    }
  }
}

// W elements to aligned memory, in pieces of 16 bytes; W = 1 is a plain store. R is float or
// double.
template <int W, class R>
__device__ inline void store(R* to, const R (&v)[W]) {
  if constexpr (W == 1) {
    *to = v[0];
  } else {
    static_assert(W * sizeof(R) % 16 == 0);
#pragma unroll
    for (int i = 0; i < W; i += kPack<R>) {
      uint4 raw;
      memcpy(&raw, v + i, sizeof raw);
      *reinterpret_cast<uint4*>(to + i) = raw;
    }
  }
}

// The power of two that brings `largest` near 1; 1 for 0, Inf and NaN. It is a normal number, so
// that multiplying by it is exact: the largest denormals end below 1, where squares are safe too.
__device__ inline double power_of_two_scale(double largest) {
  if (!(largest > 0) || isinf(largest)) return 1;
  const int exponent = min(max(ilogb(largest), -1022), 1022);
  return ldexp(1.0, -exponent);
}

}  // namespace attrx::cuda
