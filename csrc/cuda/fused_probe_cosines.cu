// Cosines between the maps of networks, probe by probe, straight from gradients and inputs: the map
// elements are computed where they are staged, and no map is ever in memory.
#include "attrx/ops.h"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/map_sources.cuh"
#include "csrc/cuda/pair_cosines.cuh"

namespace attrx::cuda {

std::size_t fused_probe_cosines_workspace(DType dtype, std::int64_t m, ImageShape shape,
                                          Reduce reduce) {
  return pair_workspace(PairPlan(shape.n, shape.map_size(reduce), m, m, true, dtype == DType::f64));
}

void fused_probe_cosines(NetworkImageView grad, NetworkImageView input, DType dtype, std::int64_t m,
                         ImageShape shape, Combine combine, Reduce reduce, double* out,
                         void* workspace, Stream stream) {
  constexpr const char* kOp = "fused_probe_cosines";
  const PairPlan plan(shape.n, shape.map_size(reduce), m, m, true, dtype == DType::f64);
  with_type(dtype, kOp, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const ImageMaps<T> maps(grad, input, m, shape, combine, reduce);
    pair_cosines(maps, plan, out, workspace, static_cast<cudaStream_t>(stream), kOp);
  });
}

}  // namespace attrx::cuda
