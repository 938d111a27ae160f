// Elements of one image's map, read from gradient and input; shared by the ops that make maps.
#pragma once

#include <algorithm>
#include <cstdint>

#include "attrx/types.h"
#include "csrc/cpu/kernels.h"

namespace attrx::cpu {

inline std::int64_t element_size(DType dtype) {
  return dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2;
}

// Elements [first, first + len) of the map of image n; out is double for f64, float otherwise.
inline void map_elements(const ImageView& grad, const ImageView& input, DType dtype,
                         const ImageShape& shape, Combine combine, Reduce reduce, std::int64_t n,
                         std::int64_t first, std::int64_t len, void* out) {
  const std::int64_t size = element_size(dtype), out_size = dtype == DType::f64 ? 8 : 4;
  const char* g = static_cast<const char*>(grad.data) + n * grad.n_stride * size;
  const char* x = combine == Combine::grad_x_input
                      ? static_cast<const char*>(input.data) + n * input.n_stride * size
                      : nullptr;
  char* to = static_cast<char*>(out);
  // Kept channels are maps of one channel, one after another.
  const std::int64_t channels = reduce == Reduce::none ? 1 : shape.c;
  while (len > 0) {
    const std::int64_t channel = reduce == Reduce::none ? first / shape.p : 0;
    const std::int64_t pixel = first - channel * shape.p;
    const std::int64_t run = std::min(len, shape.p - pixel);
    PixelSource at{g + (channel * grad.c_stride + pixel * grad.p_stride) * size,
                   nullptr,
                   grad.c_stride,
                   grad.p_stride,
                   0,
                   0};
    if (x != nullptr) {
      at.input = x + (channel * input.c_stride + pixel * input.p_stride) * size;
      at.input_c = input.c_stride;
      at.input_p = input.p_stride;
    }
    kernels().reduce_channels(at, dtype, combine, reduce == Reduce::abs_mean, channels, run, to);
    first += run;
    len -= run;
    to += run * out_size;
  }
}

}  // namespace attrx::cpu
