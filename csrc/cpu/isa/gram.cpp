// The inner product of network rows: tiles of rows held in registers, lanes along the map. Compiled
// once per instruction set; products and sums contract to FMA where it exists.
//
// A pair's sum depends on the elements' places alone (element e goes to lane e mod kLanes, in
// rising order), not on the tile the pair falls in: that is what makes a cosine have the same bits
// whatever other networks are there, and the two halves of a symmetric matrix equal.
#include "csrc/cpu/isa/isa.h"

namespace attrx::cpu::ATTRX_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTile = 4;  // 16 accumulators and 8 operands of 32 registers
constexpr int kWidth = 8;
#elif defined(__AVX2__)
constexpr int kTile = 3;  // 9 accumulators and 4 operands of 16 registers
constexpr int kWidth = 4;
#else
constexpr int kTile = 2;
constexpr int kWidth = 2;
#endif

typedef double Vec __attribute__((vector_size(kWidth * sizeof(double))));

inline Vec load(const double* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(double* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }

// TI x TJ pairs. Where a vector is narrower than kLanes the lanes take kLanes / kWidth turns.
template <int TI, int TJ>
inline void tile(const double* a, const double* b, double* acc) {
  for (int lane = 0; lane < kLanes; lane += kWidth) {
    Vec sum[TI][TJ];
    for (int i = 0; i < TI; ++i)
      for (int j = 0; j < TJ; ++j) sum[i][j] = load(acc + (i * kBlock + j) * kLanes + lane);
    for (int k = lane; k < kChunk; k += kLanes) {
      Vec left[TI];
      for (int i = 0; i < TI; ++i) left[i] = load(a + i * kRowStride + k);
      for (int j = 0; j < TJ; ++j) {
        const Vec right = load(b + j * kRowStride + k);
        for (int i = 0; i < TI; ++i) sum[i][j] += left[i] * right;
      }
    }
    for (int i = 0; i < TI; ++i)
      for (int j = 0; j < TJ; ++j) store(acc + (i * kBlock + j) * kLanes + lane, sum[i][j]);
  }
}

template <int TI>
inline void tile_row(const double* a, const double* b, int first, int mb, double* acc) {
  int j = first;
  for (; j + kTile <= mb; j += kTile) {
    tile<TI, kTile>(a, b + j * kRowStride, acc + j * kLanes);
  }
  for (; j < mb; ++j) tile<TI, 1>(a, b + j * kRowStride, acc + j * kLanes);
}

}  // namespace

void gram(const double* a, int ma, const double* b, int mb, bool upper, double* acc) {
  int i = 0;
  for (; i + kTile <= ma; i += kTile) {
    tile_row<kTile>(a + i * kRowStride, b, upper ? i : 0, mb, acc + i * kBlock * kLanes);
  }
  for (; i < ma; ++i) {
    tile_row<1>(a + i * kRowStride, b, upper ? i : 0, mb, acc + i * kBlock * kLanes);
  }
}

void squares(const double* a, int ma, double* acc) {
  for (int i = 0; i < ma; ++i) {
    tile<1, 1>(a + i * kRowStride, a + i * kRowStride, acc + i * kLanes);
  }
}

}  // namespace attrx::cpu::ATTRX_ISA
