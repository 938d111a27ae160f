// Where the rows of a gram matrix come from: maps in memory, or gradients and inputs.
#pragma once

#include <cstdint>

namespace attrx::cpu {

// Where elements [first, first + len), len <= kChunk, of `count` networks' maps on one probe are.
struct Chunk {
  std::int64_t network, count, probe, first, len;
};

// Rows of map elements. Called from several threads at once.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // As doubles, row i times factor[i], to rows of out that are kRowStride apart and end in zeros;
  // `scratch` holds kChunk doubles.
  virtual void read(const Chunk& at, const double* factor, double* scratch, double* out) const = 0;
  // Where the elements of the networks' maps lie, if they are floats in memory: the first element
  // of the chunk, and the distance between networks.
  virtual const float* in_place(const Chunk&, std::int64_t*) const { return nullptr; }
};

// Cosines of all pairs of a (ma networks) and b (mb networks) on n probes with maps of d elements;
// out [n, ma, mb]. `wide` says that squares of elements may leave the range of a double.
void gram_cosines(const RowSource& a, std::int64_t ma, const RowSource& b, std::int64_t mb,
                  bool symmetric, bool wide, std::int64_t n, std::int64_t d, double* out,
                  int threads);

}  // namespace attrx::cpu
