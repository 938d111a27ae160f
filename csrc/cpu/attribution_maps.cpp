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

// A row of doubles whose squares leave the range is measured relative to its largest element.
double norm_of_wide_row(const double* row, std::int64_t len) {
  const Kernels& k = kernels();
  const double largest = k.absmax(row, len);
  if (largest == 0 || !std::isfinite(largest)) return std::sqrt(k.sum_of_squares(row, true, len));
  double sum = 0;
  const int exponent = std::ilogb(largest);
  for (std::int64_t i = 0; i < len; ++i) {
    const double v = std::ldexp(row[i], -exponent);
    sum += v * v;
  }
  return std::ldexp(std::sqrt(sum), exponent);
}

void normalize_row(void* row, bool is_double, double squares, std::int64_t len) {
  if (squares == 0 && !is_double) return;
  double norm = std::sqrt(squares);
  if (is_double && !(squares > 1e-280 && squares < 1e280)) {
    norm = norm_of_wide_row(static_cast<double*>(row), len);
    if (norm == 0) return;
    // 1 / norm may overflow: two factors reach every norm.
    if (norm < 1e-300) {
      kernels().scale(row, true, 0x1p600, len);
      norm = std::ldexp(norm, 600);
    }
  }
  kernels().scale(row, is_double, 1.0 / norm, len);
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
