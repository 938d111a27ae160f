// Where the rows of a gram matrix come from: maps in memory, or gradients and inputs.
#pragma once

#include <cstdint>

namespace attrx::cpu {

// Map elements of network m on probe n as doubles. Called from several threads at once.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // Elements [first, first + len) to out, each times `factor`; `scratch` holds kChunk doubles.
  virtual void read(std::int64_t m, std::int64_t n, std::int64_t first, std::int64_t len,
                    double factor, double* scratch, double* out) const = 0;
};

// Cosines of all pairs of a (ma networks) and b (mb networks) on n probes with maps of d elements;
// out [n, ma, mb]. `wide` says that squares of elements may leave the range of a double.
void gram_cosines(const RowSource& a, std::int64_t ma, const RowSource& b, std::int64_t mb,
                  bool symmetric, bool wide, std::int64_t n, std::int64_t d, double* out,
                  int threads);

}  // namespace attrx::cpu
