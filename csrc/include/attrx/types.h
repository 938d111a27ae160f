// Plain descriptions of the data that every launcher works on: raw pointers, sizes and strides.
// Nothing here knows of torch, Python or CUDA, so that one build serves every version of them.
#pragma once

#include <cstdint>

namespace attrx {

// Element types of gradients, inputs and maps. The values are part of the Python binding.
enum class DType : int { f32 = 0, f64 = 1, f16 = 2, bf16 = 3 };

// How a gradient g and an input x become an attribution.
enum class Combine : int {
  grad_x_input = 0,  // g * x
  saliency = 1,      // |g|; x is not read
  identity = 2,      // g as it is: an attribution made elsewhere; x is not read
};

// What becomes of the channels.
enum class Reduce : int {
  mean = 0,      // sum over channels / C
  abs_mean = 1,  // sum over channels of the magnitude / C
  none = 2,      // kept: the map has C * P elements
};

// N images of C channels of P pixels; strides count elements. Height and width are one axis, which
// holds for contiguous and for channels_last tensors alike.
struct ImageView {
  const void* data = nullptr;
  std::int64_t n_stride = 0;
  std::int64_t c_stride = 0;
  std::int64_t p_stride = 0;
};

// The maps of M networks on N probes, [M, N, D]; the D elements of a map lie side by side.
struct MapView {
  const void* data = nullptr;
  std::int64_t m_stride = 0;
  std::int64_t n_stride = 0;
};

// Gradients of M networks, [M, N, C, P], as M views that are m_stride elements apart. An input that
// all networks share has m_stride 0.
struct NetworkImageView {
  ImageView image;
  std::int64_t m_stride = 0;
};

// The map elements that are kept, rising; all of them where places is nullptr.
struct Chosen {
  const std::int64_t* places = nullptr;
  std::int64_t count = 0;
};

struct ImageShape {
  std::int64_t n = 0;
  std::int64_t c = 0;
  std::int64_t p = 0;

  // Elements of one map.
  std::int64_t map_size(Reduce reduce) const { return reduce == Reduce::none ? c * p : p; }
};

}  // namespace attrx
