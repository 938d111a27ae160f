// Gradient and input to map rows: multiply, reduce the channels, scale by the norm.
//
// One block makes one row, and scales it once it knows its norm: the row is then still in L2, so
// that gradient, input and row cross the memory bus once. Rows that need no norm are cut into parts
// that any block can make.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "attrx/ops.h"
#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/map_sources.cuh"

namespace attrx::cuda {
namespace {

constexpr int kMaxMapThreads = 512;
constexpr std::int64_t kPartSize = 8192;  // elements of a part, a multiple of every pack
constexpr int kQuad = 4;

// The double values of four elements of a row of len; zero after its end. A row is always added in
// quads, loaded at once or one by one, so that its norm does not depend on its alignment.
template <class R>
__device__ void load_quad(const R* row, std::int64_t d, std::int64_t len, bool aligned,
                          double (&v)[kQuad]) {
  R narrow[kQuad] = {};
  if (aligned && d + kQuad <= len) {
    load<kQuad>(row + d, narrow);
  } else {
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      if (d + i < len) narrow[i] = row[d + i];
    }
  }
#pragma unroll
  for (int i = 0; i < kQuad; ++i) v[i] = narrow[i];
}

template <class R>
__device__ void store_quad(R* row, std::int64_t d, std::int64_t len, bool aligned,
                           const R (&v)[kQuad]) {
  if (aligned && d + kQuad <= len) {
    store(row + d, v);
  } else {
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      if (d + i < len) row[d + i] = v[i];
    }
  }
}

// Divides a row by its L2 norm; all threads of the block. An all-zero row stays as it is; NaN and
// Inf go through the division as IEEE has it.
template <class R>
__device__ void normalize_row(R* row, std::int64_t len, double* scratch) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(row) % 16 == 0;
  const std::int64_t first = static_cast<std::int64_t>(threadIdx.x) * kQuad;
  const std::int64_t step = static_cast<std::int64_t>(blockDim.x) * kQuad;
  double v[kQuad];

  double scale = 1;  // squares of floats are in the range of a double as they are
  if constexpr (std::is_same_v<R, double>) {
    double largest = 0;
    for (std::int64_t d = first; d < len; d += step) {
      load_quad(row, d, len, aligned, v);
#pragma unroll
      for (int i = 0; i < kQuad; ++i) largest = fmax(largest, fabs(v[i]));
    }
    scale = power_of_two_scale(block_reduce(largest, Max{}, scratch));
  }

  double square = 0;
  for (std::int64_t d = first; d < len; d += step) {
    load_quad(row, d, len, aligned, v);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) square = fma(v[i] * scale, v[i] * scale, square);
  }
  square = block_reduce(square, Sum{}, scratch);
  if (square == 0) return;

  const double factor = 1 / sqrt(square);
  for (std::int64_t d = first; d < len; d += step) {
    load_quad(row, d, len, aligned, v);
    R scaled[kQuad];
#pragma unroll
    for (int i = 0; i < kQuad; ++i) scaled[i] = static_cast<R>(v[i] * scale * factor);
    store_quad(row, d, len, aligned, scaled);
  }
}

// `places` says which map elements the d elements of a row are; the first ones where it is nullptr.
// out [n, d], every row in `parts` parts of `part` elements; one part where rows are normalised.
// W > 1: rows are aligned to 16 bytes. At least two blocks on a multiprocessor: one loads while the
// other waits for its norm.
template <int W, class T>
__global__ void __launch_bounds__(kMaxMapThreads, 2)
    map_rows(ImageMaps<T> maps, std::int64_t n, std::int64_t d, std::int64_t parts,
             std::int64_t part, bool normalize, const std::int64_t* places, Real<T>* out) {
  __shared__ double scratch[kWarp];
  for (std::int64_t w = blockIdx.x; w < n * parts; w += gridDim.x) {
    const std::int64_t image = w / parts, first = w % parts * part;
    const std::int64_t last = min(first + part, d);
    Real<T>* row = out + image * d;
    for (std::int64_t at = first + threadIdx.x * W; at < last; at += blockDim.x * W) {
      Real<T> v[W];
      maps.template read<W>(false, 0, image, places == nullptr ? at : places[at], v);
      store(row + at, v);
    }
    if (normalize) {
      __syncthreads();  // a thread scales elements that others have written
      normalize_row(row, d, scratch);
    }
  }
}

}  // namespace

void attribution_maps(ImageView grad, ImageView input, DType dtype, ImageShape shape,
                      Combine combine, Reduce reduce, bool normalize, Chosen chosen, void* out,
                      Stream stream) {
  constexpr const char* kOp = "attribution_maps";
  const std::int64_t d = chosen.places == nullptr ? shape.map_size(reduce) : chosen.count;
  if (shape.n == 0 || d == 0) return;
  const std::int64_t part = normalize ? d : kPartSize;
  const std::int64_t parts = ceil_div(d, part);
  // The number of threads decides the order in which squares are added: it follows from D alone.
  const std::int64_t quads = ceil_div(d, kQuad);
  const auto threads =
      static_cast<unsigned>(std::min<std::int64_t>(round_up(quads, kWarp), kMaxMapThreads));
  with_type(dtype, kOp, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const ImageMaps<T> maps({grad, 0}, {input, 0}, 1, shape, combine, reduce);
    const bool vector = chosen.places == nullptr && maps.vector && is_aligned(out);
    launch(kOp, {grid_size(shape.n * parts), threads, 0, static_cast<cudaStream_t>(stream)},
           vector ? map_rows<kPack<T>, T> : map_rows<1, T>, maps, shape.n, d, parts, part,
           normalize, chosen.places, static_cast<Real<T>*>(out));
  });
}

}  // namespace attrx::cuda
