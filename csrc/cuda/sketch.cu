// Maps to the sketch of their unit rows, without atomics: every slot gathers what falls into it.
//
// A thread owns slots, and its neighbors the slots beside them: in every lap of the map their
// elements lie side by side too, but for one wrap, so that loads are coalesced. Signs and rotations
// are hashed once for all slots, into shared memory, a chunk of the map at a time. Where one block
// of threads sees all elements of a row it adds their squares on the way, and rows are read once;
// else a kernel before it finds the norms. Rows are dealt to groups, and a last kernel adds the
// groups in their order.
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

constexpr int kThreads = 512;
constexpr int kSlots = 8;  // of a thread
constexpr std::int64_t kBlockSlots = kThreads * kSlots;
constexpr std::int64_t kWords = 1024;         // of signs in shared memory, for 64 elements each
constexpr std::int64_t kRotations = 1024;     // in shared memory
constexpr std::int64_t kEnoughBlocks = 512;   // fill the largest GPU
constexpr int kAddSlots = 32, kAddParts = 8;  // of a block that adds groups

// What a row is multiplied with, in two steps since their product may not fit a double.
struct RowFactor {
  double scale, rest;
};

struct Plan {
  std::int64_t slot_blocks, groups, rows_of_group;
  std::int64_t chunk;  // elements of a row whose signs and rotations fit, a multiple of 64

  Plan(std::int64_t n, std::int64_t size)
      : slot_blocks(ceil_div(size, kBlockSlots)),
        chunk(std::min(kWords, (kRotations - 2) * size / 64) * 64) {
    const std::int64_t rows = std::max<std::int64_t>(n, 1);
    const std::int64_t most = std::max<std::int64_t>(kEnoughBlocks / slot_blocks, 1);
    rows_of_group = ceil_div(rows, most);
    groups = ceil_div(rows, rows_of_group);
  }
};

// From the sum of a row's squares. An all-zero row gets 0, and is left out; NaN and Inf make the
// factor NaN, and so every slot: 0 * NaN and 0 * Inf are NaN.
__device__ RowFactor unit_factor(double scale, double square) {
  const double rest = isfinite(square) ? 1 / sqrt(square) : nan("");
  return {scale, square == 0 ? 0.0 : rest};
}

// One block a row.
template <class T>
__global__ void __launch_bounds__(kThreads)
    row_factors(const T* maps, std::int64_t stride, std::int64_t n, std::int64_t d,
                RowFactor* factors) {
  __shared__ double scratch[kWarp];
  for (std::int64_t r = blockIdx.x; r < n; r += gridDim.x) {
    const T* row = maps + r * stride;
    double scale = 1;
    if constexpr (std::is_same_v<T, double>) {
      double largest = 0;
      for (std::int64_t i = threadIdx.x; i < d; i += blockDim.x) {
        largest = fmax(largest, fabs(row[i]));
      }
      scale = power_of_two_scale(block_reduce(largest, Max{}, scratch));
    }
    double square = 0;
    for (std::int64_t i = threadIdx.x; i < d; i += blockDim.x) {
      const double v = widen(row[i]) * scale;
      square = fma(v, v, square);
    }
    square = block_reduce(square, Sum{}, scratch);
    if (threadIdx.x == 0) factors[r] = unit_factor(scale, square);
  }
}

// Hashes the signs of elements [begin, begin + length), two words of 32 for 64 of them, and the
// rotations of their laps; all threads of the block.
__device__ inline void hash_chunk(std::uint64_t key, std::int64_t begin, std::uint32_t length,
                                  std::int64_t first_lap, int laps, std::int64_t size,
                                  std::uint32_t* signs, std::uint32_t* rotations) {
  __syncthreads();  // those of the chunk before have been used
  for (unsigned w = threadIdx.x; w * 64 < length; w += kThreads) {
    const std::uint64_t bits = sign_bits(key, begin / 64 + w);
    signs[2 * w] = static_cast<std::uint32_t>(bits);
    signs[2 * w + 1] = static_cast<std::uint32_t>(bits >> 32);
  }
  for (int lap = threadIdx.x; lap < laps; lap += kThreads) {
    rotations[lap] = static_cast<std::uint32_t>(rotation(key, first_lap + lap, size));
  }
  __syncthreads();
}

// Where a row's factor comes from.
enum class Norm { none, given, own };

// partial [groups, size]: a group of rows, over the slots of this block.
// Totals are seldom touched, each by its own thread, and registers are scarce.
template <Norm kNorm, class T>
__global__ void __launch_bounds__(kThreads, std::is_same_v<T, double> ? 1 : 2)
    gather_slots(const T* maps, std::int64_t stride, std::int64_t n, std::int64_t d,
                 std::int64_t size, std::uint64_t seed, std::uint64_t first_probe,
                 const RowFactor* factors, Plan plan, double* partial) {
  __shared__ std::uint32_t signs[2 * kWords];
  __shared__ std::uint32_t rotations[kRotations];
  __shared__ double scratch[kWarp], totals[kSlots][kThreads];
  // Slots are fewer than 2^31. Places in a chunk are numbers modulo 2^32, and so are those before
  // it.
  const auto slots = static_cast<std::uint32_t>(size);
  const auto first_slot =
      static_cast<std::uint32_t>(blockIdx.x % plan.slot_blocks * kBlockSlots + threadIdx.x);
  const std::int64_t group = blockIdx.x / plan.slot_blocks;
  const std::int64_t last_row = min((group + 1) * plan.rows_of_group, n);
#pragma unroll
  for (int j = 0; j < kSlots; ++j) totals[j][threadIdx.x] = 0;
  for (std::int64_t r = group * plan.rows_of_group; r < last_row; ++r) {
    RowFactor factor = {1, 1};
    if constexpr (kNorm == Norm::given) factor = factors[r];
    const std::uint64_t key = probe_key(seed, first_probe + static_cast<std::uint64_t>(r));
    double sum[kSlots] = {}, square = 0;
    for (std::int64_t begin = 0; begin < d; begin += plan.chunk) {
      const T* chunk = maps + r * stride + begin;
      const auto length = static_cast<std::uint32_t>(min(plan.chunk, d - begin));
      const std::int64_t first_lap = begin / size;
      const auto laps = static_cast<int>((begin + length - 1) / size - first_lap + 1);
      hash_chunk(key, begin, length, first_lap, laps, size, signs, rotations);
      // Where the first lap begins: in this chunk, or before it.
      auto origin = static_cast<std::uint32_t>(first_lap * size - begin);
      for (int lap = 0; lap < laps; ++lap, origin += slots) {
        const std::uint32_t rotation = rotations[lap];
        // Where in the chunk slot j finds its element; outside of it if there is none.
        const auto place = [&](int j) {
          const std::uint32_t slot = first_slot + j * kThreads;
          return origin + slot - rotation + (slot < rotation ? slots : 0);
        };
        Real<T> v[kSlots];
        // All loads are on their way before the first one is used.
#pragma unroll
        for (int j = 0; j < kSlots; ++j) {
          const bool there = first_slot + j * kThreads < slots && place(j) < length;
          v[j] = there ? widen(chunk[place(j)]) : Real<T>(0);
        }
#pragma unroll
        for (int j = 0; j < kSlots; ++j) {
          double value = v[j];
          if constexpr (std::is_same_v<T, double>) value *= factor.scale;
          if constexpr (kNorm == Norm::own) square = fma(value, value, square);
          const std::uint32_t word = signs[place(j) / 32 % (2 * kWords)];
          sum[j] += word >> (place(j) % 32) & 1 ? -value : value;
        }
      }
    }
    if constexpr (kNorm == Norm::own) {
      factor = unit_factor(1, block_reduce(square, Sum{}, scratch));
    }
    if (factor.rest == 0) continue;
#pragma unroll
    for (int j = 0; j < kSlots; ++j) {
      double& total = totals[j][threadIdx.x];
      total = fma(sum[j], factor.rest, total);
    }
  }
#pragma unroll
  for (int j = 0; j < kSlots; ++j) {
    const std::uint32_t slot = first_slot + j * kThreads;
    if (slot < slots) partial[group * size + slot] = totals[j][threadIdx.x];
  }
}

// out [size]. Every slot's groups are dealt to kAddParts threads, whose sums are added in order.
__global__ void __launch_bounds__(kAddSlots* kAddParts)
    add_groups(const double* partial, std::int64_t groups, std::int64_t size, float* out) {
  __shared__ double sums[kAddParts][kAddSlots];
  const int lane = threadIdx.x % kAddSlots, part = threadIdx.x / kAddSlots;
  const std::int64_t slot = static_cast<std::int64_t>(blockIdx.x) * kAddSlots + lane;
  double sum = 0;
  if (slot < size) {
    for (std::int64_t g = part; g < groups; g += kAddParts) sum += partial[g * size + slot];
  }
  sums[part][lane] = sum;
  __syncthreads();
  if (part != 0 || slot >= size) return;
  for (int p = 1; p < kAddParts; ++p) sum += sums[p][lane];
  out[slot] = static_cast<float>(sum);
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
    // Rows of doubles want their largest element first, and several blocks see parts of a row.
    const bool own = !std::is_same_v<T, double> && plan.slot_blocks == 1;
    if (normalize && !own && n > 0) {
      launch(kOp, {grid_size(n), kThreads, 0, on}, row_factors<T>, rows, row_stride, n, d, factors);
    }
    const auto kernel = !normalize ? gather_slots<Norm::none, T>
                        : own      ? gather_slots<Norm::own, T>
                                   : gather_slots<Norm::given, T>;
    launch(kOp, {grid_size(plan.slot_blocks * plan.groups), kThreads, 0, on}, kernel, rows,
           row_stride, n, d, size, seed, first_probe, factors, plan, partial);
  });
  launch(kOp, {grid_size(ceil_div(size, kAddSlots)), kAddSlots * kAddParts, 0, on}, add_groups,
         partial, plan.groups, size, out);
}

}  // namespace attrx::cuda
