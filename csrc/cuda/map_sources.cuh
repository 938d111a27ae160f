// Where map elements come from: maps in memory, or gradients and inputs that are combined on the
// way. Both offer
//   read<W>(second, m, n, d, v): elements [d, d + W) of the map of network m on probe n, and
//   vector: whether W = kPack may be used (16-byte loads), or only W = 1.
// `second` chooses the second of two sets of networks that are compared with one another, where
// there are two. kAtOnce<W> is how many reads a thread of pair_sums has on their way at once: one
// is several loads already where maps are computed.
#pragma once

#include <cstdint>

#include "attrx/types.h"
#include "csrc/cuda/elements.cuh"

namespace attrx::cuda {

// Extents of 1 are never stepped over, and may have any stride.
template <class T>
bool steps_by_packs(std::int64_t stride, std::int64_t extent) {
  return extent <= 1 || stride % kPack<T> == 0;
}

__host__ __device__ inline bool is_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

template <class T>
struct StoredMaps {
  using Element = T;
  template <int W>
  static constexpr int kAtOnce = W > 4 ? 2 : 4;

  const T* data[2];
  std::int64_t m_stride[2], n_stride[2];
  bool vector;

  StoredMaps(MapView a, std::int64_t ma, MapView b, std::int64_t mb, std::int64_t n, std::int64_t d)
      : data{static_cast<const T*>(a.data), static_cast<const T*>(b.data)},
        m_stride{a.m_stride, b.m_stride},
        n_stride{a.n_stride, b.n_stride},
        vector(d % kPack<T> == 0 && is_aligned(a.data) && is_aligned(b.data) &&
               steps_by_packs<T>(a.m_stride, ma) && steps_by_packs<T>(b.m_stride, mb) &&
               steps_by_packs<T>(a.n_stride, n) && steps_by_packs<T>(b.n_stride, n)) {}

  template <int W>
  __device__ void read(bool second, std::int64_t m, std::int64_t n, std::int64_t d,
                       Real<T> (&v)[W]) const {
    // Chosen by value: indexing a kernel parameter by a variable would copy it to local memory.
    const T* base = second ? data[1] : data[0];
    const std::int64_t along_m = second ? m_stride[1] : m_stride[0];
    const std::int64_t along_n = second ? n_stride[1] : n_stride[0];
    load<W>(base + m * along_m + n * along_n + d, v);
  }
};

template <class T>
struct ImageMaps {
  using Element = T;
  template <int W>
  static constexpr int kAtOnce = 1;

  // Where the elements of one tensor lie: [m, n, channel, pixel].
  struct Tensor {
    const T* data;
    std::int64_t m_stride, n_stride, c_stride, p_stride;

    __device__ const T* at(std::int64_t m, std::int64_t n, std::int64_t c, std::int64_t p) const {
      return data + m * m_stride + n * n_stride + c * c_stride + p * p_stride;
    }
  };

  Tensor grad, input;  // input.data is null where it is not read
  std::int64_t channels, pixels;
  bool keep_channels;  // the map has channels * pixels elements
  bool take_magnitude;
  bool vector;

  ImageMaps(NetworkImageView g, NetworkImageView x, std::int64_t m, ImageShape shape,
            Combine combine, Reduce reduce)
      : grad(tensor(g)),
        input(tensor(x)),
        channels(shape.c),
        pixels(shape.p),
        keep_channels(reduce == Reduce::none),
        take_magnitude(combine == Combine::saliency || reduce == Reduce::abs_mean) {
    if (combine != Combine::grad_x_input) input = Tensor{nullptr, 0, 0, 0, 0};
    const bool reads_input = input.data != nullptr;
    // Kept channels that lie one after another are one channel of more pixels.
    if (keep_channels && is_flat(grad) && (!reads_input || is_flat(input))) {
      pixels *= channels;
      channels = 1;
      keep_channels = false;
    }
    vector = pixels % kPack<T> == 0 && has_packs(grad, m, shape.n) &&
             (!reads_input || has_packs(input, m, shape.n));
  }

  template <int W>
  __device__ void read(bool, std::int64_t m, std::int64_t n, std::int64_t d,
                       Real<T> (&v)[W]) const {
    const std::int64_t first = keep_channels ? d / pixels : 0;
    const std::int64_t pixel = d - first * pixels;
    const std::int64_t added = keep_channels ? 1 : channels;
    const T* g = grad.at(m, n, first, pixel);
    const T* x = input.data == nullptr ? nullptr : input.at(m, n, first, pixel);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] = 0;
    if (added == 3) {
      // RGB, unrolled: six loads on their way at once.
#pragma unroll
      for (int c = 0; c < 3; ++c) add_channel<W>(g, x, c, v);
    } else {
#pragma unroll 1
      for (std::int64_t c = 0; c < added; ++c) add_channel<W>(g, x, c, v);
    }
    if (added != 1) {
#pragma unroll
      for (int i = 0; i < W; ++i) v[i] = divide(v[i], static_cast<Real<T>>(added));
    }
  }

 private:
  static Tensor tensor(const NetworkImageView& view) {
    return {static_cast<const T*>(view.image.data), view.m_stride, view.image.n_stride,
            view.image.c_stride, view.image.p_stride};
  }

  bool is_flat(const Tensor& t) const { return channels == 1 || t.c_stride == pixels * t.p_stride; }

  bool has_packs(const Tensor& t, std::int64_t m, std::int64_t n) const {
    return is_aligned(t.data) && t.p_stride == 1 && steps_by_packs<T>(t.m_stride, m) &&
           steps_by_packs<T>(t.n_stride, n) && steps_by_packs<T>(t.c_stride, channels);
  }

  template <int W>
  __device__ void add_channel(const T* g, const T* x, std::int64_t c, Real<T> (&sum)[W]) const {
    Real<T> v[W];
    load<W>(g + c * grad.c_stride, v);
    if (x != nullptr) {
      Real<T> factor[W];
      load<W>(x + c * input.c_stride, factor);
#pragma unroll
      for (int i = 0; i < W; ++i) v[i] = multiply(v[i], factor[i]);
    }
#pragma unroll
    for (int i = 0; i < W; ++i) sum[i] = add(sum[i], take_magnitude ? magnitude(v[i]) : v[i]);
  }
};

}  // namespace attrx::cuda
