// Gradient and input to map rows: multiply, reduce the channels, scale by the norm.
//
// One block makes one row, and scales it once it knows its norm. Until then the row waits in shared
// memory, and what does not fit there in L2, so that gradient, input and row cross the memory bus
// once. Rows that need no norm are made in chunks, by any block.
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
constexpr std::int64_t kChunk = 8192;  // of a row without a norm, a multiple of every pack
constexpr int kQuad = 4;
constexpr std::int64_t kHeldMultiple = 16;  // of elements in shared memory: packs do not straddle

// A row of a map while its norm is not known: elements [0, held) wait in shared memory, the others
// where they belong. `held` is a multiple of every pack and of kQuad, or the whole row.
template <class R>
struct WaitingRow {
  R* shared;
  R* out;
  std::int64_t held, len;
  bool aligned;  // `out` is

  // Neither of the two memories is reached through a pointer that could be to both: the compiler
  // would have to load and store one by one.
  template <int W>
  __device__ void put(std::int64_t i, const R (&v)[W]) const {
    if (i < held) {
      store(shared + i, v);
    } else {
      store(out + i, v);
    }
  }

  // Four elements; zero after the end. A row is always added in quads, loaded at once or one by
  // one, so that its norm does not depend on its alignment.
  __device__ void read(std::int64_t i, double (&v)[kQuad]) const {
    R narrow[kQuad] = {};
    if (i + kQuad <= held) {
      load<kQuad>(shared + i, narrow);
    } else if (aligned && i >= held && i + kQuad <= len) {
      load<kQuad>(out + i, narrow);
    } else {
#pragma unroll
      for (int q = 0; q < kQuad; ++q) {
        if (i + q < held) {
          narrow[q] = shared[i + q];
        } else if (i + q < len) {
          narrow[q] = out[i + q];
        }
      }
    }
#pragma unroll
    for (int q = 0; q < kQuad; ++q) v[q] = narrow[q];
  }

  __device__ void write(std::int64_t i, const R (&v)[kQuad]) const {
    if (aligned && i + kQuad <= len) {
      store(out + i, v);
    } else {
#pragma unroll
      for (int q = 0; q < kQuad; ++q) {
        if (i + q < len) out[i + q] = v[q];
      }
    }
  }
};

// Divides a row by its L2 norm; all threads of the block. An all-zero row stays as it is; NaN and
// Inf go through the division as IEEE has it.
template <class R>
__device__ void normalize(const WaitingRow<R>& row, double* scratch) {
  const std::int64_t first = static_cast<std::int64_t>(threadIdx.x) * kQuad;
  const std::int64_t step = static_cast<std::int64_t>(blockDim.x) * kQuad;
  double v[kQuad];

  double scale = 1;  // squares of floats are in the range of a double as they are
  if constexpr (std::is_same_v<R, double>) {
    double largest = 0;
    for (std::int64_t i = first; i < row.len; i += step) {
      row.read(i, v);
#pragma unroll
      for (int q = 0; q < kQuad; ++q) largest = fmax(largest, fabs(v[q]));
    }
    scale = power_of_two_scale(block_reduce(largest, Max{}, scratch));
  }

  double square = 0;
  for (std::int64_t i = first; i < row.len; i += step) {
    row.read(i, v);
#pragma unroll
    for (int q = 0; q < kQuad; ++q) square = fma(v[q] * scale, v[q] * scale, square);
  }
  square = block_reduce(square, Sum{}, scratch);

  const double factor = square == 0 ? 1 : 1 / sqrt(square);
  for (std::int64_t i = first; i < row.len; i += step) {
    row.read(i, v);
    R scaled[kQuad];
#pragma unroll
    for (int q = 0; q < kQuad; ++q) scaled[q] = static_cast<R>(v[q] * scale * factor);
    row.write(i, scaled);
  }
}

// `places` says which map elements the d elements of a row are; the first ones where it is nullptr.
// out [n, d], every row in `chunks` of `chunk` elements; in one where rows are normalized.
// `held` elements of a row fit the dynamic shared memory; 0 where they are not normalized.
// W > 1: rows are aligned to 16 bytes. At least two blocks on a multiprocessor: one loads while the
// other waits for its norm.
template <int W, class T>
__global__ void __launch_bounds__(kMaxMapThreads, 2)
    map_rows(ImageMaps<T> maps, std::int64_t n, std::int64_t d, std::int64_t chunks,
             std::int64_t chunk, std::int64_t held, bool normalized, const std::int64_t* places,
             Real<T>* out) {
  __shared__ double scratch[kWarp];
  for (std::int64_t w = blockIdx.x; w < n * chunks; w += gridDim.x) {
    const std::int64_t image = w / chunks, first = w % chunks * chunk;
    const std::int64_t last = min(first + chunk, d);
    Real<T>* to = out + image * d;
    const WaitingRow<Real<T>> row{reinterpret_cast<Real<T>*>(dynamic_shared()), to, held, d,
                                  is_aligned(to)};
    for (std::int64_t at = first + threadIdx.x * W; at < last; at += blockDim.x * W) {
      Real<T> v[W];
      maps.template read<W>(false, 0, image, places == nullptr ? at : places[at], v);
      row.put(at, v);
    }
    if (normalized) {
      __syncthreads();  // a thread scales elements that others have written
      normalize(row, scratch);
      __syncthreads();  // shared memory is free for the next row
    }
  }
}

// Elements of a row that two blocks of a multiprocessor can hold in shared memory, each.
std::int64_t elements_held(std::int64_t d, std::size_t element, const char* op) {
  int device = 0, of_multiprocessor = 0, of_block = 0;
  check(cudaGetDevice(&device), op);
  check(cudaDeviceGetAttribute(&of_multiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor,
                               device),
        op);
  check(cudaDeviceGetAttribute(&of_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), op);
  // Besides, a block has its scratch, and 1 KB for the system.
  const std::int64_t bytes = std::min(of_multiprocessor / 2, of_block) - kStaticShared;
  const std::int64_t fit =
      bytes / static_cast<std::int64_t>(element) / kHeldMultiple * kHeldMultiple;
  return std::min(d, fit);
}

}  // namespace

void attribution_maps(ImageView grad, ImageView input, DType dtype, ImageShape shape,
                      Combine combine, Reduce reduce, bool normalize, Chosen chosen, void* out,
                      Stream stream) {
  constexpr const char* kOp = "attribution_maps";
  const std::int64_t d = chosen.places == nullptr ? shape.map_size(reduce) : chosen.count;
  if (shape.n == 0 || d == 0) return;
  const std::int64_t chunk = normalize ? d : kChunk;
  const std::int64_t chunks = ceil_div(d, chunk);
  // The number of threads decides the order in which squares are added: it follows from D alone.
  const std::int64_t quads = ceil_div(d, kQuad);
  const auto threads =
      static_cast<unsigned>(std::min<std::int64_t>(round_up(quads, kWarp), kMaxMapThreads));
  with_type(dtype, kOp, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const ImageMaps<T> maps({grad, 0}, {input, 0}, 1, shape, combine, reduce);
    const bool vector = chosen.places == nullptr && maps.vector && is_aligned(out);
    const auto kernel = vector ? map_rows<kPack<T>, T> : map_rows<1, T>;
    const std::int64_t held = normalize ? elements_held(d, sizeof(Real<T>), kOp) : 0;
    const std::size_t shared = held * sizeof(Real<T>);
    if (shared > 0) allow_shared(kOp, kernel);
    launch(kOp, {grid_size(shape.n * chunks), threads, shared, static_cast<cudaStream_t>(stream)},
           kernel, maps, shape.n, d, chunks, chunk, held, normalize, chosen.places,
           static_cast<Real<T>*>(out));
  });
}

}  // namespace attrx::cuda
