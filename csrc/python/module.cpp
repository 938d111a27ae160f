// Bindings: pointers, sizes and strides as integers. Arguments are checked in pyattrx/ops, which is
// the only caller.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>

#include "attrx/ops.h"

namespace py = pybind11;
using namespace attrx;

namespace {

using Address = std::uintptr_t;
using Strides = std::array<std::int64_t, 3>;  // n, c, p
using Shape = std::array<std::int64_t, 3>;    // n, c, p

ImageView image_view(Address data, const Strides& s) {
  return {reinterpret_cast<const void*>(data), s[0], s[1], s[2]};
}

MapView map_view(Address data, std::int64_t m_stride, std::int64_t n_stride) {
  return {reinterpret_cast<const void*>(data), m_stride, n_stride};
}

Chosen chosen(Address places, std::int64_t count) {
  return {reinterpret_cast<const std::int64_t*>(places), count};
}

ImageShape image_shape(const Shape& s) { return {s[0], s[1], s[2]}; }

void bind_cpu(py::module_ m) {
  using release = py::call_guard<py::gil_scoped_release>;
  m.def(
      "attribution_maps",
      [](Address grad, Strides grad_s, Address input, Strides input_s, int dtype, Shape shape,
         int combine, int reduce, bool normalize, Address places, std::int64_t count, Address out,
         int threads) {
        cpu::attribution_maps(image_view(grad, grad_s), image_view(input, input_s),
                              static_cast<DType>(dtype), image_shape(shape),
                              static_cast<Combine>(combine), static_cast<Reduce>(reduce), normalize,
                              chosen(places, count), reinterpret_cast<void*>(out), threads);
      },
      release());
  m.def(
      "probe_cosines",
      [](Address a, std::int64_t a_m, std::int64_t a_n, std::int64_t ma, Address b,
         std::int64_t b_m, std::int64_t b_n, std::int64_t mb, bool symmetric, int dtype,
         std::int64_t n, std::int64_t d, Address out, int threads) {
        cpu::probe_cosines(map_view(a, a_m, a_n), ma, map_view(b, b_m, b_n), mb, symmetric,
                           static_cast<DType>(dtype), n, d, reinterpret_cast<double*>(out),
                           threads);
      },
      release());
  m.def(
      "fused_probe_cosines",
      [](Address grad, std::int64_t grad_m, Strides grad_s, Address input, std::int64_t input_m,
         Strides input_s, int dtype, std::int64_t count, Shape shape, int combine, int reduce,
         Address out, int threads) {
        cpu::fused_probe_cosines(
            {image_view(grad, grad_s), grad_m}, {image_view(input, input_s), input_m},
            static_cast<DType>(dtype), count, image_shape(shape), static_cast<Combine>(combine),
            static_cast<Reduce>(reduce), reinterpret_cast<double*>(out), threads);
      },
      release());
  m.def(
      "sketch",
      [](Address maps, std::int64_t stride, int dtype, std::int64_t n, std::int64_t d,
         std::int64_t size, std::uint64_t seed, std::uint64_t first_probe, bool normalize,
         Address out, int threads) {
        cpu::sketch(reinterpret_cast<const void*>(maps), stride, static_cast<DType>(dtype), n, d,
                    size, seed, first_probe, normalize, reinterpret_cast<float*>(out), threads);
      },
      release());
  m.def(
      "read_all",
      [](Address data, std::int64_t count, int threads) {
        return cpu::read_all(reinterpret_cast<const double*>(data), count, threads);
      },
      release());
  m.def("multiply_add", &cpu::multiply_add, release());
  m.def("instruction_set", &cpu::instruction_set);
  m.def("keep_freed_memory", &cpu::keep_freed_memory);
  m.def("release_freed_memory", &cpu::release_freed_memory, release());
}

#if defined(ATTRX_WITH_CUDA)
void bind_cuda(py::module_ m) {
  using release = py::call_guard<py::gil_scoped_release>;
  m.def(
      "attribution_maps",
      [](Address grad, Strides grad_s, Address input, Strides input_s, int dtype, Shape shape,
         int combine, int reduce, bool normalize, Address places, std::int64_t count, Address out,
         Address stream) {
        cuda::attribution_maps(image_view(grad, grad_s), image_view(input, input_s),
                               static_cast<DType>(dtype), image_shape(shape),
                               static_cast<Combine>(combine), static_cast<Reduce>(reduce),
                               normalize, chosen(places, count), reinterpret_cast<void*>(out),
                               reinterpret_cast<cuda::Stream>(stream));
      },
      release());
  m.def("probe_cosines_workspace", [](std::int64_t ma, std::int64_t mb, bool symmetric, int dtype,
                                      std::int64_t n, std::int64_t d) {
    return cuda::probe_cosines_workspace(ma, mb, symmetric, static_cast<DType>(dtype), n, d);
  });
  m.def(
      "probe_cosines",
      [](Address a, std::int64_t a_m, std::int64_t a_n, std::int64_t ma, Address b,
         std::int64_t b_m, std::int64_t b_n, std::int64_t mb, bool symmetric, int dtype,
         std::int64_t n, std::int64_t d, Address out, Address workspace, Address stream) {
        cuda::probe_cosines(map_view(a, a_m, a_n), ma, map_view(b, b_m, b_n), mb, symmetric,
                            static_cast<DType>(dtype), n, d, reinterpret_cast<double*>(out),
                            reinterpret_cast<void*>(workspace),
                            reinterpret_cast<cuda::Stream>(stream));
      },
      release());
  m.def("fused_probe_cosines_workspace",
        [](int dtype, std::int64_t count, Shape shape, int reduce) {
          return cuda::fused_probe_cosines_workspace(
              static_cast<DType>(dtype), count, image_shape(shape), static_cast<Reduce>(reduce));
        });
  m.def(
      "fused_probe_cosines",
      [](Address grad, std::int64_t grad_m, Strides grad_s, Address input, std::int64_t input_m,
         Strides input_s, int dtype, std::int64_t count, Shape shape, int combine, int reduce,
         Address out, Address workspace, Address stream) {
        cuda::fused_probe_cosines(
            {image_view(grad, grad_s), grad_m}, {image_view(input, input_s), input_m},
            static_cast<DType>(dtype), count, image_shape(shape), static_cast<Combine>(combine),
            static_cast<Reduce>(reduce), reinterpret_cast<double*>(out),
            reinterpret_cast<void*>(workspace), reinterpret_cast<cuda::Stream>(stream));
      },
      release());
  m.def("sketch_workspace", &cuda::sketch_workspace);
  m.def(
      "sketch",
      [](Address maps, std::int64_t stride, int dtype, std::int64_t n, std::int64_t d,
         std::int64_t size, std::uint64_t seed, std::uint64_t first_probe, bool normalize,
         Address out, Address workspace, Address stream) {
        cuda::sketch(reinterpret_cast<const void*>(maps), stride, static_cast<DType>(dtype), n, d,
                     size, seed, first_probe, normalize, reinterpret_cast<float*>(out),
                     reinterpret_cast<void*>(workspace), reinterpret_cast<cuda::Stream>(stream));
      },
      release());
  m.def("device_count", &cuda::device_count);
}
#endif

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native kernels of pyattrx; use pyattrx.ops.";
  bind_cpu(m.def_submodule("cpu"));
#if defined(ATTRX_WITH_CUDA)
  bind_cuda(m.def_submodule("cuda"));
  m.attr("with_cuda") = true;
#else
  m.attr("with_cuda") = false;
#endif
#if defined(ATTRX_EMULATED)
  m.attr("emulated") = true;  // `cuda` takes addresses of the host
#else
  m.attr("emulated") = false;
#endif
}
