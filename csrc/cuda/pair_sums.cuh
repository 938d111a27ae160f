// The kernel that adds squares and dot products of all pairs of networks, probe by probe.
//
// A block works on one probe and one tile of pairs. It stages the tile's rows in shared memory, a
// chunk of columns at a time and widened to double, so that every element is loaded and converted
// once; each warp then multiplies the rows of its task, 24 x 24 pairs, on the tensor cores, and
// keeps their sums in registers. There are two chunks: while one is multiplied the next is on its
// way, through registers, a few elements of every thread at a time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/pair_plan.cuh"
#include "csrc/cuda/tensor_cores.cuh"

namespace attrx::cuda {

// What a block works on: columns [begin, end) of one probe and tile, for one slot. It lies in
// shared memory, because registers are scarce and it is seldom looked at.
struct Work {
  Tile tile;
  int a0, rows;        // networks of the tile's rows
  int b0, cols;        // networks of its columns; none where it is diagonal
  int staged_columns;  // where the latter start in shared memory: the former are padded to micros
  int n, slot;
  int chunks;
  std::int64_t begin, end;
};

__device__ inline Work work_at(const PairPlan& plan, int index) {
  Work work;
  int row = 0, at = index % plan.tiles;
  while (at >= plan.tiles_of_row(row)) at -= plan.tiles_of_row(row++);
  work.tile = plan.tile(row, at);
  work.slot = index / plan.tiles % plan.slots;
  work.n = index / plan.tiles / plan.slots;

  const Tile& tile = work.tile;
  work.a0 = plan.a.micro(tile.rows.begin) * kMicro;
  work.b0 = plan.b.micro(tile.cols.begin) * kMicro;
  work.staged_columns = plan.a.micro(tile.rows.end) * kMicro - work.a0;
  work.rows = min(work.staged_columns, plan.a.networks - work.a0);
  work.cols = min(plan.b.micro(tile.cols.end) * kMicro, plan.b.networks) - work.b0;
  if (tile.diagonal) work.cols = 0;

  work.begin = work.slot * plan.segment;
  work.end = plan.slots == 1 ? plan.d : min(work.begin + plan.segment, plan.d);
  work.chunks = static_cast<int>(ceil_div(work.end - work.begin, plan.chunk));
  return work;
}

// What a warp does in a tile: the products of micros x with micros y, as far as `wanted` has a bit
// for them. Rows that pad a micro are filled by nobody: what comes of them is never stored.
struct Task {
  int x[kGroup], y[kGroup];  // where a micro starts in shared memory, in rows
  unsigned wanted;           // bit kGroup * r + c: the products of x[r] with y[c]
  bool squares;              // only those of rows with themselves are kept
};

__device__ inline Task task_at(const PairPlan& plan, const Work& work, int index) {
  const Tile& tile = work.tile;
  const int first_a = plan.a.micro(tile.rows.begin), first_b = plan.b.micro(tile.cols.begin);
  Task task = {};
  int x = 0, y = 0;  // groups of the tile
  bool x_is_col = false, y_is_col = !tile.diagonal;
  if (index >= tile.tasks()) return task;
  if (tile.diagonal) {
    while (index >= tile.rows.size() - x) index -= tile.rows.size() - x++;
    y = x + index;
  } else if (index < tile.rows.size() * tile.cols.size()) {
    x = index / tile.cols.size();
    y = index % tile.cols.size();
  } else {
    index -= tile.rows.size() * tile.cols.size();
    const int of_rows = tile.squares_of_rows ? tile.rows.size() : 0;
    task.squares = true;
    x_is_col = y_is_col = index >= of_rows;
    x = y = x_is_col ? index - of_rows : index;
  }
  // Micros that a group does not have are its last one: read, and not multiplied.
  const auto place = [&](int group, bool is_col, int (&micros)[kGroup]) {
    const Side& side = is_col ? plan.b : plan.a;
    const int begin = side.micro((is_col ? tile.cols : tile.rows).begin + group);
    const int count = side.micro((is_col ? tile.cols : tile.rows).begin + group + 1) - begin;
    const int row = (begin - (is_col ? first_b : first_a)) * kMicro;
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      micros[i] = row + min(i, count - 1) * kMicro + (is_col ? work.staged_columns : 0);
    }
    return count;
  };
  const int along_x = place(x, x_is_col, task.x), along_y = place(y, y_is_col, task.y);
  const bool same = task.x[0] == task.y[0];
#pragma unroll
  for (int r = 0; r < kGroup; ++r) {
#pragma unroll
    for (int c = 0; c < kGroup; ++c) {
      const bool inside = r < along_x && c < along_y;
      const bool needed = task.squares ? r == c : !same || r <= c;
      if (inside && needed) task.wanted |= 1u << (kGroup * r + c);
    }
  }
  return task;
}

// A few elements of every thread, on their way to shared memory: items of W columns of a row, dealt
// to the threads in turn.
template <int W, class Source>
struct Staging {
  using R = Real<typename Source::Element>;
  static constexpr int kItems = kScarceRegisters ? 1 : Source::template kAtOnce<W>;

  R v[kItems][W];

  // Items of one round for all threads.
  static __device__ int round_size() { return kItems * static_cast<int>(blockDim.x); }

  // Loads the items of a round, of the chunk that starts at column `first`; zero from work.end on.
  __device__ void fetch(const Source& source, const Work& work, int packs_log2, std::int64_t first,
                        int round) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const Item item(work, packs_log2, round, i);
#pragma unroll
      for (int w = 0; w < W; ++w) v[i][w] = 0;
      if (item.row >= work.rows + work.cols || first + item.column >= work.end) continue;
      source.template read<W>(item.second, item.m, work.n, first + item.column, v[i]);
    }
  }

  __device__ void put(const PairPlan& plan, const PairBuffers& buffers, const Work& work,
                      int packs_log2, int round, double* chunk) const {
    constexpr int kPiece = W == 1 ? 1 : 2;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const Item item(work, packs_log2, round, i);
      if (item.row >= work.rows + work.cols) continue;
      double scale = 1;
      if constexpr (std::is_same_v<R, double>) {
        scale = item.second ? buffers.scale_b[work.n * plan.b.networks + item.m]
                            : buffers.scale_a[work.n * plan.a.networks + item.m];
      }
      const int row = item.second ? item.row - work.rows + work.staged_columns : item.row;
#pragma unroll
      for (int w = 0; w < W; w += kPiece) {
        const int column = item.column + w;
        double piece[kPiece];
#pragma unroll
        for (int p = 0; p < kPiece; ++p) piece[p] = v[i][w + p] * scale;
        store(chunk + column / kStep * plan.slab() + row * kStep + column % kStep, piece);
      }
    }
  }

 private:
  struct Item {
    int row, column;  // of the tile and of the chunk
    std::int64_t m;
    bool second;

    __device__ Item(const Work& work, int packs_log2, int round, int i) {
      const int index =
          round * round_size() + i * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
      row = index >> packs_log2;
      column = (index & ((1 << packs_log2) - 1)) * W;
      second = row >= work.rows;
      m = second ? work.b0 + row - work.rows : work.a0 + row;
    }
  };
};

using Sums = double[kGroup * kGroup][2];

// Adds the products of slabs [first, last) of a chunk.
__device__ inline void multiply(const double* chunk, int slab, const Task& task, int first,
                                int last, Sums& sums) {
  chunk += first * slab + threadIdx.x % kWarp;
#pragma unroll 1
  for (int s = first; s < last; ++s, chunk += slab) {
    double left[kGroup], right[kGroup];
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      left[i] = chunk[task.x[i] * kStep];
      right[i] = chunk[task.y[i] * kStep];
    }
#pragma unroll
    for (int r = 0; r < kGroup; ++r) {
#pragma unroll
      for (int c = 0; c < kGroup; ++c) {
        const int at = kGroup * r + c;
        if (task.wanted >> at & 1) multiply_add(sums[at], left[r], right[c]);
      }
    }
  }
}

// Where the sum of rows x and y of shared memory belongs; nowhere if one is padding or if the pair
// is below the diagonal.
__device__ inline double* place_of(const PairPlan& plan, const PairBuffers& buffers,
                                   const Work& work, bool squares, int x, int y) {
  const std::int64_t probe = static_cast<std::int64_t>(work.slot) * plan.n + work.n;
  const std::int64_t of_rows = probe * plan.a.networks + work.a0;
  const bool diagonal = work.tile.diagonal;
  if (squares) {
    const int col = x - work.staged_columns;
    if (x != y) return nullptr;
    if (x < work.rows) return buffers.squares_a + of_rows + x;
    return col >= 0 && col < work.cols ? buffers.squares_b + probe * plan.b.networks + work.b0 + col
                                       : nullptr;
  }
  const int col = diagonal ? y : y - work.staged_columns;
  if (x >= work.rows || col >= (diagonal ? work.rows : work.cols) || (diagonal && x > col)) {
    return nullptr;
  }
  return buffers.dots + (of_rows + x) * plan.b.networks + (diagonal ? work.a0 : work.b0) + col;
}

// Writes the sums of a segment, or adds them to those of the segments before it, and clears them.
// Squares are written by a diagonal tile on the side.
__device__ inline void flush(const PairPlan& plan, const PairBuffers& buffers, const Work& work,
                             const Task& task, bool first, Sums& sums) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int at = 0; at < kGroup * kGroup; ++at) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int x = task.x[at / kGroup] + lane / 4, y = task.y[at % kGroup] + lane % 4 * 2 + i;
      const bool wanted = task.wanted >> at & 1;
#pragma unroll 1
      for (int pass = task.squares ? 1 : 0; pass < (work.tile.diagonal ? 2 : 1 + task.squares);
           ++pass) {
        double* to = wanted ? place_of(plan, buffers, work, pass == 1, x, y) : nullptr;
        if (to != nullptr) *to = first ? sums[at][i] : *to + sums[at][i];
      }
      sums[at][i] = 0;
    }
  }
}

// One block for every index of work_at, one warp for every task.
template <int W, class Source>
__global__ void __launch_bounds__(kMaxTasks* kWarp)
    pair_sums(Source source, PairPlan plan, PairBuffers buffers) {
  double* shared = dynamic_shared();  // two chunks of [chunk / kStep, slab]
  __shared__ Work work;
  if (threadIdx.x == 0) work = work_at(plan, blockIdx.x);
  __syncthreads();

  const Task task = task_at(plan, work, threadIdx.x / kWarp);
  const int packs = plan.chunk / W, packs_log2 = 31 - __clz(packs);
  const int items = (work.rows + work.cols) * packs;
  const int dealt = Staging<W, Source>::round_size(), rounds = (items + dealt - 1) / dealt;
  const int slabs = plan.chunk / kStep, share = (slabs + rounds - 1) / rounds;  // of a round
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
      if (k >= 0 && task.wanted != 0) {
        multiply(current, plan.slab(), task, min(round * share, slabs),
                 min((round + 1) * share, slabs), sums);
      }
      if (more) staging.put(plan, buffers, work, packs_log2, round, next);
    }
    if (k >= 0 && (!more || (k + 1) % segment_chunks == 0)) {
      flush(plan, buffers, work, task, k < segment_chunks, sums);
    }
    __syncthreads();
  }
}

}  // namespace attrx::cuda
