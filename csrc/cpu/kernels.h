// The leaf loops: declared here and nowhere else, compiled once per instruction set (csrc/cpu/isa)
// and chosen at run time. They touch plain arrays only and include nothing, so that no inline
// function of the standard library compiled for a newer processor can be picked by the linker for
// an older one.
#pragma once

#include <cstdint>

#include "attrx/types.h"

namespace attrx::cpu {

// Rows of packed doubles are kChunk elements long and kRowStride apart; the padding keeps rows from
// falling into the same L1 set.
constexpr int kChunk = 256;
constexpr int kRowStride = kChunk + 8;

// Words of elements that wrap around the end of a sketch are added past it first.
constexpr int kSketchMargin = 64;

// Where the pixels of one image lie, for both factors; strides count elements.
struct PixelSource {
  const void* grad;
  const void* input;  // nullptr unless combine is grad_x_input
  std::int64_t grad_c, grad_p;
  std::int64_t input_c, input_p;
};

struct Kernels {
  const char* name;
  int tile;       // rows, and columns, of a tile of pairs
  int tile_sums;  // doubles that hold its sums

  // Map elements of `len` neighboring pixels: all channels reduced in their order (mean,
  // abs_mean). out is double for f64 and float otherwise.
  void (*reduce_channels)(const PixelSource& at, DType dtype, Combine combine, bool magnitude,
                          std::int64_t channels, std::int64_t len, void* out);

  // Rows of `len` elements, row_bytes apart, to doubles, row i times factor[i]. Rows of out are
  // kRowStride apart and filled up to kChunk elements with zeros. Fetches as much again behind the
  // end of every row, for the next call.
  void (*widen)(const void* rows, DType dtype, std::int64_t row_bytes, std::int64_t count,
                std::int64_t len, const double* factor, double* out);

  // Sum of squares of a finished map row, accumulated in double.
  double (*sum_of_squares)(const void* row, bool is_double, std::int64_t len);

  // row *= factor, through double.
  void (*scale)(void* row, bool is_double, double factor, std::int64_t len);

  double (*absmax)(const double* row, std::int64_t len);

  // The tiles of `rows` packed rows with a panel of at most `tile` columns, over kChunk elements:
  // sums[i][j] += a_i . b_j. Tiles lie one after another, on cache lines, and begin as zeros.
  // `closing` says that the last rows are the columns themselves: of the last tile only i <= j is
  // added.
  void (*panel)(const double* a, std::int64_t rows, const double* b, std::int64_t columns,
                bool closing, double* sums);

  // The same to the bit, of floats that are read where they lie, rows `stride` apart.
  void (*panel_in_place)(const float* a, std::int64_t rows, const float* b, std::int64_t columns,
                         std::int64_t stride, bool closing, double* sums);

  // The same of the last tile of a closing panel, which it packs.
  void (*pack_diagonal)(const float* rows, std::int64_t count, std::int64_t stride, double* packed,
                        double* sums);

  // The sums of a panel to out[i * stride + j].
  void (*write_sums)(const double* sums, std::int64_t rows, std::int64_t columns, double* out,
                     std::int64_t stride);

  // out[i] += a_i . a_i, to the bit as panel.
  void (*squares)(const double* a, std::int64_t rows, double* out);

  // Adds a map row, each element times `factor`, to the sketch of its probe (see sketch_hash.h);
  // returns the sum of squares of what was added, if asked for. sums are zeros in the beginning,
  // and kSketchMargin more than `size`, which are scratch afterwards.
  double (*sketch_row)(const void* row, DType dtype, std::int64_t d, double factor,
                       std::uint64_t key, std::int64_t size, bool with_squares, float* sums);

  // total += row * factor.
  void (*add_scaled)(const float* row, double factor, std::int64_t len, double* total);

  // Ceilings: reads everything; does `rounds` of independent multiply-adds and returns how many.
  double (*sum_all)(const double* data, std::int64_t count);
  std::int64_t (*multiply_add)(std::int64_t rounds, double* out);
};

const Kernels& kernels();

}  // namespace attrx::cpu
