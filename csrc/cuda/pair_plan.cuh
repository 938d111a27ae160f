// How the cosines of all pairs of networks are divided into blocks, and what the workspace holds.
//
// The bits of a pair must depend on D alone, so the order of its sum is fixed here, and everything
// else (tiles, warps, how many probes there are) only decides who computes which part:
// - D is cut into segments whose length depends on D alone;
// - in a segment, products are added kStep columns at a time, one step after another;
// - the segments are added in their order.
// Where probes and tiles alone do not fill a GPU, every segment gets a block of its own, and its
// sum a slot in the workspace; else a block walks all segments and adds them itself, in that order.
//
// Networks are counted in micros of kMicro, and a warp works on pairs of groups of up to kGroup
// micros. A tile is what a block works on: the pairs of two runs of groups, or of one run with
// itself on the diagonal. Groups and tiles are as even as can be.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/tensor_cores.cuh"

namespace attrx::cuda {

inline constexpr int kGroup = 3;         // micros of a group
inline constexpr int kRowGroups = 5;     // groups along a tile: one with itself,
inline constexpr int kColGroups = 3;     // or with those of other columns
inline constexpr int kTwoSetGroups = 3;  // the same, both ways, between two sets
inline constexpr int kMaxTasks = 15;     // warps of the largest tile of each kind
inline constexpr std::int64_t kMinSegment = 1024;
inline constexpr std::int64_t kMaxSegments = 32;
inline constexpr std::int64_t kMaxChunk = 64;  // columns in shared memory at a time, at most
#if defined(ATTRX_ENOUGH_WARPS)  // so that tests on an emulated device come to both ways
inline constexpr std::int64_t kEnoughWarps = ATTRX_ENOUGH_WARPS;
#else
inline constexpr std::int64_t kEnoughWarps = 4096;
#endif
inline constexpr std::int64_t kMostSlotBytes = 256 << 20;
inline constexpr std::int64_t kMostBlocks = 0x7fffffff;  // of a grid, and so int counts them all

static_assert(kRowGroups * (kRowGroups + 1) / 2 <= kMaxTasks);
static_assert(kRowGroups * kColGroups <= kMaxTasks);
static_assert(kTwoSetGroups * (kTwoSetGroups + 2) <= kMaxTasks, "pairs, and squares of both sets");

// Where part `index` begins if `whole` things are cut into `parts` runs that differ by one thing at
// most: the first ones are the longer ones.
__host__ __device__ constexpr int part_begin(int whole, int parts, int index) {
  const int longer = whole % parts;
  return whole / parts * index + (index < longer ? index : longer);
}

// How many parts of at most `most` things it takes.
__host__ __device__ constexpr int parts_of(int whole, int most) {
  return (whole + most - 1) / most;
}

// The networks of a set, in micros and groups.
struct Side {
  int networks;

  __host__ __device__ constexpr int micros() const { return parts_of(networks, kMicro); }
  __host__ __device__ constexpr int groups() const { return parts_of(micros(), kGroup); }
  // The first micro of a group; the end of the last one where group is groups().
  __host__ __device__ constexpr int micro(int group) const {
    return groups() == 0 ? 0 : part_begin(micros(), groups(), group);
  }
};

// Groups [begin, end) of a side.
struct Run {
  int begin, end;

  __host__ __device__ constexpr int size() const { return end - begin; }
};

// Run `index` of groups [begin, end) in as few runs of at most `most` as can be.
__host__ __device__ constexpr Run run_at(int begin, int end, int most, int index) {
  const int whole = end - begin, parts = parts_of(whole, most);
  return {begin + part_begin(whole, parts, index), begin + part_begin(whole, parts, index + 1)};
}

// Pairs of the groups of rows with those of cols; with themselves where diagonal.
struct Tile {
  Run rows, cols;
  bool diagonal;
  bool squares_of_rows, squares_of_cols;  // who adds them: one tile of those that share them

  __host__ __device__ int tasks() const {
    if (diagonal) return rows.size() * (rows.size() + 1) / 2;
    return rows.size() * cols.size() + (squares_of_rows ? rows.size() : 0) +
           (squares_of_cols ? cols.size() : 0);
  }
};

struct PairPlan {
  std::int64_t n, d;
  Side a, b;
  bool symmetric;        // b is a: only pairs i <= j are computed
  bool scaled;           // rows are multiplied by a power of two: f64 only
  std::int64_t segment;  // columns of a segment, a multiple of kMaxChunk
  int slots;             // sums kept per pair: 1, or the number of segments
  int tiles;             // per probe
  int tasks;             // of the largest tile: the warps of a block
  int rows;              // of shared memory, for the largest tile
  int chunk;             // columns in shared memory at a time

  PairPlan(std::int64_t n, std::int64_t d, std::int64_t ma, std::int64_t mb, bool symmetric,
           bool scaled)
      : n(n),
        d(d),
        a{static_cast<int>(std::min(ma, kMostBlocks - kMicro))},
        b{static_cast<int>(std::min(mb, kMostBlocks - kMicro))},
        symmetric(symmetric),
        scaled(scaled),
        segment(round_up(std::max(kMinSegment, ceil_div(d, kMaxSegments)), kMaxChunk)),
        tasks(0),
        rows(0) {
    if (std::max(ma, mb) >= kMostBlocks / kMicro || n > kMostBlocks) refuse(n, ma, mb);
    std::int64_t all_tiles = 0;
    for (int row = 0; row < row_tiles(); ++row) all_tiles += tiles_of_row(row);
    if (all_tiles > kMostBlocks / std::max<std::int64_t>(n, 1)) refuse(n, ma, mb);
    tiles = static_cast<int>(all_tiles);
    for (int row = 0; row < row_tiles(); ++row) {
      for (int index = 0; index < tiles_of_row(row); ++index) measure(tile(row, index));
    }
    chunk = rows <= kMicro ? 64 : rows <= 120 ? 32 : 16;
    const std::int64_t segments = ceil_div(d, segment);
    const bool fills = n * all_tiles * tasks >= kEnoughWarps;
    const bool fits = segments * n * ma * mb * 8 <= kMostSlotBytes;
    slots = fills || !fits ? 1 : static_cast<int>(segments);
  }

  bool empty() const { return n == 0 || a.networks == 0 || b.networks == 0; }

  unsigned blocks() const { return static_cast<unsigned>(n * tiles * slots); }

  unsigned threads() const { return static_cast<unsigned>(tasks * kWarp); }

  // Doubles between the first ones of two slabs, which hold kStep columns of all rows each: two
  // more than they need, so that stores of a row to all slabs go to different banks.
  __host__ __device__ int slab() const { return rows * kStep + 2; }

  // Doubles of a chunk.
  __host__ __device__ int chunk_size() const { return chunk / kStep * slab(); }

  __host__ __device__ int row_tiles() const {
    return parts_of(a.groups(), symmetric ? kRowGroups : kTwoSetGroups);
  }

  // Symmetric: the tiles that start at a row tile, which are the diagonal one and those right of
  // it.
  __host__ __device__ int tiles_of_row(int row) const {
    if (!symmetric) return parts_of(b.groups(), kTwoSetGroups);
    return 1 + parts_of(a.groups() - row_run(row).end, kColGroups);
  }

  __host__ __device__ Run row_run(int row) const {
    return run_at(0, a.groups(), symmetric ? kRowGroups : kTwoSetGroups, row);
  }

  __host__ __device__ Tile tile(int row, int index) const {
    Tile tile = {};
    tile.rows = row_run(row);
    tile.diagonal = symmetric && index == 0;
    if (!symmetric) {
      tile.cols = run_at(0, b.groups(), kTwoSetGroups, index);
      tile.squares_of_rows = index == 0;
      tile.squares_of_cols = row == 0;
    } else if (!tile.diagonal) {
      tile.cols = run_at(tile.rows.end, a.groups(), kColGroups, index - 1);
    }
    return tile;
  }

 private:
  void measure(const Tile& tile) {
    tasks = std::max(tasks, tile.tasks());
    const int micros = a.micro(tile.rows.end) - a.micro(tile.rows.begin) + b.micro(tile.cols.end) -
                       b.micro(tile.cols.begin);
    rows = std::max(rows, micros * kMicro);
  }

  [[noreturn]] static void refuse(std::int64_t n, std::int64_t ma, std::int64_t mb) {
    throw std::invalid_argument("attrx::cuda: " + std::to_string(n) + " probes of " +
                                std::to_string(ma) + " x " + std::to_string(mb) +
                                " networks need more blocks than one launch has: "
                                "compare fewer at a time");
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
    const std::int64_t ma = plan.a.networks, mb = plan.b.networks;
    const std::int64_t scales = plan.scaled ? plan.n : 0;
    squares_a = take(plan.slots * plan.n * ma);
    scale_a = take(scales * ma);
    squares_b = plan.symmetric ? squares_a : take(plan.slots * plan.n * mb);
    scale_b = plan.symmetric ? scale_a : take(scales * mb);
    dots = plan.slots == 1 ? out : take(plan.slots * plan.n * ma * mb);
    bytes = static_cast<std::size_t>(used) * sizeof(double);
  }
};

}  // namespace attrx::cuda
