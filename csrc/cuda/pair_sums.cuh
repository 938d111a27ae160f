// The kernel that adds squares and dot products of all pairs of networks, probe by probe.
//
// A block works on one probe and one tile of pairs. It stages kChunk columns of the tile's rows in
// shared memory, widened to double, so that every element is loaded and converted once; each half
// warp then adds the products of its micro-tile of 4 x 4 pairs to 16 sums in registers: 8 loads
// from shared memory for 16 FMAs. There are two chunks: while half of the warps multiply one, the
// others load the next, and then they change places, which hides the latency of memory even where
// registers allow few blocks. Squares are the diagonal of a micro-tile of rows with themselves.
#pragma once

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/pair_plan.cuh"

namespace attrx::cuda {

// Pairs of networks [a0, a0 + rows) x [b0, b0 + cols). A diagonal tile has only rows.
struct Tile {
  int a0, b0;
  int rows, cols;
  bool diagonal;
  bool squares_of_rows, squares_of_cols;  // who adds them: one tile of those that share them
};

// What a block works on: columns [begin, end) of one probe and tile, for one slot. It lies in
// shared memory, because registers are scarce and it is seldom looked at.
struct Work {
  Tile tile;
  int n, slot;
  int chunks;  // of kChunk columns
  std::int64_t begin, end;
};

__device__ inline Tile tile_at(const PairPlan& plan, int index) {
  int row = 0;
  if (plan.symmetric) {
    while (index >= plan.tiles_of_row(row)) index -= plan.tiles_of_row(row++);
  } else {
    const int across = static_cast<int>(ceil_div(plan.mb, kColTile));
    row = index / across;
    index %= across;
  }
  Tile tile;
  tile.a0 = row * kRowTile;
  tile.rows = min(plan.ma - tile.a0, kRowTile);
  tile.diagonal = plan.symmetric && index == 0;
  tile.b0 = plan.symmetric ? tile.a0 + kRowTile + (index - 1) * kColTile : index * kColTile;
  tile.cols = tile.diagonal ? 0 : min(plan.mb - tile.b0, kColTile);
  tile.squares_of_rows = !plan.symmetric && index == 0;
  tile.squares_of_cols = !plan.symmetric && row == 0;
  return tile;
}

__device__ inline Work work_at(const PairPlan& plan, int index) {
  Work work;
  work.tile = tile_at(plan, index % plan.tiles);
  work.slot = index / plan.tiles % plan.slots;
  work.n = index / plan.tiles / plan.slots;
  work.begin = work.slot * plan.segment;
  work.end = plan.slots == 1 ? plan.d : min(work.begin + plan.segment, plan.d);
  work.chunks = static_cast<int>(ceil_div(work.end - work.begin, kChunk));
  return work;
}

// What a half warp does in a tile: the products of rows [x, x + kMicro) and [y, y + kMicro) of
// shared memory, where the tile's columns come after its rows. Both are padded to whole micro-tiles
// with rows that nobody fills: what comes of them is never stored.
struct Task {
  enum Kind { idle, pairs, squares } kind;
  int x, y;
};

__device__ inline Task task_at(const Tile& tile, int index) {
  const int across = micros(tile.cols), down = micros(tile.rows);
  if (tile.diagonal) {
    int row = 0;
    while (row < down && index >= down - row) index -= down - row++;
    if (row == down) return {Task::idle, 0, 0};
    return {Task::pairs, row * kMicro, (row + index) * kMicro};
  }
  if (index < down * across) {
    return {Task::pairs, index / across * kMicro, (down + index % across) * kMicro};
  }
  index -= down * across;
  if (tile.squares_of_rows) {
    if (index < down) return {Task::squares, index * kMicro, index * kMicro};
    index -= down;
  }
  if (tile.squares_of_cols && index < across) {
    return {Task::squares, (down + index) * kMicro, (down + index) * kMicro};
  }
  return {Task::idle, 0, 0};
}

// Columns [first, first + kChunk) of the tile's rows to shared memory [rows, kChunk]; zero from
// work.end on. Every thread stages its own share, whenever its warp comes to it.
template <int W, class Source>
__device__ inline void stage(const Source& source, const PairPlan& plan, const PairBuffers& buffers,
                             const Work& work, std::int64_t first, double* chunk) {
  using R = Real<typename Source::Element>;
  constexpr int kPerRow = kChunk / W;
  const Tile& tile = work.tile;
  const int items = (tile.rows + tile.cols) * kPerRow;
#pragma unroll 1
  for (int item = threadIdx.x; item < items; item += blockDim.x) {
    const int index = item / kPerRow, column = item % kPerRow * W;
    const bool second = index >= tile.rows;
    const int row = second ? index - tile.rows : index;
    const int m = (second ? tile.b0 : tile.a0) + row;
    R v[W];
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] = 0;
    if (first + column < work.end) source.template read<W>(second, m, work.n, first + column, v);
    double scale = 1;
    if constexpr (std::is_same_v<R, double>) {
      const std::int64_t n = work.n;
      scale = second ? buffers.scale_b[n * plan.mb + m] : buffers.scale_a[n * plan.ma + m];
    }
    double* to = chunk + (second ? micros(tile.rows) * kMicro + row : row) * kChunk + column;
#pragma unroll
    for (int i = 0; i < W; ++i) to[i] = v[i] * scale;
  }
}

// sums[r * kMicro + c] += row x + r times row y + c, over the columns of this lane.
__device__ inline void add_products(const double* chunk, const Task& task, int lane,
                                    double (&sums)[kLanes]) {
  const double* x = chunk + task.x * kChunk + lane;
  const double* y = chunk + task.y * kChunk + lane;
#pragma unroll
  for (int column = 0; column < kChunk; column += kLanes) {
    double left[kMicro];
#pragma unroll
    for (int r = 0; r < kMicro; ++r) left[r] = x[r * kChunk + column];
#pragma unroll
    for (int c = 0; c < kMicro; ++c) {
      const double right = y[c * kChunk + column];
#pragma unroll
      for (int r = 0; r < kMicro; ++r) {
        sums[r * kMicro + c] = fma(left[r], right, sums[r * kMicro + c]);
      }
    }
  }
}

// Adds the kLanes sums of every pair over the lanes of a half warp, and leaves pair `lane` with
// lane `lane`. In each round a lane hands half of its sums to its partner and keeps the others;
// the tree is the same for every pair, so a pair's bits do not depend on its place.
template <int kHalf = kLanes / 2>
__device__ inline double add_lanes(double (&sums)[kLanes], int lane) {
  const bool upper = (lane & kHalf) != 0;
#pragma unroll
  for (int i = 0; i < kHalf; ++i) {
    const double given = upper ? sums[i] : sums[i + kHalf];
    const double kept = upper ? sums[i + kHalf] : sums[i];
    sums[i] = kept + __shfl_xor_sync(kFullMask, given, kHalf);
  }
  if constexpr (kHalf > 1) return add_lanes<kHalf / 2>(sums, lane);
  return sums[0];
}

// Writes the sum of pair `lane` of a task, unless that is padding or below the diagonal.
__device__ inline void store_sum(const PairPlan& plan, const PairBuffers& buffers, const Work& work,
                                 const Task& task, int lane, double sum) {
  const Tile& tile = work.tile;
  const std::int64_t probe = work.slot * plan.n + work.n;
  const int padded_rows = micros(tile.rows) * kMicro;
  const int r = task.x + lane / kMicro, c = task.y + lane % kMicro;  // rows of shared memory
  if (task.kind == Task::pairs) {
    const int col = tile.diagonal ? c : c - padded_rows;
    if (r >= tile.rows || col >= (tile.diagonal ? tile.rows : tile.cols)) return;
    if (tile.diagonal && r > col) return;
    const int i = tile.a0 + r, j = (tile.diagonal ? tile.a0 : tile.b0) + col;
    buffers.dots[(probe * plan.ma + i) * plan.mb + j] = sum;
    if (tile.diagonal && r == col) buffers.squares_a[probe * plan.ma + i] = sum;
  } else if (task.kind == Task::squares && r == c) {
    if (r < tile.rows) {
      buffers.squares_a[probe * plan.ma + tile.a0 + r] = sum;
    } else if (r >= padded_rows && r - padded_rows < tile.cols) {
      buffers.squares_b[probe * plan.mb + tile.b0 + r - padded_rows] = sum;
    }
  }
}

// One block for every index of work_at.
template <int W, class Source>
__global__ void __launch_bounds__(kMaxPairThreads<!Source::kTwoSets>, Source::kMinBlocks)
    pair_sums(Source source, PairPlan plan, PairBuffers buffers, int chunk_size) {
  extern __shared__ double shared[];  // two chunks of [chunk_size / kChunk, kChunk]
  __shared__ Work work;
  if (threadIdx.x == 0) work = work_at(plan, blockIdx.x);
  __syncthreads();

  const int lane = threadIdx.x % kLanes;
  const Task task = task_at(work.tile, threadIdx.x / kLanes);
  // One half of a warp may be idle; the shuffles want both.
  const bool busy = __any_sync(kFullMask, task.kind != Task::idle);
  double sums[kLanes] = {};
  double total = 0;
  for (int k = -1; k < work.chunks; ++k) {
    // In two turns, every warp multiplies chunk k and stages its share of chunk k + 1.
    double* current = shared + (k % 2 == 0 ? 0 : chunk_size);
    double* other = shared + (k % 2 == 0 ? chunk_size : 0);
#pragma unroll 1
    for (int turn = 0; turn < 2; ++turn) {
      if ((threadIdx.x / kWarp + turn) % 2 == 0) {
        if (k + 1 < work.chunks) {
          stage<W>(source, plan, buffers, work, work.begin + (k + 1LL) * kChunk, other);
        }
      } else if (k >= 0 && busy) {
        add_products(current, task, lane, sums);
      }
    }
    if (k >= 0 && busy && (k + 1 == work.chunks || (k + 1) % plan.segment_chunks == 0)) {
      total += add_lanes(sums, lane);
#pragma unroll
      for (int i = 0; i < kLanes; ++i) sums[i] = 0;
    }
    __syncthreads();
  }
  store_sum(plan, buffers, work, task_at(work.tile, threadIdx.x / kLanes), lane, total);
}

}  // namespace attrx::cuda
