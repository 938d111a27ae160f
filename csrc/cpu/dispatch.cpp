// Chooses the leaf loops for this processor, once. ATTRX_INSTRUCTION_SET=base|avx2|avx512 in the
// environment asks for a smaller set than the processor offers, for tests and comparisons.
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "attrx/ops.h"
#include "csrc/cpu/isa/isa.h"

namespace attrx::cpu {
namespace {

#define ATTRX_KERNELS(isa) \
  make(#isa, {isa::use_maps, isa::use_pairs, isa::use_sketch, isa::use_ceilings})

Kernels make(const char* name, std::initializer_list<void (*)(Kernels&)> uses) {
  Kernels kernels{};
  kernels.name = name;
  for (const auto use : uses) use(kernels);
  return kernels;
}

Kernels choose() {
#if defined(ATTRX_X86)
  const char* asked = std::getenv("ATTRX_INSTRUCTION_SET");
  const auto allowed = [asked](const char* name) {
    return asked == nullptr || std::strcmp(asked, name) == 0;
  };
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw");
  if (avx512 && allowed("avx512")) return ATTRX_KERNELS(avx512);
  if (avx2 && (allowed("avx2") || (asked && std::strcmp(asked, "avx512") == 0))) {
    return ATTRX_KERNELS(avx2);
  }
#endif
  return ATTRX_KERNELS(base);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels chosen = choose();
  return chosen;
}

const char* instruction_set() { return kernels().name; }

}  // namespace attrx::cpu
