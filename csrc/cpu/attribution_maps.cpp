// Gradient and input to map rows: multiply, reduce the channels, scale by the norm. A row is made
// in chunks that stay in L1 while their squares are added, and is still in cache when it is scaled.
#include <algorithm>
#include <cmath>

#include "attrx/ops.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/map_elements.h"

namespace attrx::cpu {
namespace {

constexpr std::int64_t kMapChunk = 2048;

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

// Makes elements [first, first + len) of a map in `chunk` and moves those of `chosen` among them to
// out; returns how many. What lies before the first and after the last of them is not read.
template <class Real, class Make>
std::int64_t make_chosen(const std::int64_t* chosen, const std::int64_t* end, std::int64_t last,
                         Make make, void* chunk, Real* out) {
  const std::int64_t* stop = chosen;
  while (stop < end && *stop < last) ++stop;
  if (stop == chosen) return 0;
  const std::int64_t first = *chosen;
  make(first, stop[-1] + 1 - first, chunk);
  const Real* made = static_cast<const Real*>(chunk);
  for (const std::int64_t* c = chosen; c < stop; ++c) *out++ = made[*c - first];
  return stop - chosen;
}

// The chosen elements of a map, chunk by chunk.
template <class Real, class Make>
void make_chosen_row(Chosen chosen, std::int64_t size, Make make, Real* row) {
  Real chunk[kMapChunk];
  const std::int64_t* at = chosen.places;
  const std::int64_t* end = at + chosen.count;
  for (std::int64_t first = 0; first < size && at < end; first += kMapChunk) {
    const std::int64_t made = make_chosen(at, end, first + kMapChunk, make, chunk, row);
    at += made;
    row += made;
  }
}

}  // namespace

void attribution_maps(ImageView grad, ImageView input, DType dtype, ImageShape shape,
                      Combine combine, Reduce reduce, bool normalize, Chosen chosen, void* out,
                      int threads) {
  const std::int64_t size = shape.map_size(reduce);
  const std::int64_t kept = chosen.places == nullptr ? size : chosen.count;
  if (shape.n == 0 || kept == 0) return;
  const bool is_double = dtype == DType::f64;
  const std::int64_t width = is_double ? 8 : 4;
  threads = static_cast<int>(std::clamp<std::int64_t>(threads, 1, shape.n));

#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::int64_t n = 0; n < shape.n; ++n) {
    char* row = static_cast<char*>(out) + n * kept * width;
    const auto make = [&](std::int64_t first, std::int64_t len, void* to) {
      map_elements(grad, input, dtype, shape, combine, reduce, n, first, len, to);
    };
    double squares = 0;
    const auto add_squares = [&](const char* chunk, std::int64_t len) {
      if (normalize) squares += kernels().sum_of_squares(chunk, is_double, len);
    };
    if (chosen.places == nullptr) {
      for (std::int64_t first = 0; first < size; first += kMapChunk) {
        const std::int64_t len = std::min(kMapChunk, size - first);
        make(first, len, row + first * width);
        add_squares(row + first * width, len);
      }
    } else {
      is_double ? make_chosen_row(chosen, size, make, reinterpret_cast<double*>(row))
                : make_chosen_row(chosen, size, make, reinterpret_cast<float*>(row));
      add_squares(row, kept);
    }
    if (normalize) normalize_row(row, is_double, squares, kept);
  }
}

}  // namespace attrx::cpu
