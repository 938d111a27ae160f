// How the cosines of all pairs of networks are divided, and what the workspace holds. The words are
// those of docs/kernels.md.
//
// 130 networks with themselves are 17 micros of 8 networks, and 6 panels of up to 3 micros, as even
// as can be: 24 24 24 24 24 10. A panel with a panel is a tile, and a warp's. A block, of up to 5
// panels with themselves or with up to 3 others, is a block of threads'. Here a probe has three:
//
//     panel  0  1  2   3  4  5
//       0    \  o  o | o  o  o      o  rectangle: all pairs
//       1       \  o | o  o  o      \  triangle: pairs i <= j, and the squares
//       2          \ | o  o  o
//            block 0   block 1      6, 9 and 6 tiles: a block of threads has 9 warps, of which
//       3            | \  o  o      3 are idle in blocks 0 and 2
//       4            |    \  o
//       5            |       \      .
//                      block 2
//
// Two sets of networks come in blocks of up to 3 x 3 panels; for the squares those at the left
// and upper edges have warps of their own. Along the maps, of 50176 elements for example:
//
//     segments  |-------------|-------------|-- ..   32 of 1600: sums of their own
//     chunks    |---|---|---|-- ..                   of 16, so that 136 networks fit shared memory
//     steps     |||||||||||||-- ..                   of 4: what one instruction adds
//
// A pair's bits must depend on D alone. So segments do, their products are added step by step, and
// their sums in their order; all else only decides who computes what. Where probes and blocks alone
// do not fill a GPU, every segment gets a block of threads, and its sum a place in the workspace;
// else a block of threads walks through all segments and adds their sums itself.
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

inline constexpr int kPanel = 3;         // micros of a panel
inline constexpr int kRowPanels = 5;     // panels along a block: with themselves,
inline constexpr int kColPanels = 3;     // or with those of other columns
inline constexpr int kTwoSetPanels = 3;  // the same, both ways, between two sets
inline constexpr int kMaxTiles = 15;     // warps of the largest block of each kind
inline constexpr std::int64_t kMinSegment = 1024;
inline constexpr std::int64_t kMaxSegments = 32;
inline constexpr std::int64_t kMaxChunk = 64;
#if defined(ATTRX_ENOUGH_WARPS)  // so that tests on an emulated device come to both ways
inline constexpr std::int64_t kEnoughWarps = ATTRX_ENOUGH_WARPS;
#else
inline constexpr std::int64_t kEnoughWarps = 4096;
#endif
inline constexpr std::int64_t kMostSumBytes = 256 << 20;  // of segments in the workspace
inline constexpr std::int64_t kMostBlocks = 0x7fffffff;   // of a grid, and so int counts them all

static_assert(kRowPanels * (kRowPanels + 1) / 2 <= kMaxTiles);
static_assert(kRowPanels * kColPanels <= kMaxTiles);
static_assert(kTwoSetPanels * (kTwoSetPanels + 2) <= kMaxTiles, "pairs, and squares of both sets");

// Where part `index` begins if `whole` things are cut into `parts` that differ by one thing at
// most: the first ones are the longer ones.
__host__ __device__ constexpr int part_begin(int whole, int parts, int index) {
  const int longer = whole % parts;
  return whole / parts * index + (index < longer ? index : longer);
}

// How many parts of at most `most` things it takes.
__host__ __device__ constexpr int parts_of(int whole, int most) {
  return (whole + most - 1) / most;
}

// A set of networks, in micros and panels.
struct Set {
  int networks;

  __host__ __device__ constexpr int micros() const { return parts_of(networks, kMicro); }
  __host__ __device__ constexpr int panels() const { return parts_of(micros(), kPanel); }
  // The first micro of a panel; the end of the last one where panel is panels().
  __host__ __device__ constexpr int micro(int panel) const {
    return panels() == 0 ? 0 : part_begin(micros(), panels(), panel);
  }
};

// Panels [begin, end) of a set.
struct Panels {
  int begin, end;

  __host__ __device__ constexpr int size() const { return end - begin; }
};

// Part `index` of panels [begin, end), in as few parts of at most `most` as can be.
__host__ __device__ constexpr Panels part_of(int begin, int end, int most, int index) {
  const int whole = end - begin, parts = parts_of(whole, most);
  return {begin + part_begin(whole, parts, index), begin + part_begin(whole, parts, index + 1)};
}

// The pairs of some panels with others; with themselves where diagonal.
struct Block {
  Panels rows, cols;
  bool diagonal;
  bool squares_of_rows, squares_of_cols;  // who adds them: one block of those that share them

  __host__ __device__ int tiles() const {
    if (diagonal) return rows.size() * (rows.size() + 1) / 2;
    return rows.size() * cols.size() + (squares_of_rows ? rows.size() : 0) +
           (squares_of_cols ? cols.size() : 0);
  }
};

struct PairPlan {
  std::int64_t n, d;
  Set a, b;
  bool symmetric;        // b is a: only pairs i <= j are computed
  bool scaled;           // maps are multiplied by a power of two: f64 only
  std::int64_t segment;  // elements of a segment, a multiple of kMaxChunk
  int sums;              // kept of a pair: 1, or one a segment
  int blocks;            // of a probe
  int tiles;             // of the largest block: the warps of a block of threads
  int staged;            // networks of the largest block, in whole micros
  int chunk;             // elements of a chunk

  PairPlan(std::int64_t n, std::int64_t d, std::int64_t ma, std::int64_t mb, bool symmetric,
           bool scaled)
      : n(n),
        d(d),
        a{static_cast<int>(std::min(ma, kMostBlocks - kMicro))},
        b{static_cast<int>(std::min(mb, kMostBlocks - kMicro))},
        symmetric(symmetric),
        scaled(scaled),
        segment(round_up(std::max(kMinSegment, ceil_div(d, kMaxSegments)), kMaxChunk)),
        tiles(0),
        staged(0) {
    if (std::max(ma, mb) >= kMostBlocks / kMicro || n > kMostBlocks) refuse(n, ma, mb);
    std::int64_t all_blocks = 0;
    for (int row = 0; row < row_parts(); ++row) all_blocks += blocks_of_row(row);
    if (all_blocks > kMostBlocks / std::max<std::int64_t>(n, 1)) refuse(n, ma, mb);
    blocks = static_cast<int>(all_blocks);
    for (int row = 0; row < row_parts(); ++row) {
      for (int index = 0; index < blocks_of_row(row); ++index) measure(block(row, index));
    }
    chunk = staged <= kMicro ? 64 : staged <= 120 ? 32 : 16;
    const std::int64_t segments = ceil_div(d, segment);
    const bool fills = n * all_blocks * tiles >= kEnoughWarps;
    const bool fits = segments * n * ma * mb * 8 <= kMostSumBytes;
    sums = fills || !fits ? 1 : static_cast<int>(segments);
  }

  bool empty() const { return n == 0 || a.networks == 0 || b.networks == 0; }

  // Blocks of threads, and threads of each.
  unsigned grid() const { return static_cast<unsigned>(n * blocks * sums); }
  unsigned threads() const { return static_cast<unsigned>(tiles * kWarp); }

  // Doubles from a step to the next: two more than it needs, so that stores of a network's elements
  // to all steps go to different banks.
  __host__ __device__ int step_size() const { return staged * kStep + 2; }

  // Doubles of a chunk.
  __host__ __device__ int chunk_size() const { return chunk / kStep * step_size(); }

  // Blocks come in rows, which share their rows of networks.
  __host__ __device__ int row_parts() const {
    return parts_of(a.panels(), symmetric ? kRowPanels : kTwoSetPanels);
  }

  __host__ __device__ Panels row_panels(int row) const {
    return part_of(0, a.panels(), symmetric ? kRowPanels : kTwoSetPanels, row);
  }

  // Symmetric: the one on the diagonal, and those right of it.
  __host__ __device__ int blocks_of_row(int row) const {
    if (!symmetric) return parts_of(b.panels(), kTwoSetPanels);
    return 1 + parts_of(a.panels() - row_panels(row).end, kColPanels);
  }

  __host__ __device__ Block block(int row, int index) const {
    Block block = {};
    block.rows = row_panels(row);
    block.diagonal = symmetric && index == 0;
    if (!symmetric) {
      block.cols = part_of(0, b.panels(), kTwoSetPanels, index);
      block.squares_of_rows = index == 0;
      block.squares_of_cols = row == 0;
    } else if (!block.diagonal) {
      block.cols = part_of(block.rows.end, a.panels(), kColPanels, index - 1);
    }
    return block;
  }

 private:
  void measure(const Block& block) {
    tiles = std::max(tiles, block.tiles());
    const int micros = a.micro(block.rows.end) - a.micro(block.rows.begin) +
                       b.micro(block.cols.end) - b.micro(block.cols.begin);
    staged = std::max(staged, micros * kMicro);
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
  double* dots;       // [sums, n, ma, mb], only i <= j where symmetric; `out` where sums is 1
  double* squares_a;  // [sums, n, ma]
  double* squares_b;  // [sums, n, mb]; squares_a where symmetric
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
    squares_a = take(plan.sums * plan.n * ma);
    scale_a = take(scales * ma);
    squares_b = plan.symmetric ? squares_a : take(plan.sums * plan.n * mb);
    scale_b = plan.symmetric ? scale_a : take(scales * mb);
    dots = plan.sums == 1 ? out : take(plan.sums * plan.n * ma * mb);
    bytes = static_cast<std::size_t>(used) * sizeof(double);
  }
};

}  // namespace attrx::cuda
