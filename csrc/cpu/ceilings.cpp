// The ceilings of csrc/cpu/isa/ceilings.cpp, on as many threads as the kernels use.
#include <algorithm>

#include "attrx/ops.h"
#include "csrc/cpu/kernels.h"

namespace attrx::cpu {

double read_all(const double* data, std::int64_t count, int threads) {
  threads = std::max(threads, 1);
  const std::int64_t part = (count + threads - 1) / threads;
  double total = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : total)
  for (int t = 0; t < threads; ++t) {
    const std::int64_t first = std::min(t * part, count), end = std::min(first + part, count);
    total += kernels().sum_all(data + first, end - first);
  }
  return total;
}

std::int64_t multiply_add(std::int64_t rounds, int threads) {
  threads = std::max(threads, 1);
  std::int64_t products = 0;
  double kept = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : products, kept)
  for (int t = 0; t < threads; ++t) {
    double value = 0;
    products += kernels().multiply_add(rounds, &value);
    kept += value;
  }
  // Always true; keeps the compiler from leaving the work out.
  return kept >= 0 ? products : 0;
}

}  // namespace attrx::cpu
