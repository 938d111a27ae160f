// Every operator on the emulated device, for the sanitizers: small sizes on every path of the
// kernels. Values are tested elsewhere (tests/test_ops_cuda.py); here results only must be finite,
// where all memory that nobody has written is NaN.
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>

#include "attrx/ops.h"

using namespace attrx;

namespace {

constexpr DType kTypes[] = {DType::f32, DType::f64, DType::f16, DType::bf16};

std::int64_t size_of(DType dtype) { return dtype == DType::f64 ? 8 : dtype == DType::f32 ? 4 : 2; }

// Memory of exactly this size, all NaN.
class Memory {
 public:
  explicit Memory(std::int64_t bytes) : bytes_(bytes), data_(new char[bytes]) {
    std::memset(data_.get(), 0xff, bytes);
  }
  char* data() const { return data_.get(); }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }
  // Whether all of it is finite numbers.
  template <class T>
  void expect_finite(const std::string& what) const {
    for (std::int64_t i = 0; i < bytes_ / std::int64_t{sizeof(T)}; ++i) {
      if (!std::isfinite(as<T>()[i])) {
        throw std::runtime_error(what + ": element " + std::to_string(i) + " is not finite");
      }
    }
  }

 private:
  std::int64_t bytes_;
  std::unique_ptr<char[]> data_;
};

// `count` elements of a dtype after `skipped` that stay NaN: with one skipped, no pack is aligned.
class Elements {
 public:
  Elements(DType dtype, std::int64_t count, std::int64_t skipped)
      : memory_((count + skipped) * size_of(dtype)),
        first_(memory_.data() + skipped * size_of(dtype)) {
    static std::mt19937 random(0);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (std::int64_t i = 0; i < count; ++i) write(dtype, i, uniform(random));
  }
  const void* data() const { return first_; }

 private:
  void write(DType dtype, std::int64_t i, float value) {
    char* at = first_ + i * size_of(dtype);
    const double wide = value;
    const auto half = static_cast<std::uint16_t>(_cvtss_sh(value, 0));
    switch (dtype) {
      case DType::f32:
        std::memcpy(at, &value, sizeof value);
        break;
      case DType::f64:
        std::memcpy(at, &wide, sizeof wide);
        break;
      case DType::f16:
        std::memcpy(at, &half, sizeof half);
        break;
      case DType::bf16:  // the upper half of a float
        std::memcpy(at, reinterpret_cast<const char*>(&value) + 2, 2);
        break;
    }
  }

  Memory memory_;
  char* first_;
};

std::string described(const char* op, DType dtype, std::initializer_list<std::int64_t> sizes) {
  std::string text = std::string(op) + " of type " + std::to_string(static_cast<int>(dtype)) + ":";
  for (const auto size : sizes) text += " " + std::to_string(size);
  return text;
}

// Networks `ma` x `mb`, or `ma` with themselves where mb is 0.
void run_cosines(DType dtype, std::int64_t ma, std::int64_t mb, std::int64_t n, std::int64_t d,
                 std::int64_t skipped) {
  const bool symmetric = mb == 0;
  const std::int64_t columns = symmetric ? ma : mb;
  const Elements a(dtype, ma * n * d, skipped), b(dtype, mb * n * d, skipped);
  const Memory out(n * ma * columns * 8);
  const Memory workspace(cuda::probe_cosines_workspace(ma, columns, symmetric, dtype, n, d));
  const MapView left{a.data(), n * d, d}, right{b.data(), n * d, d};
  cuda::probe_cosines(left, ma, symmetric ? left : right, columns, symmetric, dtype, n, d,
                      out.as<double>(), workspace.data(), nullptr);
  out.expect_finite<double>(described("cosines", dtype, {ma, mb, n, d}));
}

void run_fused(DType dtype, std::int64_t m, ImageShape shape, Combine combine, Reduce reduce,
               bool channels_last, std::int64_t skipped) {
  const std::int64_t image = shape.c * shape.p, network = shape.n * image;
  const Elements grad(dtype, m * network, skipped), input(dtype, network, 0);
  const std::int64_t c = channels_last ? 1 : shape.p, p = channels_last ? shape.c : 1;
  const Memory out(shape.n * m * m * 8);
  const Memory workspace(cuda::fused_probe_cosines_workspace(dtype, m, shape, reduce));
  cuda::fused_probe_cosines({{grad.data(), image, c, p}, network},
                            {{input.data(), image, shape.p, 1}, 0}, dtype, m, shape, combine,
                            reduce, out.as<double>(), workspace.data(), nullptr);
  out.expect_finite<double>(described("fused", dtype, {m, shape.n, shape.c, shape.p}));
}

// Every `step`-th element of the maps; all of them where it is 0.
void run_maps(DType dtype, ImageShape shape, Combine combine, Reduce reduce, bool normalize,
              std::int64_t step, std::int64_t skipped) {
  const std::int64_t image = shape.c * shape.p, d = shape.map_size(reduce);
  const std::int64_t kept = step == 0 ? d : d / step;
  const Elements grad(dtype, shape.n * image, skipped), input(dtype, shape.n * image, 0);
  const Memory places(kept * 8);
  for (std::int64_t i = 0; i < kept; ++i) places.as<std::int64_t>()[i] = i * step;
  const Chosen chosen{step == 0 ? nullptr : places.as<std::int64_t>(), step == 0 ? 0 : kept};
  const Memory out(shape.n * kept * (dtype == DType::f64 ? 8 : 4));
  cuda::attribution_maps({grad.data(), image, shape.p, 1}, {input.data(), image, shape.p, 1}, dtype,
                         shape, combine, reduce, normalize, chosen, out.data(), nullptr);
  const std::string what = described("maps", dtype, {shape.n, shape.c, shape.p, step});
  if (dtype == DType::f64) {
    out.expect_finite<double>(what);
  } else {
    out.expect_finite<float>(what);
  }
}

void run_sketch(DType dtype, std::int64_t n, std::int64_t d, std::int64_t size, bool normalize) {
  const Elements maps(dtype, n * d, 0);
  const Memory out(size * 4), workspace(cuda::sketch_workspace(n, size));
  cuda::sketch(maps.data(), d, dtype, n, d, size, 7, 11, normalize, out.as<float>(),
               workspace.data(), nullptr);
  out.expect_finite<float>(described("sketch", dtype, {n, d, size}));
}

void run_all() {
  for (const DType dtype : kTypes) {
    // Packs and single elements; one segment and several, each with a sum of its own.
    for (const std::int64_t m : {1, 9}) {
      run_cosines(dtype, m, 0, 2, 64, 0);
      run_cosines(dtype, m, 0, 2, 2500, 1);
      run_cosines(dtype, m, 3, 1, 2112, 0);
      run_cosines(dtype, 1, m, 2, 9, 0);
    }
    // One panel, two that are cut, and several.
    for (const std::int64_t m : {24, 25, 73}) run_cosines(dtype, m, 0, 1, 136, 0);
    run_cosines(dtype, 25, 13, 1, 136, 1);
    run_fused(dtype, 5, {2, 3, 64}, Combine::grad_x_input, Reduce::mean, false, 0);
    run_fused(dtype, 25, {1, 2, 33}, Combine::saliency, Reduce::abs_mean, true, 1);
    run_fused(dtype, 3, {1, 3, 800}, Combine::identity, Reduce::none, false, 1);
    for (const bool normalize : {false, true}) {
      run_maps(dtype, {2, 3, 64}, Combine::grad_x_input, Reduce::mean, normalize, 0, 0);
      run_maps(dtype, {2, 5, 2305}, Combine::saliency, Reduce::abs_mean, normalize, 0, 1);
      run_maps(dtype, {1, 3, 3000}, Combine::identity, Reduce::none, normalize, 0, 0);
      run_maps(dtype, {2, 3, 301}, Combine::grad_x_input, Reduce::none, normalize, 5, 0);
      run_sketch(dtype, 3, 700, 64, normalize);
      run_sketch(dtype, 2, 301, 1000, normalize);
      run_sketch(dtype, 2, 301, 4097, normalize);
    }
  }
  // The largest block on the diagonal, two of them, and blocks of two sets; with the most shared
  // memory.
  for (const std::int64_t m : {120, 130, 300}) run_cosines(DType::f32, m, 0, 1, 65, 0);
  run_cosines(DType::f64, 73, 80, 1, 65, 0);
  // A row that shared memory does not hold; signs of more than one chunk.
  run_maps(DType::f32, {1, 1, 30000}, Combine::saliency, Reduce::mean, true, 0, 0);
  run_sketch(DType::f32, 1, 140000, 64, true);
  // Enough probes that a block walks all segments of its pairs.
  run_cosines(DType::f16, 2, 0, 256, 2112, 0);
}

}  // namespace

int main() {
  try {
    run_all();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::puts("all cases ran");
}
