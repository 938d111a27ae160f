// What each instruction set's build of the leaf loops provides; ATTRX_ISA names its namespace.
#pragma once

#include "csrc/cpu/kernels.h"

#define ATTRX_DECLARE_KERNELS                                                                     \
  extern const int tile_size, tile_sums;                                                          \
  void reduce_channels(const PixelSource& at, DType dtype, Combine combine, bool magnitude,       \
                       std::int64_t channels, std::int64_t len, void* out);                       \
  void widen(const void* rows, DType dtype, std::int64_t row_bytes, std::int64_t count,           \
             std::int64_t len, const double* factor, double* out);                                \
  double sum_of_squares(const void* row, bool is_double, std::int64_t len);                       \
  void scale(void* row, bool is_double, double factor, std::int64_t len);                         \
  double absmax(const double* row, std::int64_t len);                                             \
  double* panel(const double* a, std::int64_t rows, const double* b, std::int64_t columns,        \
                bool closing, double* sums);                                                      \
  double* panel_in_place(const float* a, std::int64_t rows, const float* b, std::int64_t columns, \
                         std::int64_t stride, bool closing, double* sums);                        \
  void pack_diagonal(const float* rows, std::int64_t count, std::int64_t stride, double* packed,  \
                     double* sums);                                                               \
  const double* unpack(const double* sums, std::int64_t rows, std::int64_t columns, double* out,  \
                       std::int64_t stride);                                                      \
  void squares(const double* a, std::int64_t rows, double* out);                                  \
  double sketch_row(const void* row, DType dtype, std::int64_t d, double factor,                  \
                    std::uint64_t key, std::int64_t size, bool with_squares, float* sums);        \
  void add_scaled(const float* row, double factor, std::int64_t len, double* total);              \
  double sum_all(const double* data, std::int64_t count);                                         \
  std::int64_t multiply_add(std::int64_t rounds, double* out);

namespace attrx::cpu {
namespace base {
ATTRX_DECLARE_KERNELS
}
#if defined(ATTRX_X86)
namespace avx2 {
ATTRX_DECLARE_KERNELS
}
namespace avx512 {
ATTRX_DECLARE_KERNELS
}
#endif
}  // namespace attrx::cpu
