// From a source of maps to the cosines of all pairs of networks: the kernels, and their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "attrx/cosine.h"
#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/pair_chunk.cuh"
#include "csrc/cuda/pair_plan.cuh"
#include "csrc/cuda/pair_tile.cuh"
#include "csrc/cuda/pair_work.cuh"

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

// Adds squares and dot products: a block of threads for every index of work_at, a warp for every
// tile. There are two chunks: while one is multiplied the next is on its way, through registers, a
// round at a time.
template <int W, class Source>
__global__ void __launch_bounds__(kMaxTiles* kWarp)
    pair_sums(Source source, PairPlan plan, PairBuffers buffers) {
  double* shared = dynamic_shared();
  __shared__ Work work;
  if (threadIdx.x == 0) work = work_at(plan, blockIdx.x);
  __syncthreads();

  const Tile tile = tile_at(plan, work, threadIdx.x / kWarp);
  const int packs = plan.chunk / W, packs_log2 = 31 - __clz(packs);
  const int all_packs = (work.rows + work.cols) * packs;
  const int dealt = Staging<W, Source>::round_size(), rounds = (all_packs + dealt - 1) / dealt;
  const int steps = plan.chunk / kStep, share = (steps + rounds - 1) / rounds;  // of a round
  const int segment_chunks = static_cast<int>(plan.segment / plan.chunk);
  Sums sums = {};
#pragma unroll 1
  for (int k = -1; k < work.chunks; ++k) {
    const double* current = shared + (k % 2 == 0 ? 0 : plan.chunk_size());
    double* next = shared + (k % 2 == 0 ? plan.chunk_size() : 0);
    const bool more = k + 1 < work.chunks;
#pragma unroll 1
    for (int round = 0; round < rounds; ++round) {
      Staging<W, Source> staging;
      const std::int64_t first = work.begin + (k + 1LL) * plan.chunk;
      staging.fetch(source, work, packs_log2, first, round);  // nothing after the last chunk
      if (k >= 0 && tile.kind != Tile::idle) {
        multiply(current, plan.step_size(), tile, min(round * share, steps),
                 min((round + 1) * share, steps), sums);
      }
      if (more) staging.put(plan, buffers, work, packs_log2, round, next);
    }
    if (k >= 0 && (!more || (k + 1) % segment_chunks == 0)) {
      if (tile.kind != Tile::idle) flush(plan, buffers, work, tile, k < segment_chunks, sums);
    }
    __syncthreads();
  }
}

__device__ inline double add_segments(const double* first, std::int64_t stride, int sums) {
  double sum = 0;
  for (int s = 0; s < sums; ++s) sum += first[s * stride];
  return sum;
}

// out [n, ma, mb]: one thread per pair. With a single sum the dot products are in `out` already;
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
    const double dot = add_segments(buffers.dots + at, all, plan.sums);
    const double square_a = add_segments(buffers.squares_a + n * ma + i, plan.n * ma, plan.sums);
    const double square_b = add_segments(buffers.squares_b + n * mb + j, plan.n * mb, plan.sums);
    const double value = cosine(dot, square_a, square_b);
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
  launch(op, {plan.grid(), plan.threads(), shared, stream}, pair_sums<W, Source>, source, plan,
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
