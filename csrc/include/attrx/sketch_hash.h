// Where a map element goes in a sketch, and with which sign: pure functions of the seed, the probe
// and the element's place, the same on every device. Internal linkage: see csrc/cpu/kernels.h.
//
// A map is cut into blocks of `size` elements (the last one may be shorter). Each block is rotated
// by a random number of elements and added to the sketch, each element with a random sign. Elements
// of one block never meet; elements of different blocks meet in one of `size` cases.
#pragma once

#include <cstdint>

namespace attrx {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

constexpr std::uint64_t probe_key(std::uint64_t seed, std::uint64_t probe) {
  return mix(mix(seed + kGolden) + probe * kGolden);
}

// Signs of elements [64 * word, 64 * word + 64): bit i set means minus.
constexpr std::uint64_t sign_bits(std::uint64_t key, std::int64_t word) {
  return mix(key + (2 * static_cast<std::uint64_t>(word) + 1) * kGolden);
}

// Element o of a block goes to (o + rotation) mod size; size < 2^31.
constexpr std::int64_t rotation(std::uint64_t key, std::int64_t block, std::int64_t size) {
  const std::uint64_t bits = mix(key + (2 * static_cast<std::uint64_t>(block) + 2) * kGolden);
  return static_cast<std::int64_t>(((bits >> 32) * static_cast<std::uint64_t>(size)) >> 32);
}

}  // namespace
}  // namespace attrx
