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

using release = py::call_guard<py::gil_scoped_release>;

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

ImageView image_view(Address data, const Strides& s) { return {pointer(data), s[0], s[1], s[2]}; }

MapView map_view(Address data, std::int64_t m_stride, std::int64_t n_stride) {
  return {pointer(data), m_stride, n_stride};
}

ImageShape image_shape(const Shape& s) { return {s[0], s[1], s[2]}; }

// The last arguments of a launcher: on the CPU the threads, on CUDA a workspace and the stream.
inline int last(int threads) { return threads; }
inline void* last(Address workspace_or_stream) { return pointer(workspace_or_stream); }

template <auto launcher, class... Last>
void bind_attribution_maps(py::module_& m) {
  m.def(
      "attribution_maps",
      [](Address grad, Strides grad_s, Address input, Strides input_s, int dtype, Shape shape,
         int combine, int reduce, bool normalize, Address places, std::int64_t count, Address out,
         Last... rest) {
        const Chosen chosen{static_cast<const std::int64_t*>(pointer(places)), count};
        launcher(image_view(grad, grad_s), image_view(input, input_s), static_cast<DType>(dtype),
                 image_shape(shape), static_cast<Combine>(combine), static_cast<Reduce>(reduce),
                 normalize, chosen, pointer(out), last(rest)...);
      },
      release());
}

template <auto launcher, class... Last>
void bind_probe_cosines(py::module_& m) {
  m.def(
      "probe_cosines",
      [](Address a, std::int64_t a_m, std::int64_t a_n, std::int64_t ma, Address b,
         std::int64_t b_m, std::int64_t b_n, std::int64_t mb, bool symmetric, int dtype,
         std::int64_t n, std::int64_t d, Address out, Last... rest) {
        launcher(map_view(a, a_m, a_n), ma, map_view(b, b_m, b_n), mb, symmetric,
                 static_cast<DType>(dtype), n, d, static_cast<double*>(pointer(out)),
                 last(rest)...);
      },
      release());
}

template <auto launcher, class... Last>
void bind_fused_probe_cosines(py::module_& m) {
  m.def(
      "fused_probe_cosines",
      [](Address grad, std::int64_t grad_m, Strides grad_s, Address input, std::int64_t input_m,
         Strides input_s, int dtype, std::int64_t count, Shape shape, int combine, int reduce,
         Address out, Last... rest) {
        launcher({image_view(grad, grad_s), grad_m}, {image_view(input, input_s), input_m},
                 static_cast<DType>(dtype), count, image_shape(shape),
                 static_cast<Combine>(combine), static_cast<Reduce>(reduce),
                 static_cast<double*>(pointer(out)), last(rest)...);
      },
      release());
}

template <auto launcher, class... Last>
void bind_sketch(py::module_& m) {
  m.def(
      "sketch",
      [](Address maps, std::int64_t stride, int dtype, std::int64_t n, std::int64_t d,
         std::int64_t size, std::uint64_t seed, std::uint64_t first_probe, bool normalize,
         Address out, Last... rest) {
        launcher(pointer(maps), stride, static_cast<DType>(dtype), n, d, size, seed, first_probe,
                 normalize, static_cast<float*>(pointer(out)), last(rest)...);
      },
      release());
}

void bind_cpu(py::module_ m) {
  bind_attribution_maps<cpu::attribution_maps, int>(m);
  bind_probe_cosines<cpu::probe_cosines, int>(m);
  bind_fused_probe_cosines<cpu::fused_probe_cosines, int>(m);
  bind_sketch<cpu::sketch, int>(m);
  m.def(
      "read_all",
      [](Address data, std::int64_t count, int threads) {
        return cpu::read_all(static_cast<const double*>(pointer(data)), count, threads);
      },
      release());
  m.def("multiply_add", &cpu::multiply_add, release());
  m.def("instruction_set", &cpu::instruction_set);
  m.def("keep_freed_memory", &cpu::keep_freed_memory);
  m.def("release_freed_memory", &cpu::release_freed_memory, release());
}

#if defined(ATTRX_WITH_CUDA)
void bind_cuda(py::module_ m) {
  bind_attribution_maps<cuda::attribution_maps, Address>(m);
  bind_probe_cosines<cuda::probe_cosines, Address, Address>(m);
  m.def("probe_cosines_workspace", [](std::int64_t ma, std::int64_t mb, bool symmetric, int dtype,
                                      std::int64_t n, std::int64_t d) {
    return cuda::probe_cosines_workspace(ma, mb, symmetric, static_cast<DType>(dtype), n, d);
  });
  bind_fused_probe_cosines<cuda::fused_probe_cosines, Address, Address>(m);
  m.def("fused_probe_cosines_workspace",
        [](int dtype, std::int64_t count, Shape shape, int reduce) {
          return cuda::fused_probe_cosines_workspace(
              static_cast<DType>(dtype), count, image_shape(shape), static_cast<Reduce>(reduce));
        });
  bind_sketch<cuda::sketch, Address, Address>(m);
  m.def("sketch_workspace", &cuda::sketch_workspace);
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
