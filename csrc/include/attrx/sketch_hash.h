// Where a map element goes in a sketch, and with which sign: pure functions of the seed, the probe
// and the element's place, the same on every device. Internal linkage: see csrc/cpu/kernels.h.
//
// A map goes round the sketch in laps of `size` elements (the last one may be shorter). Each lap is
// rotated by a random number of slots and added to the sketch, each element with a random sign:
//
//     size 4, rotations 1, 3, 0     lap 0     lap 1     lap 2
//     elements                      a b c d   e f g h   i j
//     slots  0 1 2 3                d a b c   f g h e   i j . .     slot 0: +-d +-f +-i
//
// Elements of one lap never meet; elements of different laps meet in one of `size` cases.
#pragma once

#include <cstdint>

namespace attrx {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
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

// Element o of a lap goes to slot (o + rotation) mod size; size < 2^31.
constexpr std::int64_t rotation(std::uint64_t key, std::int64_t lap, std::int64_t size) {
  const std::uint64_t bits = mix(key + (2 * static_cast<std::uint64_t>(lap) + 2) * kGolden);
  return static_cast<std::int64_t>(((bits >> 32) * static_cast<std::uint64_t>(size)) >> 32);
}

}  // namespace
}  // namespace attrx
