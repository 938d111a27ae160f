// What an instruction set's build of the leaf loops provides: it puts them into the table.
// ATTRX_ISA names its namespace.
#pragma once

#include "csrc/cpu/kernels.h"

#define ATTRX_DECLARE_USES(isa)        \
  namespace isa {                      \
  void use_maps(Kernels& kernels);     \
  void use_pairs(Kernels& kernels);    \
  void use_sketch(Kernels& kernels);   \
  void use_ceilings(Kernels& kernels); \
  }

namespace attrx::cpu {
ATTRX_DECLARE_USES(base)
#if defined(ATTRX_X86)
ATTRX_DECLARE_USES(avx2)
ATTRX_DECLARE_USES(avx512)
#endif
}  // namespace attrx::cpu
