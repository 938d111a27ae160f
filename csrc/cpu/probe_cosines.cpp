// Per-probe cosines of maps in memory.
#include "attrx/ops.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/map_elements.h"
#include "csrc/cpu/pair_cosines.h"

namespace attrx::cpu {
namespace {

class StoredMaps final : public MapSource {
 public:
  StoredMaps(MapView view, DType dtype) : view_(view), dtype_(dtype) {}

  void read(const Chunk& at, const double* factor, double*, double* out) const override {
    kernels().widen(address(at), dtype_, view_.m_stride * element_size(dtype_), at.count, at.len,
                    factor, out);
  }

  const float* in_place(const Chunk& at, std::int64_t* stride) const override {
    *stride = view_.m_stride;
    return dtype_ == DType::f32 ? reinterpret_cast<const float*>(address(at)) : nullptr;
  }

 private:
  const char* address(const Chunk& at) const {
    const std::int64_t element = at.network * view_.m_stride + at.probe * view_.n_stride + at.first;
    return static_cast<const char*>(view_.data) + element * element_size(dtype_);
  }

  MapView view_;
  DType dtype_;
};

}  // namespace

void probe_cosines(MapView a, std::int64_t ma, MapView b, std::int64_t mb, bool symmetric,
                   DType dtype, std::int64_t n, std::int64_t d, double* out, int threads) {
  pair_cosines(StoredMaps(a, dtype), ma, StoredMaps(b, dtype), mb, symmetric, dtype == DType::f64,
               n, d, out, threads);
}

}  // namespace attrx::cpu
