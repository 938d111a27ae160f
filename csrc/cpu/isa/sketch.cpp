// One map row added to a sketch, 64 elements and one word of signs at a time.
#include "attrx/sketch_hash.h"
#include "csrc/cpu/isa/isa.h"
#include "csrc/cpu/isa/wide.h"

namespace attrx::cpu::ATTRX_ISA {
namespace {

constexpr int kWord = 64;

static_assert(kWord == kSketchMargin);

// -x if the lowest bit is set; a branch would be wrong half of the time.
inline float turned(float x, std::uint64_t bits) {
  std::uint32_t pattern;
  __builtin_memcpy(&pattern, &x, sizeof x);
  pattern ^= static_cast<std::uint32_t>(bits & 1) << 31;
  __builtin_memcpy(&x, &pattern, sizeof x);
  return x;
}

// sums[i] += +-x[i] for 64 elements; a set bit means minus.
#if defined(__AVX512F__)
inline void add_signed(const float* x, std::uint64_t signs, float* sums) {
  const __m512 minus = _mm512_set1_ps(-0.0f);
#pragma GCC unroll 4
  for (int i = 0; i < kWord; i += 16) {
    const __m512 v = _mm512_loadu_ps(x + i);
    const __m512 turned = _mm512_mask_xor_ps(v, static_cast<__mmask16>(signs >> i), v, minus);
    _mm512_storeu_ps(sums + i, _mm512_add_ps(_mm512_loadu_ps(sums + i), turned));
  }
}
#elif defined(__AVX2__)
inline void add_signed(const float* x, std::uint64_t signs, float* sums) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i minus = _mm256_set1_epi32(static_cast<int>(0x80000000u));
#pragma GCC unroll 8
  for (int i = 0; i < kWord; i += 8) {
    const __m256i word = _mm256_set1_epi32(static_cast<int>(signs >> i & 0xff));
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(word, bit), bit);
    const __m256 flip = _mm256_castsi256_ps(_mm256_and_si256(set, minus));
    const __m256 turned = _mm256_xor_ps(_mm256_loadu_ps(x + i), flip);
    _mm256_storeu_ps(sums + i, _mm256_add_ps(_mm256_loadu_ps(sums + i), turned));
  }
}
#else
inline void add_signed(const float* x, std::uint64_t signs, float* sums) {
  for (int i = 0; i < kWord; ++i) sums[i] += turned(x[i], signs >> i);
}
#endif

// `count` elements as floats, each times `factor`.
template <class T>
inline void narrow(const T* row, double factor, std::int64_t count, float* out) {
  std::int64_t i = 0;
  for (; i + kEight <= count; i += kEight) store(out + i, eight(row + i) * factor);
  for (; i < count; ++i) out[i] = static_cast<float>(static_cast<double>(value(row[i])) * factor);
}

// Floats are added where they lie.
template <class T>
inline const float* floats(const T* row, double factor, std::int64_t count, float* buffer) {
  narrow(row, factor, count, buffer);
  return buffer;
}
inline const float* floats(const float* row, double factor, std::int64_t count, float* buffer) {
  if (factor == 1.0) return row;
  narrow(row, factor, count, buffer);
  return buffer;
}

template <bool with_squares, class T>
double add_row(const T* row, std::int64_t d, double factor, std::uint64_t key, std::int64_t size,
               float* sums) {
  float buffer[kWord];
  Eight squares = zeros();
  double rest = 0;
  std::int64_t lap = 0, offset = 0, turn = rotation(key, 0, size);
  for (std::int64_t first = 0; first < d; first += kWord) {
    const std::int64_t count = d - first < kWord ? d - first : kWord;
    const float* x = floats(row + first, factor, count, buffer);
    const std::uint64_t signs = sign_bits(key, first / kWord);
    std::int64_t to = offset + turn;
    if (to >= size) to -= size;
    if (count == kWord && offset + kWord <= size) {
      for (int i = 0; with_squares && i < kWord; i += kEight) {
        const Eight v = eight(x + i);
        squares = squares + v * v;
      }
      add_signed(x, signs, sums + to);
      offset += kWord;
    } else {
      // A lap or the row ends within this word.
      for (std::int64_t i = 0; i < count; ++i) {
        if (offset == size) {
          offset = 0;
          turn = rotation(key, ++lap, size);
        }
        to = offset + turn < size ? offset + turn : offset + turn - size;
        sums[to] += turned(x[i], signs >> i);
        rest += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        ++offset;
      }
    }
    if (offset == size) {
      offset = 0;
      turn = rotation(key, ++lap, size);
    }
  }
  // What was added past the end belongs to the beginning.
  for (int i = 0; size >= kWord && i < kWord; ++i) sums[i] += sums[size + i];
  double lane[kEight];
  __builtin_memcpy(lane, &squares, sizeof squares);
  for (double l : lane) rest += l;
  return rest;
}

template <class T>
double add_row_as(const void* row, std::int64_t d, double factor, std::uint64_t key,
                  std::int64_t size, bool with_squares, float* sums) {
  const T* elements = static_cast<const T*>(row);
  return with_squares ? add_row<true>(elements, d, factor, key, size, sums)
                      : add_row<false>(elements, d, factor, key, size, sums);
}

double sketch_row(const void* row, DType dtype, std::int64_t d, double factor, std::uint64_t key,
                  std::int64_t size, bool with_squares, float* sums) {
  switch (dtype) {
    case DType::f32:
      return add_row_as<float>(row, d, factor, key, size, with_squares, sums);
    case DType::f64:
      return add_row_as<double>(row, d, factor, key, size, with_squares, sums);
    case DType::f16:
      return add_row_as<Half>(row, d, factor, key, size, with_squares, sums);
    case DType::bf16:
      return add_row_as<BFloat>(row, d, factor, key, size, with_squares, sums);
  }
  return 0;
}

void add_scaled(const float* row, double factor, std::int64_t len, double* total) {
  for (std::int64_t i = 0; i < len; ++i) total[i] += static_cast<double>(row[i]) * factor;
}

}  // namespace

void use_sketch(Kernels& kernels) {
  kernels.sketch_row = sketch_row;
  kernels.add_scaled = add_scaled;
}

}  // namespace attrx::cpu::ATTRX_ISA
