// Cosines between the maps of networks, probe by probe, from maps in memory.
#include "attrx/ops.h"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/map_sources.cuh"
#include "csrc/cuda/pair_cosines.cuh"

namespace attrx::cuda {

std::size_t probe_cosines_workspace(std::int64_t ma, std::int64_t mb, bool symmetric, DType dtype,
                                    std::int64_t n, std::int64_t d) {
  return pair_workspace(PairPlan(n, d, ma, mb, symmetric, dtype == DType::f64));
}

void probe_cosines(MapView a, std::int64_t ma, MapView b, std::int64_t mb, bool symmetric,
                   DType dtype, std::int64_t n, std::int64_t d, double* out, void* workspace,
                   Stream stream) {
  constexpr const char* kOp = "probe_cosines";
  const PairPlan plan(n, d, ma, mb, symmetric, dtype == DType::f64);
  with_type(dtype, kOp, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const StoredMaps<T> maps(a, ma, b, mb, n, d);
    pair_cosines(maps, plan, out, workspace, static_cast<cudaStream_t>(stream), kOp);
  });
}

}  // namespace attrx::cuda
