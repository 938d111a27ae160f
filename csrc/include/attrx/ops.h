// Every launcher of the native module. The CPU and the CUDA launchers have the same names and the
// same meaning; the CUDA ones take a stream, run on the current device and do not synchronize.
//
// Numbers, for all of them:
// - a map element is computed in float (double for f64 data): the product rounded, the channels
//   added in their order, the sum divided by C; so all ops agree on what a map is;
// - squares and dot products are accumulated in double from exactly those elements, in an order
//   that depends on D alone: not on M, not on a network's place, not on the number of threads;
// - a cosine is dot / sqrt(na * nb), clamped to [-1, 1]; 0 where a map is all zero; NaN where
//   either map has a NaN or an Inf.
#pragma once

#include <cstddef>
#include <cstdint>

#include "attrx/types.h"

namespace attrx {

namespace cpu {

// out [n, map_size], or [n, chosen.count]: double for f64 data and float otherwise. `input` is read
// for grad_x_input only. The norm is that of the elements kept.
void attribution_maps(ImageView grad, ImageView input, DType dtype, ImageShape shape,
                      Combine combine, Reduce reduce, bool normalize, Chosen chosen, void* out,
                      int threads);

// out double [n, ma, mb]. `symmetric` says that a and b are the same maps: half the work is done.
void probe_cosines(MapView a, std::int64_t ma, MapView b, std::int64_t mb, bool symmetric,
                   DType dtype, std::int64_t n, std::int64_t d, double* out, int threads);

// The same from gradients and inputs, without a map in memory. out double [n, m, m].
void fused_probe_cosines(NetworkImageView grad, NetworkImageView input, DType dtype, std::int64_t m,
                         ImageShape shape, Combine combine, Reduce reduce, double* out,
                         int threads);

// The sketch of n maps: their unit rows, or the rows as they are, added up as sketch_hash.h says.
// Map r belongs to probe first_probe + r. out [size], 1 <= size < 2^31. With unit rows a NaN or an
// Inf in a map makes every slot NaN, and an all-zero map adds nothing; rows as they are show theirs
// in the slot it falls into, and are added up in float on the CPU.
void sketch(const void* maps, std::int64_t row_stride, DType dtype, std::int64_t n, std::int64_t d,
            std::int64_t size, std::uint64_t seed, std::uint64_t first_probe, bool normalize,
            float* out, int threads);

// What this processor can do at best, for benchmarks: reading `count` doubles (their sum), and
// `rounds` of independent multiply-adds of doubles on each thread (how many there were).
double read_all(const double* data, std::int64_t count, int threads);
std::int64_t multiply_add(std::int64_t rounds, int threads);

// The instruction set chosen for this processor: "avx512", "avx2" or "base".
const char* instruction_set();

// Have the allocator keep what is freed for reuse, however large; false where that cannot be asked
// for. And go back to giving it to the system, now and later.
bool keep_freed_memory();
void release_freed_memory();

}  // namespace cpu

#if defined(ATTRX_WITH_CUDA)
namespace cuda {

using Stream = void*;  // a cudaStream_t, so that this header needs no CUDA

void attribution_maps(ImageView grad, ImageView input, DType dtype, ImageShape shape,
                      Combine combine, Reduce reduce, bool normalize, Chosen chosen, void* out,
                      Stream stream);

// `workspace` is device memory of at least probe_cosines_workspace(...) bytes, aligned to 256.
std::size_t probe_cosines_workspace(std::int64_t ma, std::int64_t mb, bool symmetric, DType dtype,
                                    std::int64_t n, std::int64_t d);
void probe_cosines(MapView a, std::int64_t ma, MapView b, std::int64_t mb, bool symmetric,
                   DType dtype, std::int64_t n, std::int64_t d, double* out, void* workspace,
                   Stream stream);

std::size_t fused_probe_cosines_workspace(DType dtype, std::int64_t m, ImageShape shape,
                                          Reduce reduce);
void fused_probe_cosines(NetworkImageView grad, NetworkImageView input, DType dtype, std::int64_t m,
                         ImageShape shape, Combine combine, Reduce reduce, double* out,
                         void* workspace, Stream stream);

std::size_t sketch_workspace(std::int64_t n, std::int64_t size);
void sketch(const void* maps, std::int64_t row_stride, DType dtype, std::int64_t n, std::int64_t d,
            std::int64_t size, std::uint64_t seed, std::uint64_t first_probe, bool normalize,
            float* out, void* workspace, Stream stream);

int device_count();  // 0 where there is no driver or no GPU

}  // namespace cuda
#endif

}  // namespace attrx
