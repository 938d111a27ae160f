// Cosines of all pairs of networks, whatever their maps come from.
#pragma once

#include <cstdint>

namespace attrx::cpu {

// Elements [first, first + len) of the maps of `count` networks on one probe; len <= kChunk.
struct Chunk {
  std::int64_t network, count, probe, first, len;
};

// Maps in memory, or made of gradients and inputs. Called from several threads at once.
class MapSource {
 public:
  virtual ~MapSource() = default;
  // As doubles, the i-th network's times factor[i], to rows of out that are kRowStride apart and
  // end in zeros; `scratch` holds kChunk doubles.
  virtual void read(const Chunk& at, const double* factor, double* scratch, double* out) const = 0;
  // Where they lie if they are floats in memory, and the distance between networks.
  virtual const float* in_place(const Chunk&, std::int64_t*) const { return nullptr; }
};

// Cosines of the ma networks of a with the mb of b on n probes with maps of d elements;
// out [n, ma, mb]. `wide` says that squares of elements may leave the range of a double.
void pair_cosines(const MapSource& a, std::int64_t ma, const MapSource& b, std::int64_t mb,
                  bool symmetric, bool wide, std::int64_t n, std::int64_t d, double* out,
                  int threads);

}  // namespace attrx::cpu
