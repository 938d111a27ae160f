#pragma once

#include <algorithm>
#include <cmath>

namespace attrx::cpu {

// The power of two that brings `largest` near 1; 1 for 0, Inf and NaN. 2^1023 is the largest there
// is: denormals end below 1, where squares are safe too.
inline double power_of_two_scale(double largest) {
  if (!(largest > 0) || std::isinf(largest)) return 1;
  return std::ldexp(1.0, std::min(-std::ilogb(largest), 1023));
}

}  // namespace attrx::cpu
