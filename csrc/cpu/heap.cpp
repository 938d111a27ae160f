// Keeping freed memory for the next batch. A forward and backward pass allocates and frees the same
// tens of megabytes again and again; by default glibc gives blocks of this size back to the system,
// which then has to clear their pages anew each time: a quarter of a pass over a ResNet-18.
#include "attrx/ops.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace attrx::cpu {

bool keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int kAlways = 1 << 30;
  const bool kept = mallopt(M_TRIM_THRESHOLD, kAlways) == 1;
  // Older versions refuse more than 32 MiB.
  return (mallopt(M_MMAP_THRESHOLD, kAlways) == 1 || mallopt(M_MMAP_THRESHOLD, 32 << 20) == 1) &&
         kept;
#else
  return false;
#endif
}

void release_freed_memory() {
#if defined(__GLIBC__)
  // What glibc's own, growing thresholds reach in a process that frees large blocks.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  malloc_trim(0);
#endif
}

}  // namespace attrx::cpu
