// Eight elements of any type as doubles, in the instruction set of the including file. Everything
// has internal linkage: see kernels.h.
#pragma once

#include <cstdint>

#include "csrc/cpu/isa/element.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int kEight = 8;

#if defined(__AVX512F__)

typedef __m512d Eight;

inline Eight zeros() { return _mm512_setzero_pd(); }
inline Eight eight(const double* p) { return _mm512_loadu_pd(p); }
// Under a full mask: the unmasked form makes g++ 12 warn of its own uninitialised value.
inline Eight eight(__m256 v) { return _mm512_maskz_cvtps_pd(0xff, v); }
inline void store(double* p, Eight v) { _mm512_storeu_pd(p, v); }
inline void store(float* p, Eight v) { _mm256_storeu_ps(p, _mm512_maskz_cvtpd_ps(0xff, v)); }

#elif defined(__AVX2__)

struct Eight {
  __m256d low, high;
  Eight operator*(double factor) const { return {low * factor, high * factor}; }
  Eight operator*(Eight other) const { return {low * other.low, high * other.high}; }
  Eight operator+(Eight other) const { return {low + other.low, high + other.high}; }
};

inline Eight zeros() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }

inline Eight eight(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
inline Eight eight(__m256 v) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
}
inline void store(double* p, Eight v) {
  _mm256_storeu_pd(p, v.low);
  _mm256_storeu_pd(p + 4, v.high);
}
inline void store(float* p, Eight v) {
  _mm256_storeu_ps(p, _mm256_set_m128(_mm256_cvtpd_ps(v.high), _mm256_cvtpd_ps(v.low)));
}

#else

struct Eight {
  double element[kEight];
  Eight operator*(double factor) const {
    Eight product;
    for (int i = 0; i < kEight; ++i) product.element[i] = element[i] * factor;
    return product;
  }
  Eight operator*(const Eight& other) const {
    Eight product;
    for (int i = 0; i < kEight; ++i) product.element[i] = element[i] * other.element[i];
    return product;
  }
  Eight operator+(const Eight& other) const {
    Eight sum;
    for (int i = 0; i < kEight; ++i) sum.element[i] = element[i] + other.element[i];
    return sum;
  }
};

inline Eight zeros() { return {}; }

template <class T>
inline Eight eight(const T* p) {
  Eight wide;
  for (int i = 0; i < kEight; ++i) wide.element[i] = static_cast<double>(value(p[i]));
  return wide;
}
template <class T>
inline void store(T* p, Eight v) {
  for (int i = 0; i < kEight; ++i) p[i] = static_cast<T>(v.element[i]);
}

#endif

#if defined(__AVX2__)
inline __m128i eight_words(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
inline Eight eight(const float* p) { return eight(_mm256_loadu_ps(p)); }
inline Eight eight(const Half* p) { return eight(_mm256_cvtph_ps(eight_words(p))); }
inline Eight eight(const BFloat* p) {
  return eight(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight_words(p)), 16)));
}
#endif

}  // namespace
