// Dot products of all pairs of networks over one chunk: tiles of kTile x kTile pairs in registers,
// lanes along the map. Products and sums contract to FMA where it exists.
//
// A pair's sum depends on the elements' places alone (element e of a chunk goes to lane
// e mod kWidth, in rising order, and the lanes are added by one tree), not on the tile that the
// pair falls into: so a cosine has the same bits whatever other networks are there.
#include "csrc/cpu/isa/isa.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace attrx::cpu::ATTRX_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTile = 4;  // 16 sums and 8 operands of 32 registers
constexpr int kWidth = 8;
#elif defined(__AVX2__)
constexpr int kTile = 3;  // 9 sums and 6 operands of 16 registers
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
inline Vec load(const float* p) {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(p));
#elif defined(__AVX2__)
  return _mm256_cvtps_pd(_mm_loadu_ps(p));
#else
  return Vec{p[0], p[1]};
#endif
}

// Packed rows are doubles and their own distance apart; floats are read where they lie, and what
// the next chunk will need is fetched.
template <class E>
constexpr bool kPacked = sizeof(E) == sizeof(double);

// The lane sums of kWidth vectors, in their order: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). At
// each level a blend and one shuffle bring what is to be added into the same lane.
#if defined(__AVX512F__)
inline Vec add_pairs(Vec x, Vec y) {
  return __builtin_shufflevector(x, y, 0, 9, 2, 11, 4, 13, 6, 15) +
         __builtin_shufflevector(x, y, 1, 8, 3, 10, 5, 12, 7, 14);
}
inline Vec add_quads(Vec x, Vec y) {
  return __builtin_shufflevector(x, y, 0, 1, 10, 11, 4, 5, 14, 15) +
         __builtin_shufflevector(x, y, 2, 3, 8, 9, 6, 7, 12, 13);
}
inline Vec add_lanes(const Vec* v) {
  const Vec x = add_quads(add_pairs(v[0], v[1]), add_pairs(v[2], v[3]));
  const Vec y = add_quads(add_pairs(v[4], v[5]), add_pairs(v[6], v[7]));
  return __builtin_shufflevector(x, y, 0, 1, 2, 3, 12, 13, 14, 15) +
         __builtin_shufflevector(x, y, 4, 5, 6, 7, 8, 9, 10, 11);
}
#elif defined(__AVX2__)
inline Vec add_pairs(Vec x, Vec y) {
  return __builtin_shufflevector(x, y, 0, 5, 2, 7) + __builtin_shufflevector(x, y, 1, 4, 3, 6);
}
inline Vec add_lanes(const Vec* v) {
  const Vec x = add_pairs(v[0], v[1]), y = add_pairs(v[2], v[3]);
  return __builtin_shufflevector(x, y, 0, 1, 6, 7) + __builtin_shufflevector(x, y, 2, 3, 4, 5);
}
#else
inline Vec add_lanes(const Vec* v) {
  return __builtin_shufflevector(v[0], v[1], 0, 3) + __builtin_shufflevector(v[0], v[1], 1, 2);
}
#endif

// Sums of a tile lie together, whatever its size.
constexpr int kSums = (kTile * kTile + kWidth - 1) / kWidth * kWidth;

// sums[i][j] += a_i . b_j over kChunk elements; with `upper` a is b and only j >= i is computed,
// and with `pack` the rows are left behind as packed doubles.
template <class E, int TI, int TJ, bool upper, bool pack>
void tile(const E* a, const E* b, std::int64_t distance, double* sums, double* packed) {
  const std::int64_t stride = kPacked<E> ? kRowStride : distance;
  Vec sum[kSums] = {};
  for (int k = 0; k < kChunk; k += kWidth) {
    Vec right[TJ];
#pragma GCC unroll 8
    for (int j = 0; j < TJ; ++j) {
      if (!kPacked<E> && upper) __builtin_prefetch(b + j * stride + k + kChunk);
      right[j] = load(b + j * stride + k);
      if (pack) __builtin_memcpy(packed + j * kRowStride + k, &right[j], sizeof right[j]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < TI; ++i) {
      const Vec left = upper ? right[i] : load(a + i * stride + k);
#pragma GCC unroll 8
      for (int j = upper ? i : 0; j < TJ; ++j) sum[i * kTile + j] += left * right[j];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < kSums; p += kWidth) {
    const Vec total = load(sums + p) + add_lanes(sum + p);
    __builtin_memcpy(sums + p, &total, sizeof total);
  }
}

template <class E>
using Tile = void (*)(const E* a, const E* b, std::int64_t distance, double* sums, double* packed);

template <class E, int TI, int TJ, bool upper = false, bool pack = false>
constexpr Tile<E> tile_at() {
  if constexpr (TI <= kTile && TJ <= kTile) return tile<E, TI, TJ, upper, pack>;
  return nullptr;
}

template <class E>
constexpr Tile<E> kTiles[4][4] = {
    {tile_at<E, 1, 1>(), tile_at<E, 1, 2>(), tile_at<E, 1, 3>(), tile_at<E, 1, 4>()},
    {tile_at<E, 2, 1>(), tile_at<E, 2, 2>(), tile_at<E, 2, 3>(), tile_at<E, 2, 4>()},
    {tile_at<E, 3, 1>(), tile_at<E, 3, 2>(), tile_at<E, 3, 3>(), tile_at<E, 3, 4>()},
    {tile_at<E, 4, 1>(), tile_at<E, 4, 2>(), tile_at<E, 4, 3>(), tile_at<E, 4, 4>()}};
template <class E, bool pack>
constexpr Tile<E> kDiagonals[4] = {tile_at<E, 1, 1, true, pack>(), tile_at<E, 2, 2, true, pack>(),
                                   tile_at<E, 3, 3, true, pack>(), tile_at<E, 4, 4, true, pack>()};

inline std::int64_t least(std::int64_t x, std::int64_t y) { return x < y ? x : y; }

template <class E>
void add_panel(const E* a, std::int64_t rows, const E* b, std::int64_t columns, std::int64_t stride,
               bool closing, double* sums) {
  for (std::int64_t i = 0; i < rows; i += kTile, sums += kSums) {
    const std::int64_t height = least(kTile, rows - i);
    const bool last = i + height == rows;
    const Tile<E> add =
        closing && last ? kDiagonals<E, false>[height - 1] : kTiles<E>[height - 1][columns - 1];
    add(a + i * stride, b, stride, sums, nullptr);
  }
}

void panel(const double* a, std::int64_t rows, const double* b, std::int64_t columns, bool closing,
           double* sums) {
  add_panel(a, rows, b, columns, kRowStride, closing, sums);
}

void pack_diagonal(const float* rows, std::int64_t count, std::int64_t stride, double* packed,
                   double* sums) {
  kDiagonals<float, true>[count - 1](rows, rows, stride, sums, packed);
}

void write_sums(const double* sums, std::int64_t rows, std::int64_t columns, double* out,
                std::int64_t stride) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const double* of_row = sums + i / kTile * kSums + i % kTile * kTile;
    for (std::int64_t j = 0; j < columns; ++j) out[i * stride + j] = of_row[j];
  }
}

void squares(const double* a, std::int64_t rows, double* out) {
  for (std::int64_t i = 0; i < rows; i += kTile) {
    const std::int64_t height = least(kTile, rows - i);
    const double* first = a + i * kRowStride;
    double products[kSums] = {};
    kDiagonals<double, false>[height - 1](first, first, kRowStride, products, nullptr);
    for (std::int64_t r = 0; r < height; ++r) out[i + r] += products[r * kTile + r];
  }
}

}  // namespace

void use_pairs(Kernels& kernels) {
  kernels.tile = kTile;
  kernels.tile_sums = kSums;
  kernels.panel = panel;
  kernels.panel_in_place = add_panel<float>;
  kernels.pack_diagonal = pack_diagonal;
  kernels.write_sums = write_sums;
  kernels.squares = squares;
}

}  // namespace attrx::cpu::ATTRX_ISA
