// From a source of maps to the cosines of all pairs: the kernels around pair_sums, and their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/pair_plan.cuh"
#include "csrc/cuda/pair_sums.cuh"

namespace attrx::cuda {

inline constexpr int kScaleThreads = 256;
inline constexpr int kFinishThreads = 256;

// scale [n, networks]: for every row of doubles, the power of two that keeps its squares in range.
template <int W, class Source>
__global__ void __launch_bounds__(kScaleThreads)
    row_scales(Source source, bool second, std::int64_t n, std::int64_t networks, std::int64_t d,
               double* scale) {
  __shared__ double scratch[kWarp];
  for (std::int64_t row = blockIdx.x; row < n * networks; row += gridDim.x) {
    const std::int64_t probe = row / networks, m = row % networks;
    double largest = 0;
    for (std::int64_t first = threadIdx.x * W; first < d; first += kScaleThreads * W) {
      double v[W];
      source.template read<W>(second, m, probe, first, v);
#pragma unroll
      for (int i = 0; i < W; ++i) largest = fmax(largest, fabs(v[i]));
    }
    largest = block_reduce(largest, Max{}, scratch);
    if (threadIdx.x == 0) scale[row] = power_of_two_scale(largest);
  }
}

__device__ inline double add_slots(const double* first, std::int64_t stride, std::int64_t slots) {
  double sum = 0;
  for (std::int64_t s = 0; s < slots; ++s) sum += first[s * stride];
  return sum;
}

// Squares cannot overflow (rows of doubles are scaled): one that is not finite comes from a NaN or
// an Inf in the row. They cannot vanish either, unless the row is all zero.
__device__ inline double cosine(double dot, double square_a, double square_b) {
  if (!isfinite(square_a) || !isfinite(square_b)) return nan("");
  if (square_a == 0 || square_b == 0) return 0;
  return fmin(fmax(dot / sqrt(square_a * square_b), -1.0), 1.0);
}

// out [n, ma, mb]: one thread per pair. With a single slot the dot products are in `out` already;
// a thread reads only its own, and writes that and, where symmetric, the mirrored place, which
// holds no dot product.
template <bool kSymmetric>
__global__ void __launch_bounds__(kFinishThreads)
    finish_cosines(PairPlan plan, PairBuffers buffers, double* out) {
  const std::int64_t ma = plan.a.networks, mb = plan.b.networks;
  const std::int64_t pairs = ma * mb, all = plan.n * pairs;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; at < all;
       at += step) {
    const std::int64_t n = at / pairs, i = at % pairs / mb, j = at % mb;
    if (kSymmetric && i > j) continue;
    const double dot = add_slots(buffers.dots + at, all, plan.slots);
    const double square_a = add_slots(buffers.squares_a + n * ma + i, plan.n * ma, plan.slots);
    const double square_b = add_slots(buffers.squares_b + n * mb + j, plan.n * mb, plan.slots);
    double value = cosine(dot, square_a, square_b);
    if (kSymmetric && i == j && value != 0 && !isnan(value)) value = 1;
    out[at] = value;
    if (kSymmetric) out[n * pairs + j * mb + i] = value;
  }
}

inline std::size_t pair_workspace(const PairPlan& plan) {
  return plan.empty() ? 0 : PairBuffers(plan, nullptr, nullptr).bytes;
}

// The launches, reading W elements at a time. out [n, ma, mb]
template <int W, class Source>
void launch_pair_cosines(const Source& source, const PairPlan& plan, double* out, void* workspace,
                         cudaStream_t stream, const char* op) {
  const PairBuffers buffers(plan, workspace, out);

  if constexpr (std::is_same_v<typename Source::Element, double>) {
    const auto find_scales = [&](bool second, std::int64_t networks, double* scale) {
      launch(op, {grid_size(plan.n * networks), kScaleThreads, 0, stream}, row_scales<W, Source>,
             source, second, plan.n, networks, plan.d, scale);
    };
    find_scales(false, plan.a.networks, buffers.scale_a);
    if (!plan.symmetric) find_scales(true, plan.b.networks, buffers.scale_b);
  }

  const std::size_t shared = 2 * plan.chunk_size() * sizeof(double);
  allow_shared(op, pair_sums<W, Source>);
  launch(op, {plan.blocks(), plan.threads(), shared, stream}, pair_sums<W, Source>, source, plan,
         buffers);

  const unsigned blocks =
      grid_size(ceil_div(plan.n * plan.a.networks * plan.b.networks, kFinishThreads));
  launch(op, {blocks, kFinishThreads, 0, stream},
         plan.symmetric ? finish_cosines<true> : finish_cosines<false>, plan, buffers, out);
}

template <class Source>
void pair_cosines(const Source& source, const PairPlan& plan, double* out, void* workspace,
                  cudaStream_t stream, const char* op) {
  if (plan.empty()) return;
  if (plan.d == 0) {  // maps without elements are all zero
    const std::size_t bytes =
        static_cast<std::size_t>(plan.n * plan.a.networks * plan.b.networks) * sizeof(double);
    return check(cudaMemsetAsync(out, 0, bytes, stream), op);
  }
  if (source.vector) {
    constexpr int W = kPack<typename Source::Element>;
    launch_pair_cosines<W>(source, plan, out, workspace, stream, op);
  } else {
    launch_pair_cosines<1>(source, plan, out, workspace, stream, op);
  }
}

}  // namespace attrx::cuda
