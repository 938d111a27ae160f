// Maps to the sketch of their unit rows, without atomics: every slot gathers what falls into it.
//
// Neighbouring threads own neighbouring slots, whose elements lie side by side in every block of
// the map but for one wrap, so that loads are coalesced. Rows are dealt to groups; a last kernel
// adds the groups in their order.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "attrx/ops.h"
#include "attrx/sketch_hash.h"
#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"

namespace attrx::cuda {
namespace {

constexpr int kNormThreads = 512;
constexpr int kSlotThreads = 256;
constexpr std::int64_t kMostBlocks = 4096;  // enough to fill the largest GPU several times

// What a row is multiplied with, in two steps since their product may not fit a double.
struct RowFactor {
  double scale, rest;
};

struct Plan {
  std::int64_t slot_blocks, groups, rows_of_group;
  Plan(std::int64_t n, std::int64_t size) : slot_blocks(ceil_div(size, kSlotThreads)) {
    const std::int64_t most = std::max<std::int64_t>(kMostBlocks / slot_blocks, 1);
    rows_of_group =
        ceil_div(std::max<std::int64_t>(n, 1), std::min(std::max<std::int64_t>(n, 1), most));
    groups = ceil_div(std::max<std::int64_t>(n, 1), rows_of_group);
  }
};

// One block a row. An all-zero row gets 0; NaN and Inf make the factor NaN.
template <class T>
__global__ void __launch_bounds__(kNormThreads)
    row_factors(const T* maps, std::int64_t stride, std::int64_t n, std::int64_t d, bool normalize,
                RowFactor* factors) {
  __shared__ double scratch[kWarp];
  for (std::int64_t r = blockIdx.x; r < n; r += gridDim.x) {
    const T* row = maps + r * stride;
    double scale = 1, square = 1;
    if (normalize) {
      if constexpr (std::is_same_v<T, double>) {
        double largest = 0;
        for (std::int64_t i = threadIdx.x; i < d; i += blockDim.x) {
          largest = fmax(largest, fabs(row[i]));
        }
        scale = power_of_two_scale(block_reduce(largest, Max{}, scratch));
      }
      square = 0;
      for (std::int64_t i = threadIdx.x; i < d; i += blockDim.x) {
        const double v = widen(row[i]) * scale;
        square = fma(v, v, square);
      }
      square = block_reduce(square, Sum{}, scratch);
    }
    if (threadIdx.x == 0) {
      // 0 * NaN and 0 * Inf are NaN: a bad row shows in every slot.
      const double rest = isfinite(square) ? 1 / sqrt(square) : nan("");
      factors[r] = {scale, square == 0 ? 0.0 : rest};
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kSlotThreads)
    gather_slots(const T* maps, std::int64_t stride, std::int64_t n, std::int64_t d,
                 std::int64_t size, std::uint64_t seed, std::uint64_t first_probe,
                 const RowFactor* factors, Plan plan, double* partial) {
  const std::int64_t slot = blockIdx.x % plan.slot_blocks * kSlotThreads + threadIdx.x;
  const std::int64_t group = blockIdx.x / plan.slot_blocks;
  if (slot >= size) return;
  const std::int64_t first = group * plan.rows_of_group;
  const std::int64_t last = min(first + plan.rows_of_group, n);
  double total = 0;
  for (std::int64_t r = first; r < last; ++r) {
    const RowFactor factor = factors[r];
    if (factor.rest == 0) continue;
    const T* row = maps + r * stride;
    const std::uint64_t key = probe_key(seed, first_probe + static_cast<std::uint64_t>(r));
    double sum = 0;
    for (std::int64_t block = 0; block * size < d; ++block) {
      std::int64_t offset = slot - rotation(key, block, size);
      if (offset < 0) offset += size;
      const std::int64_t element = block * size + offset;
      if (element >= d) continue;
      const double v = widen(row[element]) * factor.scale;
      sum += sign_bits(key, element / 64) >> (element % 64) & 1 ? -v : v;
    }
    total = fma(sum, factor.rest, total);
  }
  partial[group * size + slot] = total;
}

__global__ void __launch_bounds__(kSlotThreads)
    add_groups(const double* partial, std::int64_t groups, std::int64_t size, float* out) {
  const std::int64_t slot = static_cast<std::int64_t>(blockIdx.x) * kSlotThreads + threadIdx.x;
  if (slot >= size) return;
  double total = 0;
  for (std::int64_t g = 0; g < groups; ++g) total += partial[g * size + slot];
  out[slot] = static_cast<float>(total);
}

std::int64_t factors_bytes(std::int64_t n) {
  return round_up(n * static_cast<std::int64_t>(sizeof(RowFactor)), 256);
}

}  // namespace

std::size_t sketch_workspace(std::int64_t n, std::int64_t size) {
  return factors_bytes(n) + Plan(n, size).groups * size * sizeof(double);
}

void sketch(const void* maps, std::int64_t row_stride, DType dtype, std::int64_t n, std::int64_t d,
            std::int64_t size, std::uint64_t seed, std::uint64_t first_probe, bool normalize,
            float* out, void* workspace, Stream stream) {
  constexpr const char* kOp = "sketch";
  const auto on = static_cast<cudaStream_t>(stream);
  const Plan plan(n, size);
  auto* factors = static_cast<RowFactor*>(workspace);
  auto* partial = reinterpret_cast<double*>(static_cast<char*>(workspace) + factors_bytes(n));
  with_type(dtype, kOp, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const T* rows = static_cast<const T*>(maps);
    if (n > 0) {
      launch(kOp, {grid_size(n), kNormThreads, 0, on}, row_factors<T>, rows, row_stride, n, d,
             normalize, factors);
    }
    launch(kOp, {grid_size(plan.slot_blocks * plan.groups), kSlotThreads, 0, on}, gather_slots<T>,
           rows, row_stride, n, d, size, seed, first_probe, factors, plan, partial);
  });
  launch(kOp, {grid_size(plan.slot_blocks), kSlotThreads, 0, on}, add_groups, partial, plan.groups,
         size, out);
}

}  // namespace attrx::cuda
