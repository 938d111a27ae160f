// Element types as the leaf loops read them. Everything has internal linkage: see kernels.h.
#pragma once

#include <cstdint>

namespace {

struct Half {
  std::uint16_t bits;
};
struct BFloat {
  std::uint16_t bits;
};

inline float bits_to_float(std::uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

inline float value(float v) { return v; }
inline double value(double v) { return v; }
inline float value(BFloat v) { return bits_to_float(static_cast<std::uint32_t>(v.bits) << 16); }
// Shifting fp16's exponent and fraction into place leaves the exponent 112 too small, which one
// multiplication by 2^112 mends for normal and denormal numbers alike; Inf and NaN need the full
// exponent instead.
inline float value(Half v) {
  const std::uint32_t sign = static_cast<std::uint32_t>(v.bits & 0x8000u) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(v.bits & 0x7fffu) << 13;
  const float finite = bits_to_float(rest) * 0x1p112f;
  std::uint32_t bits;
  __builtin_memcpy(&bits, &finite, sizeof bits);
  const std::uint32_t special = rest | 0x7f800000u;
  return bits_to_float((rest >= 0x0f800000u ? special : bits) | sign);
}

inline float magnitude(float v) { return __builtin_fabsf(v); }
inline double magnitude(double v) { return __builtin_fabs(v); }

}  // namespace
