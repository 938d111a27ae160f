// The leaf loops, compiled once per instruction set (see csrc/cpu/isa/) and chosen at run time.
// They touch plain arrays only and include nothing, so that no inline function of the standard
// library compiled for a newer processor can be picked by the linker for an older one.
#pragma once

#include <cstdint>

#include "attrx/types.h"

namespace attrx::cpu {

// Rows of packed doubles are kChunk elements long and kRowStride apart; the padding keeps rows from
// falling into the same L1 set. A gram block is at most kBlock x kBlock networks.
constexpr int kChunk = 256;
constexpr int kRowStride = kChunk + 8;
constexpr int kBlock = 32;
// Partial sums of a dot product are kept in this many lanes until its end.
constexpr int kLanes = 8;

// Where the pixels of one image lie, for both factors; strides count elements.
struct PixelSource {
  const void* grad;
  const void* input;  // nullptr unless combine is grad_x_input
  std::int64_t grad_c, grad_p;
  std::int64_t input_c, input_p;
};

struct Kernels {
  const char* name;

  // Map elements of `len` neighbouring pixels: all channels reduced in their order (mean,
  // abs_mean). out is double for f64 and float otherwise.
  void (*reduce_channels)(const PixelSource& at, DType dtype, Combine combine, bool magnitude,
                          std::int64_t channels, std::int64_t len, void* out);

  // len elements (float or double, as `is_double` says) to doubles, each times `scale`.
  void (*widen)(const void* in, DType dtype, double scale, std::int64_t len, double* out);

  // Sum of squares of a finished map row, accumulated in double.
  double (*sum_of_squares)(const void* row, bool is_double, std::int64_t len);

  // row *= factor, through double.
  void (*scale)(void* row, bool is_double, double factor, std::int64_t len);

  double (*absmax)(const double* row, std::int64_t len);

  // acc[i][j][lane] += the lane sums of a_i . b_j over kChunk elements, for i < ma and j < mb; with
  // `upper`, pairs below the diagonal may be left out. acc rows are kBlock * kLanes doubles apart.
  void (*gram)(const double* a, int ma, const double* b, int mb, bool upper, double* acc);

  // acc[i][lane] += the lane sums of a_i . a_i, in the same order as `gram`.
  void (*squares)(const double* a, int ma, double* acc);
};

const Kernels& kernels();

}  // namespace attrx::cpu
