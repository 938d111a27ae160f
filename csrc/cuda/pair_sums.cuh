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
  std::int64_t n, begin, end;
  int slot, chunks;
};

__device__ inline Work work_at(const PairPlan& plan, int index) {
  Work work;
  int row = 0, at = index % plan.tiles;
  if (plan.symmetric) {
    while (at >= plan.tiles_of_row(row)) at -= plan.tiles_of_row(row++);
  } else {  // rows of tiles are alike, and may be very many
    row = at / plan.tiles_of_row(0);
    at %= plan.tiles_of_row(0);
  }
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

// What a warp does in a tile: the products of up to kGroup micros x with as many micros y.
struct Task {
  enum Kind {
    idle,
    rectangle,  // all pairs of x and y
    triangle,   // y is x: all pairs of x with itself
    squares     // y is x: only rows with themselves
  } kind;
  int x[kGroup], y[kGroup];  // where a micro starts in shared memory, in rows
  int of_x, of_y;            // how many there are
};

__device__ inline Task task_at(const PairPlan& plan, const Work& work, int index) {
  const Tile& tile = work.tile;
  Task task = {};
  if (index >= tile.tasks()) return task;
  int x = 0, y = 0;  // groups of the tile
  bool x_is_col = false, y_is_col = !tile.diagonal;
  if (tile.diagonal) {
    while (index >= tile.rows.size() - x) index -= tile.rows.size() - x++;
    y = x + index;
    task.kind = x == y ? Task::triangle : Task::rectangle;
  } else if (index < tile.rows.size() * tile.cols.size()) {
    x = index / tile.cols.size();
    y = index % tile.cols.size();
    task.kind = Task::rectangle;
  } else {
    index -= tile.rows.size() * tile.cols.size();
    const int of_rows = tile.squares_of_rows ? tile.rows.size() : 0;
    x_is_col = y_is_col = index >= of_rows;
    x = y = x_is_col ? index - of_rows : index;
    task.kind = Task::squares;
  }
  // Micros that a group does not have are its last one: multiplied at most, and not stored.
  const auto place = [&](int group, bool is_col, int (&micros)[kGroup]) {
    const Side& side = is_col ? plan.b : plan.a;
    const int of_tile = (is_col ? tile.cols : tile.rows).begin;
    const int begin = side.micro(of_tile + group);
    const int count = side.micro(of_tile + group + 1) - begin;
    const int row = (begin - side.micro(of_tile)) * kMicro;
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      micros[i] = row + min(i, count - 1) * kMicro + (is_col ? work.staged_columns : 0);
    }
    return count;
  };
  task.of_x = place(x, x_is_col, task.x);
  task.of_y = place(y, y_is_col, task.y);
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

// One instruction multiplies two micros with a third, so products are paired. Of 3 x 3 micros the
// third row is taken the other way round, and of three with themselves the two lower sums are
// mirrored:
//   rectangle: x0 x1 | y0,  x0 x1 | y1,  x0 x1 | y2,  y0 y1 | x2,  y2 - | x2
//   triangle:  x0 x1 | x1,  x1 x2 | x2,  x2 x0 | x0
constexpr int kProducts = 5;
using Sums = double[kProducts][4];

// Adds the products of slabs [first, last) of a chunk.
__device__ inline void multiply(const double* chunk, int slab, const Task& task, int first,
                                int last, Sums& sums) {
  chunk += first * slab + threadIdx.x % kWarp;
#pragma unroll 1
  for (int s = first; s < last; ++s, chunk += slab) {
    double x[kGroup], y[kGroup];
#pragma unroll
    for (int i = 0; i < kGroup; ++i) x[i] = chunk[task.x[i] * kStep];
    if (task.kind == Task::rectangle) {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) y[i] = chunk[task.y[i] * kStep];
      multiply_add(sums[0], x[0], x[1], y[0]);
      if (task.of_y > 1) multiply_add(sums[1], x[0], x[1], y[1]);
      if (task.of_y > 2) multiply_add(sums[2], x[0], x[1], y[2]);
      if (task.of_x > 2) multiply_add(sums[3], y[0], y[1], x[2]);
      if (task.of_x > 2 && task.of_y > 2) multiply_add(sums[4], y[2], x[2]);
    } else {
      if (task.of_x > 1) multiply_add(sums[0], x[0], x[1], x[1]);
      if (task.of_x > 2) multiply_add(sums[1], x[1], x[2], x[2]);
      multiply_add(sums[2], x[2], x[0], x[0]);
    }
  }
}

// What half `half` of product `at` is: the first row and column of shared memory that it
// multiplies, if it is a product of its own and none that a smaller task makes besides.
struct Product {
  int row, col;
  bool mirrored;  // its rows belong to y
  bool wanted;
};

__device__ inline Product product_of(const Task& task, int at, int half) {
  constexpr int kThird = kGroup - 1;
  if (task.kind == Task::rectangle) {
    if (at < kGroup) {
      return {task.x[half], task.y[at], false, half < task.of_x && at < task.of_y};
    }
    const int i = at == kGroup ? half : kThird;
    return {task.y[i], task.x[kThird], true,
            kThird < task.of_x && i < task.of_y && i + half < kGroup};
  }
  const int col = (at + 1) % kGroup, row = half == 0 ? at % kGroup : col;
  const bool there = at < kGroup && row < task.of_x && col < task.of_x;
  return {task.x[row], task.x[col], row > col, there && (task.kind != Task::squares || row == col)};
}

// Where the sum of rows x and y of shared memory belongs; nowhere if one is padding or if the pair
// is below the diagonal.
__device__ inline double* place_of(const PairPlan& plan, const PairBuffers& buffers,
                                   const Work& work, bool squares, int x, int y) {
  const std::int64_t probe = work.slot * plan.n + work.n;
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
  const bool only_squares = task.kind == Task::squares;
#pragma unroll
  for (int at = 0; at < kProducts; ++at) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Product product = product_of(task, at, half);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = product.row + lane / 4, col = product.col + lane % 4 * 2 + i;
        const int x = product.mirrored ? col : row, y = product.mirrored ? row : col;
        const double sum = sums[at][2 * half + i];
#pragma unroll 1
        for (int squares = only_squares; squares < (work.tile.diagonal ? 2 : 1 + only_squares);
             ++squares) {
          double* to = product.wanted ? place_of(plan, buffers, work, squares, x, y) : nullptr;
          if (to != nullptr) *to = first ? sum : *to + sum;
        }
        sums[at][2 * half + i] = 0;
      }
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
      if (k >= 0 && task.kind != Task::idle) {
        multiply(current, plan.slab(), task, min(round * share, slabs),
                 min((round + 1) * share, slabs), sums);
      }
      if (more) staging.put(plan, buffers, work, packs_log2, round, next);
    }
    if (k >= 0 && (!more || (k + 1) % segment_chunks == 0)) {
      if (task.kind != Task::idle) flush(plan, buffers, work, task, k < segment_chunks, sums);
    }
    __syncthreads();
  }
}

}  // namespace attrx::cuda
