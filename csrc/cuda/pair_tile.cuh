// The sums of a warp's tile: the products of up to 24 x 24 pairs, in registers.
//
// One instruction multiplies two micros with a third, 16 networks with 8. Of 3 x 3 micros the third
// row is taken the other way round, and so is one of three micros with themselves. Which of the
// five instructions, or three, makes which product:
//
//     rectangle  y0 y1 y2        0:  x0 x1 | y0        triangle  x0 x1 x2        0:  x0 x1 | x1
//         x0      0  1  2        1:  x0 x1 | y1            x0     2  0  2        1:  x1 x2 | x2
//         x1      0  1  2        2:  x0 x1 | y2            x1        0  1        2:  x2 x0 | x0
//         x2      3  3  4        3:  y0 y1 | x2            x2           1
//                                4:  y2 -  | x2
#pragma once

#include <cstdint>

#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/pair_plan.cuh"
#include "csrc/cuda/pair_work.cuh"
#include "csrc/cuda/tensor_cores.cuh"

namespace attrx::cuda {

constexpr int kInstructions = 5;
using Sums = double[kInstructions][4];

// Adds the products of steps [first, last) of a chunk.
__device__ inline void multiply(const double* chunk, int step_size, const Tile& tile, int first,
                                int last, Sums& sums) {
  chunk += first * step_size + threadIdx.x % kWarp;
#pragma unroll 1
  for (int s = first; s < last; ++s, chunk += step_size) {
    double x[kPanel], y[kPanel];
#pragma unroll
    for (int i = 0; i < kPanel; ++i) x[i] = chunk[tile.x[i] * kStep];
    if (tile.kind == Tile::rectangle) {
#pragma unroll
      for (int i = 0; i < kPanel; ++i) y[i] = chunk[tile.y[i] * kStep];
      multiply_add(sums[0], x[0], x[1], y[0]);
      if (tile.of_y > 1) multiply_add(sums[1], x[0], x[1], y[1]);
      if (tile.of_y > 2) multiply_add(sums[2], x[0], x[1], y[2]);
      if (tile.of_x > 2) multiply_add(sums[3], y[0], y[1], x[2]);
      if (tile.of_x > 2 && tile.of_y > 2) multiply_add(sums[4], y[2], x[2]);
    } else {
      if (tile.of_x > 1) multiply_add(sums[0], x[0], x[1], x[1]);
      if (tile.of_x > 2) multiply_add(sums[1], x[1], x[2], x[2]);
      multiply_add(sums[2], x[2], x[0], x[0]);
    }
  }
}

// Half of what an instruction makes: the products of the micros that begin with these networks.
struct Product {
  int row, col;
  bool mirrored;  // its rows belong to y
  bool wanted;    // by this tile, and not made by a smaller one besides
};

__device__ inline Product product_of(const Tile& tile, int instruction, int half) {
  constexpr int kThird = kPanel - 1;
  if (tile.kind == Tile::rectangle) {
    if (instruction < kPanel) {
      return {tile.x[half], tile.y[instruction], false,
              half < tile.of_x && instruction < tile.of_y};
    }
    const int i = instruction == kPanel ? half : kThird;
    return {tile.y[i], tile.x[kThird], true,
            kThird < tile.of_x && i < tile.of_y && i + half < kPanel};
  }
  const int col = (instruction + 1) % kPanel, row = half == 0 ? instruction % kPanel : col;
  const bool there = instruction < kPanel && row < tile.of_x && col < tile.of_x;
  return {tile.x[row], tile.x[col], row > col, there && (tile.kind != Tile::squares || row == col)};
}

// Where the sum of staged networks x and y belongs; nowhere if one is padding or if the pair is
// below the diagonal.
__device__ inline double* place_of(const PairPlan& plan, const PairBuffers& buffers,
                                   const Work& work, bool squares, int x, int y) {
  const std::int64_t probe = work.sum * plan.n + work.n;
  const std::int64_t of_rows = probe * plan.a.networks + work.a0;
  const bool diagonal = work.block.diagonal;
  if (squares) {
    const int col = x - work.cols_at;
    if (x != y) return nullptr;
    if (x < work.rows) return buffers.squares_a + of_rows + x;
    return col >= 0 && col < work.cols ? buffers.squares_b + probe * plan.b.networks + work.b0 + col
                                       : nullptr;
  }
  const int col = diagonal ? y : y - work.cols_at;
  if (x >= work.rows || col >= (diagonal ? work.rows : work.cols) || (diagonal && x > col)) {
    return nullptr;
  }
  return buffers.dots + (of_rows + x) * plan.b.networks + (diagonal ? work.a0 : work.b0) + col;
}

// Writes the sums of a segment, or adds them to those of the segments before it, and clears them.
// Squares are written by a block on the diagonal besides.
__device__ inline void flush(const PairPlan& plan, const PairBuffers& buffers, const Work& work,
                             const Tile& tile, bool first, Sums& sums) {
  const int lane = threadIdx.x % kWarp;
  const bool only_squares = tile.kind == Tile::squares;
#pragma unroll
  for (int at = 0; at < kInstructions; ++at) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Product product = product_of(tile, at, half);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = product.row + lane / 4, col = product.col + lane % 4 * 2 + i;
        const int x = product.mirrored ? col : row, y = product.mirrored ? row : col;
        const double sum = sums[at][2 * half + i];
#pragma unroll 1
        for (int squares = only_squares; squares < (work.block.diagonal ? 2 : 1 + only_squares);
             ++squares) {
          double* to = product.wanted ? place_of(plan, buffers, work, squares, x, y) : nullptr;
          if (to != nullptr) *to = first ? sum : *to + sum;
        }
        sums[at][2 * half + i] = 0;
      }
    }
  }
}

}  // namespace attrx::cuda
