// Chooses the leaf loops for this processor, once. ATTRX_INSTRUCTION_SET=base|avx2|avx512 in the
// environment asks for a smaller set than the processor offers, for tests and comparisons.
#include <cstdlib>
#include <cstring>

#include "attrx/ops.h"
#include "csrc/cpu/isa/isa.h"

namespace attrx::cpu {
namespace {

#define ATTRX_TABLE(isa)                                                                           \
  Kernels {                                                                                        \
    #isa, isa::tile_size, isa::tile_sums, isa::reduce_channels, isa::widen, isa::sum_of_squares,   \
        isa::scale, isa::absmax, isa::panel, isa::panel_in_place, isa::pack_diagonal, isa::unpack, \
        isa::squares, isa::sketch_row, isa::add_scaled, isa::sum_all, isa::multiply_add            \
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
  if (avx512 && allowed("avx512")) return ATTRX_TABLE(avx512);
  if (avx2 && (allowed("avx2") || (asked && std::strcmp(asked, "avx512") == 0))) {
    return ATTRX_TABLE(avx2);
  }
#endif
  return ATTRX_TABLE(base);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels chosen = choose();
  return chosen;
}

const char* instruction_set() { return kernels().name; }

}  // namespace attrx::cpu
