// CUDA's half precision, as far as csrc/cuda uses it.
#pragma once

#include <immintrin.h>

#include <cstdint>

struct __half {
  std::uint16_t bits;
};

inline float __half2float(__half value) { return _cvtsh_ss(value.bits); }
