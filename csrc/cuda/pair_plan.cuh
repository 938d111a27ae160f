// How the cosines of all pairs of networks are divided into blocks, and what the workspace holds.
//
// The bits of a pair must depend on D alone, so the order of its sum is fixed here, and everything
// else (tiles, blocks, how many probes there are) only decides who computes which part:
// - D is cut into segments whose length depends on D alone;
// - in a segment, lane l of kLanes adds columns l, l + kLanes, ... one after another;
// - the lanes of a segment are added as a tree, and the segments in their order.
// Where probes and tiles alone do not fill a GPU, every segment gets a block of its own, and its
// sum a slot in the workspace; else a block walks all segments and adds them itself, in that order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "csrc/cuda/launch.cuh"

namespace attrx::cuda {

inline constexpr int kLanes = 16;    // half a warp works on one micro-tile
inline constexpr int kMicro = 4;     // a micro-tile is kMicro x kMicro pairs: one per lane
inline constexpr int kChunk = 64;    // columns in shared memory at a time
inline constexpr int kRowTile = 24;  // networks along a tile's rows, and a diagonal tile
inline constexpr int kColTile = 12;  // networks along the columns of other tiles
inline constexpr std::int64_t kMinSegment = 2048;
inline constexpr std::int64_t kMaxSegments = 32;
inline constexpr std::int64_t kEnoughBlocks = 256;
inline constexpr std::int64_t kMostBlocks = 0x7fffffff;  // of a grid, and so int counts them all

static_assert(kMicro * kMicro == kLanes, "after a reduction every lane holds one pair");
static_assert(kRowTile % kColTile == 0 && kColTile % kMicro == 0 && kChunk % kLanes == 0);

__host__ __device__ constexpr int micros(std::int64_t rows) {
  return static_cast<int>(ceil_div(rows, kMicro));
}

// Half warps that a tile of `down` x `across` micro-tiles keeps busy. Symmetric: a diagonal tile,
// which needs more than the smaller ones beside it. Else every pair, and the squares of both sides.
constexpr int max_tasks(bool symmetric, int down, int across) {
  return symmetric ? down * (down + 1) / 2 : down * across + down + across;
}

constexpr int pair_threads(int tasks) { return static_cast<int>(round_up(tasks * kLanes, 32)); }

// The most that PairPlan::threads() can be.
template <bool kSymmetric>
inline constexpr int kMaxPairThreads =
    pair_threads(max_tasks(kSymmetric, micros(kRowTile), micros(kColTile)));
static_assert(max_tasks(true, micros(kRowTile), 0) >= micros(kRowTile) * micros(kColTile));

struct PairPlan {
  std::int64_t n, d;
  int ma, mb;
  bool symmetric;        // b is a: only pairs i <= j are computed
  bool scaled;           // rows are multiplied by a power of two: f64 only
  std::int64_t segment;  // columns of a segment, a multiple of kChunk
  int segment_chunks;    // segment / kChunk
  int slots;             // sums kept per pair: 1, or the number of segments
  int tiles;             // per probe

  PairPlan(std::int64_t n, std::int64_t d, std::int64_t ma, std::int64_t mb, bool symmetric,
           bool scaled)
      : n(n),
        d(d),
        ma(static_cast<int>(ma)),
        mb(static_cast<int>(mb)),
        symmetric(symmetric),
        scaled(scaled),
        segment(round_up(std::max(kMinSegment, ceil_div(d, kMaxSegments)), kChunk)),
        segment_chunks(static_cast<int>(segment / kChunk)) {
    std::int64_t all_tiles = ceil_div(ma, kRowTile) * ceil_div(mb, kColTile);
    if (std::max({n, ma, mb, all_tiles}) > kMostBlocks) refuse(n, ma, mb);
    if (symmetric) {
      all_tiles = 0;
      for (int row = 0; row < ceil_div(ma, kRowTile); ++row) all_tiles += tiles_of_row(row);
    }
    tiles = static_cast<int>(all_tiles);
    slots = n * all_tiles < kEnoughBlocks ? static_cast<int>(ceil_div(d, segment)) : 1;
    if (n * all_tiles * slots > kMostBlocks) refuse(n, ma, mb);
  }

  bool empty() const { return n == 0 || ma == 0 || mb == 0; }

  unsigned blocks() const { return static_cast<unsigned>(n * tiles * slots); }

  // Symmetric: the tiles that start at a row tile, which are the diagonal one, a square, and the
  // column tiles right of it.
  __host__ __device__ int tiles_of_row(int row) const {
    const int right = static_cast<int>(ceil_div(mb, kColTile)) - (row + 1) * kRowTile / kColTile;
    return right > 0 ? 1 + right : 1;
  }

  // Threads and rows of shared memory for the largest tile.
  unsigned threads() const {
    const int tasks =
        max_tasks(symmetric, micros(std::min(ma, kRowTile)), micros(std::min(mb, kColTile)));
    return static_cast<unsigned>(
        std::max(128, pair_threads(tasks)));  // fewer would leave too few to load
  }

  int shared_rows() const {
    int rows = micros(std::min(ma, kRowTile));
    if (!symmetric || ma > kRowTile) rows += micros(std::min(mb, kColTile));
    return rows * kMicro;
  }

 private:
  [[noreturn]] static void refuse(std::int64_t n, std::int64_t ma, std::int64_t mb) {
    throw std::invalid_argument("attrx::cuda: " + std::to_string(n) + " probes of " +
                                std::to_string(ma) + " x " + std::to_string(mb) +
                                " networks need more blocks than one launch has");
  }
};

// Device memory between the kernels. A null base measures it.
struct PairBuffers {
  double* dots;       // [slots, n, ma, mb], only i <= j where symmetric; `out` where slots is 1
  double* squares_a;  // [slots, n, ma]
  double* squares_b;  // [slots, n, mb]; squares_a where symmetric
  double* scale_a;    // [n, ma], where scaled
  double* scale_b;    // [n, mb]; scale_a where symmetric
  std::size_t bytes;

  PairBuffers(const PairPlan& plan, void* base, double* out) {
    std::int64_t used = 0;
    const auto take = [&](std::int64_t count) {
      double* start = base == nullptr ? nullptr : static_cast<double*>(base) + used;
      used += count;
      return start;
    };
    const std::int64_t scales = plan.scaled ? plan.n : 0;
    squares_a = take(plan.slots * plan.n * plan.ma);
    scale_a = take(scales * plan.ma);
    squares_b = plan.symmetric ? squares_a : take(plan.slots * plan.n * plan.mb);
    scale_b = plan.symmetric ? scale_a : take(scales * plan.mb);
    dots = plan.slots == 1 ? out : take(plan.slots * plan.n * plan.ma * plan.mb);
    bytes = static_cast<std::size_t>(used) * sizeof(double);
  }
};

}  // namespace attrx::cuda
