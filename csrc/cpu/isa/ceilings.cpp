// What the processor can do at best, for the benchmarks to stand the kernels beside: reading memory
// and multiplying, with nothing else to do.
#include "csrc/cpu/isa/isa.h"

namespace attrx::cpu::ATTRX_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 8, kChains = 20;
#elif defined(__AVX2__)
constexpr int kWidth = 4, kChains = 12;
#else
constexpr int kWidth = 2, kChains = 12;
#endif

typedef double Vec __attribute__((vector_size(kWidth * sizeof(double))));

double sum_all(const double* data, std::int64_t count) {
  // Streams side by side are read faster than one.
  constexpr int kStreams = 4, kStep = 8;
  typedef double Line __attribute__((vector_size(kStep * sizeof(double))));
  const std::int64_t length = count / kStreams / kStep * kStep;
  Line sum[kStreams] = {};
  for (std::int64_t i = 0; i < length; i += kStep) {
#pragma GCC unroll 8
    for (int s = 0; s < kStreams; ++s) {
      Line line;
      __builtin_memcpy(&line, data + s * length + i, sizeof line);
      sum[s] += line;
    }
  }
  double total = 0;
  for (const Line& s : sum)
    for (int l = 0; l < kStep; ++l) total += s[l];
  for (std::int64_t i = kStreams * length; i < count; ++i) total += data[i];
  return total;
}

std::int64_t multiply_add(std::int64_t rounds, double* out) {
  // Independent chains hide the latency of each; factors of 1/2 keep the sums finite. They begin
  // with different numbers that the compiler does not know, or it would compute one of them only.
  Vec half = {}, sum[kChains] = {};
  half += 0.5;
  for (int c = 0; c < kChains; ++c) sum[c] += *out + c;
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 20
    for (int c = 0; c < kChains; ++c) sum[c] = sum[c] * half + half;
  }
  *out = 0;
  for (const Vec& s : sum) *out += s[0];
  return rounds * kChains * kWidth;
}

}  // namespace

void use_ceilings(Kernels& kernels) {
  kernels.sum_all = sum_all;
  kernels.multiply_add = multiply_add;
}

}  // namespace attrx::cpu::ATTRX_ISA
