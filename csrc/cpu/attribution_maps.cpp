// Gradient and input to map rows: multiply, reduce the channels, scale by the norm. A row is made
// in pieces that stay in L1 while their squares are added, and is still in cache when it is scaled.
#include <algorithm>
#include <cmath>

#include "attrx/ops.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/map_elements.h"

namespace attrx::cpu {
namespace {

constexpr std::int64_t kPiece = 2048;

void normalize_row(void* row, bool is_double, double squares, std::int64_t len) {
  const Kernels& k = kernels();
  if (is_double && !(squares > 1e-280 && squares < 1e280)) {
    // The squares leave the range of a double: bring the largest element near 1 first, in two steps
    // since the power of two itself may not fit.
    const double largest = k.absmax(static_cast<const double*>(row), len);
    if (largest > 0 && std::isfinite(largest)) {
      const int exponent = -std::ilogb(largest);
      k.scale(row, true, std::ldexp(1.0, exponent / 2), len);
      k.scale(row, true, std::ldexp(1.0, exponent - exponent / 2), len);
      squares = k.sum_of_squares(row, true, len);
    }
  }
  if (squares == 0) return;
  k.scale(row, is_double, 1.0 / std::sqrt(squares), len);
}

}  // namespace

void attribution_maps(ImageView grad, ImageView input, DType dtype, ImageShape shape,
                      Combine combine, Reduce reduce, bool normalize, void* out, int threads) {
  const std::int64_t size = shape.map_size(reduce);
  if (shape.n == 0 || size == 0) return;
  const bool is_double = dtype == DType::f64;
  threads = static_cast<int>(std::clamp<std::int64_t>(threads, 1, shape.n));

#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t n = 0; n < shape.n; ++n) {
    const std::int64_t width = is_double ? 8 : 4;
    char* row = static_cast<char*>(out) + n * size * width;
    double squares = 0;
    for (std::int64_t first = 0; first < size; first += kPiece) {
      const std::int64_t len = std::min(kPiece, size - first);
      char* piece = row + first * width;
      map_elements(grad, input, dtype, shape, combine, reduce, n, first, len, piece);
      if (normalize) squares += kernels().sum_of_squares(piece, is_double, len);
    }
    if (normalize) normalize_row(row, is_double, squares, size);
  }
}

}  // namespace attrx::cpu
