// Leaf loops of the map stage. Compiled once per instruction set and without contraction of
// products and sums, so that a map element has the same bits everywhere.
#include "csrc/cpu/isa/element.h"
#include "csrc/cpu/isa/isa.h"
#include "csrc/cpu/isa/wide.h"

namespace attrx::cpu::ATTRX_ISA {
namespace {

// Partial sums, so that additions do not wait for one another; their order is fixed.
constexpr int kLanes = 8;

// One pixel of one channel.
template <Combine combine, class T>
inline auto attribute(const T* g, const T* x, std::int64_t gi, std::int64_t xi) {
  const auto grad = value(g[gi]);
  if constexpr (combine == Combine::grad_x_input) {
    return grad * value(x[xi]);
  } else if constexpr (combine == Combine::saliency) {
    return magnitude(grad);
  } else {
    return grad;
  }
}

// One pixel, channels added in their order and the sum divided by their number.
template <Combine combine, bool abs, class T, class Acc>
inline Acc reduce_pixel(const T* g, std::int64_t gc, const T* x, std::int64_t xc,
                        std::int64_t channels, Acc count) {
  Acc sum = 0;
  for (std::int64_t c = 0; c < channels; ++c) {
    const Acc v = attribute<combine>(g, x, c * gc, c * xc);
    sum += abs ? magnitude(v) : v;
  }
  return sum / count;
}

template <Combine combine, bool abs, class T, class Acc>
void reduce(const PixelSource& at, std::int64_t channels, std::int64_t len, Acc* out) {
  const T* g = static_cast<const T*>(at.grad);
  const T* x = static_cast<const T*>(at.input);
  const Acc count = static_cast<Acc>(channels);
  const bool planar = at.grad_p == 1 && (combine != Combine::grad_x_input || at.input_p == 1);
  const bool interleaved =
      channels == 3 && at.grad_c == 1 && at.grad_p == 3 &&
      (combine != Combine::grad_x_input || (at.input_c == 1 && at.input_p == 3));
  if (planar && channels == 3) {
    // The usual case: three planes side by side, read once.
    const T *g1 = g + at.grad_c, *g2 = g1 + at.grad_c;
    const T *x1 = x + at.input_c, *x2 = x1 + at.input_c;
    for (std::int64_t p = 0; p < len; ++p) {
      const Acc v0 = attribute<combine>(g, x, p, p);
      const Acc v1 = attribute<combine>(g1, x1, p, p);
      const Acc v2 = attribute<combine>(g2, x2, p, p);
      const Acc sum = abs ? (magnitude(v0) + magnitude(v1)) + magnitude(v2) : (v0 + v1) + v2;
      out[p] = sum / count;
    }
  } else if (planar) {
    for (std::int64_t p = 0; p < len; ++p) out[p] = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      const T* gc = g + c * at.grad_c;
      const T* xc = combine == Combine::grad_x_input ? x + c * at.input_c : nullptr;
      for (std::int64_t p = 0; p < len; ++p) {
        const Acc v = attribute<combine>(gc, xc, p, p);
        out[p] += abs ? magnitude(v) : v;
      }
    }
    for (std::int64_t p = 0; p < len; ++p) out[p] /= count;
  } else if (interleaved) {
    for (std::int64_t p = 0; p < len; ++p) {
      const Acc v0 = attribute<combine>(g, x, 3 * p, 3 * p);
      const Acc v1 = attribute<combine>(g, x, 3 * p + 1, 3 * p + 1);
      const Acc v2 = attribute<combine>(g, x, 3 * p + 2, 3 * p + 2);
      const Acc sum = abs ? (magnitude(v0) + magnitude(v1)) + magnitude(v2) : (v0 + v1) + v2;
      out[p] = sum / count;
    }
  } else {
    for (std::int64_t p = 0; p < len; ++p) {
      const T* xp = combine == Combine::grad_x_input ? x + p * at.input_p : nullptr;
      out[p] =
          reduce_pixel<combine, abs>(g + p * at.grad_p, at.grad_c, xp, at.input_c, channels, count);
    }
  }
}

template <Combine combine, class T, class Acc>
void reduce_as(const PixelSource& at, bool abs, std::int64_t channels, std::int64_t len, Acc* out) {
  if (abs) {
    reduce<combine, true, T>(at, channels, len, out);
  } else {
    reduce<combine, false, T>(at, channels, len, out);
  }
}

template <class T, class Acc>
void reduce_combined(const PixelSource& at, Combine combine, bool abs, std::int64_t channels,
                     std::int64_t len, Acc* out) {
  switch (combine) {
    case Combine::grad_x_input:
      return reduce_as<Combine::grad_x_input, T>(at, abs, channels, len, out);
    case Combine::saliency:
      return reduce_as<Combine::saliency, T>(at, abs, channels, len, out);
    case Combine::identity:
      return reduce_as<Combine::identity, T>(at, abs, channels, len, out);
  }
}

template <class T>
void widen_rows(const char* rows, std::int64_t row_bytes, std::int64_t count, std::int64_t len,
                const double* factor, double* out) {
  for (std::int64_t r = 0; r < count; ++r, out += kRowStride) {
    const T* in = reinterpret_cast<const T*>(rows + r * row_bytes);
    std::int64_t i = 0;
    for (; i + kEight <= len; i += kEight) {
      __builtin_prefetch(in + len + i);
      const Eight wide = eight(in + i) * factor[r];
      __builtin_memcpy(out + i, &wide, sizeof wide);
    }
    for (; i < len; ++i) out[i] = static_cast<double>(value(in[i])) * factor[r];
    for (; i < kChunk; ++i) out[i] = 0;
  }
}

template <class T>
double squares_of(const T* row, std::int64_t len) {
  // Two sums at a time, so that additions do not wait for one another.
  Eight even = zeros(), odd = zeros();
  std::int64_t i = 0;
  for (; i + 2 * kEight <= len; i += 2 * kEight) {
    const Eight x = eight(row + i), y = eight(row + i + kEight);
    even = even + x * x;
    odd = odd + y * y;
  }
  double lane[kEight];
  const Eight both = even + odd;
  __builtin_memcpy(lane, &both, sizeof both);
  for (int l = 0; i < len; ++i, l = (l + 1) % kEight) {
    lane[l] += static_cast<double>(row[i]) * static_cast<double>(row[i]);
  }
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

template <class T>
void scale_all(T* row, double factor, std::int64_t len) {
  std::int64_t i = 0;
  for (; i + kEight <= len; i += kEight) store(row + i, eight(row + i) * factor);
  for (; i < len; ++i) row[i] = static_cast<T>(static_cast<double>(row[i]) * factor);
}

void reduce_channels(const PixelSource& at, DType dtype, Combine combine, bool abs,
                     std::int64_t channels, std::int64_t len, void* out) {
  float* single = static_cast<float*>(out);
  switch (dtype) {
    case DType::f32:
      return reduce_combined<float>(at, combine, abs, channels, len, single);
    case DType::f64:
      return reduce_combined<double>(at, combine, abs, channels, len, static_cast<double*>(out));
    case DType::f16:
      return reduce_combined<Half>(at, combine, abs, channels, len, single);
    case DType::bf16:
      return reduce_combined<BFloat>(at, combine, abs, channels, len, single);
  }
}

void widen(const void* rows, DType dtype, std::int64_t row_bytes, std::int64_t count,
           std::int64_t len, const double* factor, double* out) {
  const char* first = static_cast<const char*>(rows);
  switch (dtype) {
    case DType::f32:
      return widen_rows<float>(first, row_bytes, count, len, factor, out);
    case DType::f64:
      return widen_rows<double>(first, row_bytes, count, len, factor, out);
    case DType::f16:
      return widen_rows<Half>(first, row_bytes, count, len, factor, out);
    case DType::bf16:
      return widen_rows<BFloat>(first, row_bytes, count, len, factor, out);
  }
}

double sum_of_squares(const void* row, bool is_double, std::int64_t len) {
  return is_double ? squares_of(static_cast<const double*>(row), len)
                   : squares_of(static_cast<const float*>(row), len);
}

void scale(void* row, bool is_double, double factor, std::int64_t len) {
  is_double ? scale_all(static_cast<double*>(row), factor, len)
            : scale_all(static_cast<float*>(row), factor, len);
}

// NaN is skipped: it shows in the dot products anyway.
double absmax(const double* row, std::int64_t len) {
  double lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= len; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const double v = __builtin_fabs(row[i + l]);
      lane[l] = v > lane[l] ? v : lane[l];
    }
  }
  double largest = 0;
  for (; i < len; ++i) {
    const double v = __builtin_fabs(row[i]);
    largest = v > largest ? v : largest;
  }
  for (double v : lane) largest = v > largest ? v : largest;
  return largest;
}

}  // namespace

void use_maps(Kernels& kernels) {
  kernels.reduce_channels = reduce_channels;
  kernels.widen = widen;
  kernels.sum_of_squares = sum_of_squares;
  kernels.scale = scale;
  kernels.absmax = absmax;
}

}  // namespace attrx::cpu::ATTRX_ISA
