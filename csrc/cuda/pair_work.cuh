// What a block of threads works on, and what a warp of it.
#pragma once

#include <cstdint>

#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/pair_plan.cuh"
#include "csrc/cuda/tensor_cores.cuh"

namespace attrx::cuda {

// Of a block of threads: elements [begin, end) of one block's maps on one probe. It lies in shared
// memory, because registers are scarce and it is seldom looked at.
struct Work {
  Block block;
  int a0, rows;  // networks of the block's rows
  int b0, cols;  // networks of its columns; none where it is diagonal
  int cols_at;   // where the latter are staged: behind the former, padded to micros
  std::int64_t n, begin, end;
  int sum;  // which of those kept of a pair
  int chunks;
};

__device__ inline Work work_at(const PairPlan& plan, int index) {
  Work work;
  int row = 0, at = index % plan.blocks;
  if (plan.symmetric) {
    while (at >= plan.blocks_of_row(row)) at -= plan.blocks_of_row(row++);
  } else {  // rows of blocks are alike, and may be very many
    row = at / plan.blocks_of_row(0);
    at %= plan.blocks_of_row(0);
  }
  work.block = plan.block(row, at);
  work.sum = index / plan.blocks % plan.sums;
  work.n = index / plan.blocks / plan.sums;

  const Block& block = work.block;
  work.a0 = plan.a.micro(block.rows.begin) * kMicro;
  work.b0 = plan.b.micro(block.cols.begin) * kMicro;
  work.cols_at = plan.a.micro(block.rows.end) * kMicro - work.a0;
  work.rows = min(work.cols_at, plan.a.networks - work.a0);
  work.cols = min(plan.b.micro(block.cols.end) * kMicro, plan.b.networks) - work.b0;
  if (block.diagonal) work.cols = 0;

  work.begin = work.sum * plan.segment;
  work.end = plan.sums == 1 ? plan.d : min(work.begin + plan.segment, plan.d);
  work.chunks = static_cast<int>(ceil_div(work.end - work.begin, plan.chunk));
  return work;
}

// Of a warp: the pairs of the micros of one panel, x, with those of another, y.
struct Tile {
  enum Kind {
    idle,
    rectangle,  // all pairs of x and y
    triangle,   // y is x: all pairs of x with itself
    squares     // y is x: only networks with themselves
  } kind;
  int x[kPanel], y[kPanel];  // the first network of every micro, as staged
  int of_x, of_y;            // how many micros there are
};

__device__ inline Tile tile_at(const PairPlan& plan, const Work& work, int index) {
  const Block& block = work.block;
  Tile tile = {};
  if (index >= block.tiles()) return tile;
  int x = 0, y = 0;  // panels of the block
  bool x_is_col = false, y_is_col = !block.diagonal;
  if (block.diagonal) {
    while (index >= block.rows.size() - x) index -= block.rows.size() - x++;
    y = x + index;
    tile.kind = x == y ? Tile::triangle : Tile::rectangle;
  } else if (index < block.rows.size() * block.cols.size()) {
    x = index / block.cols.size();
    y = index % block.cols.size();
    tile.kind = Tile::rectangle;
  } else {
    index -= block.rows.size() * block.cols.size();
    const int of_rows = block.squares_of_rows ? block.rows.size() : 0;
    x_is_col = y_is_col = index >= of_rows;
    x = y = x_is_col ? index - of_rows : index;
    tile.kind = Tile::squares;
  }
  // Micros that a panel does not have are its last one: multiplied at most, and not stored.
  const auto place = [&](int panel, bool is_col, int (&micros)[kPanel]) {
    const Set& set = is_col ? plan.b : plan.a;
    const int of_block = (is_col ? block.cols : block.rows).begin;
    const int begin = set.micro(of_block + panel);
    const int count = set.micro(of_block + panel + 1) - begin;
    const int first = (begin - set.micro(of_block)) * kMicro;
#pragma unroll
    for (int i = 0; i < kPanel; ++i) {
      micros[i] = first + min(i, count - 1) * kMicro + (is_col ? work.cols_at : 0);
    }
    return count;
  };
  tile.of_x = place(x, x_is_col, tile.x);
  tile.of_y = place(y, y_is_col, tile.y);
  return tile;
}

}  // namespace attrx::cuda
