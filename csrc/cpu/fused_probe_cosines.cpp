// Per-probe cosines straight from gradients and inputs: the maps are made chunk
// by chunk while it is computed, and no map is ever in memory.
#include "attrx/ops.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/map_elements.h"
#include "csrc/cpu/pair_cosines.h"

namespace attrx::cpu {
namespace {

ImageView of_network(const NetworkImageView& images, std::int64_t m, DType dtype) {
  ImageView one = images.image;
  if (one.data != nullptr) {
    one.data = static_cast<const char*>(one.data) + m * images.m_stride * element_size(dtype);
  }
  return one;
}

class ImageMaps final : public MapSource {
 public:
  ImageMaps(NetworkImageView grad, NetworkImageView input, DType dtype, ImageShape shape,
            Combine combine, Reduce reduce)
      : grad_(grad),
        input_(input),
        dtype_(dtype),
        shape_(shape),
        combine_(combine),
        reduce_(reduce) {}

  void read(const Chunk& at, const double* factor, double* scratch, double* out) const override {
    const DType dtype = dtype_ == DType::f64 ? DType::f64 : DType::f32;
    for (std::int64_t i = 0; i < at.count; ++i) {
      const std::int64_t m = at.network + i;
      map_elements(of_network(grad_, m, dtype_), of_network(input_, m, dtype_), dtype_, shape_,
                   combine_, reduce_, at.probe, at.first, at.len, scratch);
      kernels().widen(scratch, dtype, 0, 1, at.len, factor + i, out + i * kRowStride);
    }
  }

 private:
  NetworkImageView grad_, input_;
  DType dtype_;
  ImageShape shape_;
  Combine combine_;
  Reduce reduce_;
};

}  // namespace

void fused_probe_cosines(NetworkImageView grad, NetworkImageView input, DType dtype, std::int64_t m,
                         ImageShape shape, Combine combine, Reduce reduce, double* out,
                         int threads) {
  const ImageMaps rows(grad, input, dtype, shape, combine, reduce);
  pair_cosines(rows, m, rows, m, true, dtype == DType::f64, shape.n, shape.map_size(reduce), out,
               threads);
}

}  // namespace attrx::cpu
