// What each instruction set's build of the leaf loops provides; ATTRX_ISA names its namespace.
#pragma once

#include "csrc/cpu/kernels.h"

#define ATTRX_DECLARE_KERNELS                                                               \
  void reduce_channels(const PixelSource& at, DType dtype, Combine combine, bool magnitude, \
                       std::int64_t channels, std::int64_t len, void* out);                 \
  void widen(const void* in, DType dtype, double scale, std::int64_t len, double* out);     \
  double sum_of_squares(const void* row, bool is_double, std::int64_t len);                 \
  void scale(void* row, bool is_double, double factor, std::int64_t len);                   \
  double absmax(const double* row, std::int64_t len);                                       \
  void gram(const double* a, int ma, const double* b, int mb, bool upper, double* acc);     \
  void squares(const double* a, int ma, double* acc);

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
