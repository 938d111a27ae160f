// Maps to the sketch of their unit rows. A row is added to a small buffer in cache while its
// squares are summed, and the buffer, divided by the norm, to the total: one pass over the maps.
// Rows are added to the total in their order, however many threads made them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attrx/ops.h"
#include "attrx/sketch_hash.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/map_elements.h"
#include "csrc/cpu/scale.h"

namespace attrx::cpu {
namespace {

constexpr std::int64_t kRowsAtOnce = 8;      // of each thread
constexpr std::int64_t kSlotsAtOnce = 1024;  // of the total
// Outside of it sums of floats could overflow, or lose small elements as denormals.
constexpr double kLeastSquare = 0x1p-200, kLargestSquare = 0x1p200;

double largest_element(const void* row, DType dtype, std::int64_t d) {
  double chunk[kRowStride], largest = 0;
  const double one = 1;
  const std::int64_t size = element_size(dtype);
  for (std::int64_t first = 0; first < d; first += kChunk) {
    const std::int64_t len = std::min<std::int64_t>(kChunk, d - first);
    kernels().widen(static_cast<const char*>(row) + first * size, dtype, 0, 1, len, &one, chunk);
    for (std::int64_t i = 0; i < len; ++i) {
      if (!std::isfinite(chunk[i])) return std::numeric_limits<double>::infinity();
    }
    largest = std::max(largest, kernels().absmax(chunk, len));
  }
  return largest;
}

// Adds a row to sums, which are zero, and returns what brings them to those of the unit row; NaN
// where the row has a NaN or an Inf, 0 where it is all zero.
double sketch_unit_row(const void* row, DType dtype, std::int64_t d, std::uint64_t key,
                       std::int64_t size, float* sums) {
  double square = kernels().sketch_row(row, dtype, d, 1.0, key, size, true, sums);
  if (!(square > kLeastSquare && square < kLargestSquare)) {
    const double largest = largest_element(row, dtype, d);
    if (largest == 0) return 0;
    if (!std::isfinite(largest)) return std::numeric_limits<double>::quiet_NaN();
    std::fill_n(sums, size + kSketchMargin, 0.0f);
    const double factor = power_of_two_scale(largest);  // far from float's denormals
    square = kernels().sketch_row(row, dtype, d, factor, key, size, true, sums);
  }
  return 1.0 / std::sqrt(square);
}

}  // namespace

void sketch(const void* maps, std::int64_t row_stride, DType dtype, std::int64_t n, std::int64_t d,
            std::int64_t size, std::uint64_t seed, std::uint64_t first_probe, bool normalize,
            float* out, int threads) {
  threads = static_cast<int>(std::clamp<std::int64_t>(threads, 1, std::max<std::int64_t>(n, 1)));
  const std::int64_t batch = std::min(n, kRowsAtOnce * threads);
  const std::int64_t parts = (size + kSlotsAtOnce - 1) / kSlotsAtOnce;
  const std::int64_t room = size + kSketchMargin;  // floats of a row
  std::vector<float> sums(batch * room);
  std::vector<double> factor(batch), total(size);
  for (std::int64_t first = 0; first < n; first += batch) {
    const std::int64_t count = std::min(batch, n - first);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
      for (std::int64_t r = 0; r < count; ++r) {
        const char* row =
            static_cast<const char*>(maps) + (first + r) * row_stride * element_size(dtype);
        const std::uint64_t key = probe_key(seed, first_probe + first + r);
        float* mine = sums.data() + r * room;
        std::fill_n(mine, room, 0.0f);
        if (normalize) {
          factor[r] = sketch_unit_row(row, dtype, d, key, size, mine);
        } else {
          kernels().sketch_row(row, dtype, d, 1.0, key, size, false, mine);
          factor[r] = 1;
        }
      }
#pragma omp for schedule(static)
      for (std::int64_t p = 0; p < parts; ++p) {
        const std::int64_t slot = p * kSlotsAtOnce, len = std::min(kSlotsAtOnce, size - slot);
        for (std::int64_t r = 0; r < count; ++r) {
          if (factor[r] == 0) continue;
          kernels().add_scaled(sums.data() + r * room + slot, factor[r], len, total.data() + slot);
        }
      }
    }
  }
  for (std::int64_t i = 0; i < size; ++i) out[i] = static_cast<float>(total[i]);
}

}  // namespace attrx::cpu
