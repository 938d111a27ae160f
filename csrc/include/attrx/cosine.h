// What a cosine is made of, the same on every device.
#pragma once

#include <cmath>
#include <limits>

#if defined(__CUDACC__)
#define ATTRX_ON_ALL_DEVICES __host__ __device__
#else
#define ATTRX_ON_ALL_DEVICES
#endif

namespace attrx {
namespace {

// From a dot product and the squares of both rows, which neither overflow nor vanish: floats are
// added as doubles, rows of doubles are scaled first. So a square that is not finite comes from a
// NaN or an Inf in its row, and one that is zero from a row that is all zero. The cosine of a row
// with itself is exactly 1: the root of a rounded square is what was squared.
ATTRX_ON_ALL_DEVICES inline double cosine(double dot, double square_a, double square_b) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  if (!(square_a <= kLargest && square_b <= kLargest)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (square_a == 0 || square_b == 0) return 0;
  const double value = dot / std::sqrt(square_a * square_b);
  return value > 1 ? 1 : value < -1 ? -1 : value;
}

}  // namespace
}  // namespace attrx
