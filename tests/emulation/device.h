// An emulated CUDA device: kernels run on the CPU, as strictly as the programming model allows.
//
// Every thread of a block is a fiber; blocks run one after another. A fiber runs until it has to
// wait for others, and who is next is a setting (ATTRX_EMULATED_ORDER: `ascending`, `descending`,
// or the seed of a shuffle): where a barrier is missing, results differ between orders. Stricter
// than hardware, so that what passes here is right on all of it:
// - a barrier wants every thread of the block, and a warp's call every lane of its mask, none of
//   them returned; a block that cannot go on fails the launch, with who waits for whom;
// - a shuffle reads only lanes that take part, and orders no memory, which __syncwarp() does;
// - shared memory is full of NaN when a block begins, and guarded after its last byte.
// Under AddressSanitizer every access past a buffer or past dynamic shared memory is reported.
// Under ThreadSanitizer every thread of every block is a thread of its own, ordered by barriers
// within a block, and by nothing between the blocks of a launch: unordered accesses to shared or
// global memory are reported, in whatever order they really ran.
//
// It knows one dimension of blocks and threads. How much static shared memory a kernel has is not
// known to it, nor its __launch_bounds__.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace attrx::emulation {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kMostThreads = 1024;
inline constexpr unsigned kMostBlocks = 0x7fffffff;
inline constexpr std::size_t kSharedMemory = 48 << 10;       // of a block, dynamic
inline constexpr std::size_t kMostSharedMemory = 227 << 10;  // where a kernel asked for it
inline constexpr std::size_t kGuard = 4 << 10;               // after it

}  // namespace attrx::emulation

namespace attrx::cuda {

// What `extern __shared__ double shared[];` in a kernel of this namespace means.
inline constexpr std::size_t kSharedDoubles =
    (emulation::kMostSharedMemory + emulation::kGuard) / sizeof(double);
extern thread_local double shared[kSharedDoubles];

}  // namespace attrx::cuda
