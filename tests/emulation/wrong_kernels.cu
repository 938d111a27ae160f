// Kernels with one mistake each, to prove that the emulated device finds it; emulate.py knows how
// each shows. `right` and `products` have none.
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include "csrc/cuda/block_reduce.cuh"
#include "csrc/cuda/launch.cuh"
#include "csrc/cuda/tensor_cores.cuh"

// Not in an unnamed namespace, where `shared` would be an array of that namespace.
namespace attrx::cuda {

constexpr int kThreads = 64;

// ---- Races --------------------------------------------------------------------------------------

__global__ void no_barrier_static(double* out) {
  __shared__ double row[kThreads];
  row[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = row[kThreads - 1 - threadIdx.x];
}

__global__ void no_barrier_dynamic(double* out) {
  extern __shared__ double shared[];
  shared[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = shared[kThreads - 1 - threadIdx.x];
}

// Others read what the next turn writes over.
__global__ void one_barrier_of_two(double* out) {
  __shared__ double given;
  double sum = 0;
  for (unsigned turn = 0; turn < kThreads; ++turn) {
    if (threadIdx.x == turn) given = turn;
    __syncthreads();
    sum += given;
  }
  out[threadIdx.x] = sum;
}

// All lanes come to a shuffle, which says nothing of their memory.
__global__ void shuffle_for_barrier(double* out) {
  __shared__ double row[kWarp];
  row[threadIdx.x] = threadIdx.x;
  const double sum = __shfl_xor_sync(kFullMask, 1.0, 1);
  out[threadIdx.x] = sum + row[kWarp - 1 - threadIdx.x];
}

__global__ void two_blocks_one_place(double* out) {
  if (threadIdx.x == 0) out[0] = blockIdx.x;
}

// ---- Bounds -------------------------------------------------------------------------------------

__global__ void past_dynamic(double* out) {
  extern __shared__ double shared[];
  shared[threadIdx.x + 1] = threadIdx.x;
  out[threadIdx.x] = 0;
}

__global__ void past_global(double* out) { out[threadIdx.x + 1] = threadIdx.x; }

__global__ void unaligned_pack(double* out) {
  const auto* packs = reinterpret_cast<const uint4*>(reinterpret_cast<const char*>(out) + 4);
  out[threadIdx.x] = packs[threadIdx.x / 4].x;
}

__global__ void never_written(double* out) {
  __shared__ double row[kThreads];
  if (threadIdx.x > 0) row[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = row[kThreads - 1 - threadIdx.x];
}

// ---- Who takes part -----------------------------------------------------------------------------

__global__ void barrier_for_some(double* out) {
  if (threadIdx.x < 40) __syncthreads();
  out[threadIdx.x] = 0;
}

__global__ void shuffle_for_some(double* out) {
  if (threadIdx.x % kWarp < 16) return;
  out[threadIdx.x] = __shfl_xor_sync(kFullMask, 1.0, 1);
}

__global__ void two_masks(double* out) {
  out[threadIdx.x] = __shfl_xor_sync(threadIdx.x % 2 == 0 ? kFullMask : 0xaaaaaaaau, 1.0, 2);
}

__global__ void lane_outside_mask(double* out) {
  if (threadIdx.x % kWarp < 16) return;
  out[threadIdx.x] = __shfl_sync(0xffff0000u, 1.0, 3);
}

__global__ void barrier_and_shuffle(double* out) {
  if (threadIdx.x % kWarp == 0) __syncthreads();
  out[threadIdx.x] = __shfl_sync(kFullMask, 1.0, 3);
}

// ---- None ---------------------------------------------------------------------------------------

// Rows are turned round in warps, then in the block; every block writes its own row.
__global__ void right(double* out) {
  extern __shared__ double shared[];
  __shared__ double row[kThreads];
  const unsigned at = threadIdx.x, warp = at / kWarp * kWarp, lane = at % kWarp;
  for (int turn = 0; turn < 3; ++turn) {
    row[at] = at;
    __syncwarp();
    const double turned = row[warp + kWarp - 1 - lane];
    __syncwarp();
    shared[at] = turned + __any_sync(kFullMask, lane == 5) + __shfl_sync(kFullMask, lane, 9, 16);
    __syncthreads();
    out[blockIdx.x * kThreads + at] = shared[kThreads - 1 - at];
    __syncthreads();
  }
}

// What replaces tensor cores on old hardware, against those of the emulated device: 0 where they
// agree. Here the kernels' own code has no tensor cores to call.
__global__ void products(double* out) {
  const auto number = [](int i) { return (i * 7919 % 1009 - 504) / 97.0; };
  const int i = static_cast<int>(threadIdx.x);
  double sums[4] = {1, 2, 3, 4}, expected[4] = {1, 2, 3, 4};
  multiply_add(sums, number(i), number(i + 100), number(i + 200));
  emulation::multiply_add(expected, number(i), number(i + 100), number(i + 200));
  out[i] = 0;
  for (int s = 0; s < 4; ++s) out[i] += sums[s] != expected[s];
}

// ---- Launches -----------------------------------------------------------------------------------

struct Case {
  const char* name;
  void (*kernel)(double*);
  Launch launch;
};

constexpr std::size_t kRow = kThreads * sizeof(double);
constexpr std::size_t kLarge = 200 << 10;
const Case kCases[] = {
    {"no_barrier_static", no_barrier_static, {1, kThreads, 0, nullptr}},
    {"no_barrier_dynamic", no_barrier_dynamic, {1, kThreads, kRow, nullptr}},
    {"one_barrier_of_two", one_barrier_of_two, {1, kThreads, 0, nullptr}},
    {"shuffle_for_barrier", shuffle_for_barrier, {1, kWarp, 0, nullptr}},
    {"two_blocks_one_place", two_blocks_one_place, {2, kThreads, 0, nullptr}},
    {"past_dynamic", past_dynamic, {1, kThreads, kRow, nullptr}},
    {"past_global", past_global, {2, kThreads, 0, nullptr}},
    {"unaligned_pack", unaligned_pack, {1, kThreads, 0, nullptr}},
    {"never_written", never_written, {1, kThreads, 0, nullptr}},
    {"barrier_for_some", barrier_for_some, {1, kThreads, 0, nullptr}},
    {"shuffle_for_some", shuffle_for_some, {1, kThreads, 0, nullptr}},
    {"two_masks", two_masks, {1, kThreads, 0, nullptr}},
    {"lane_outside_mask", lane_outside_mask, {1, kThreads, 0, nullptr}},
    {"barrier_and_shuffle", barrier_and_shuffle, {1, kThreads, 0, nullptr}},
    {"no_blocks", right, {0, kThreads, kRow, nullptr}},
    {"many_threads", right, {1, 1025, kRow, nullptr}},
    {"much_shared_memory", right, {1, kThreads, kLarge, nullptr}},
    {"right", right, {2, kThreads, kRow, nullptr}},
    {"right_large", right, {2, kThreads, kLarge, nullptr}},
    {"products", products, {1, kThreads, 0, nullptr}},
};

void run(const Case& chosen) {
  constexpr int kOut = 2 * kThreads;  // of two blocks
  const std::unique_ptr<double[]> out(new double[kOut]());
  const std::string name = chosen.name;
  if (name == "right_large") {
    check(cudaFuncSetAttribute(right, cudaFuncAttributeMaxDynamicSharedMemorySize, kLarge),
          "right");
  }
  double* to = name == "past_global" ? out.get() + kThreads : out.get();
  launch(chosen.name, chosen.launch, chosen.kernel, to);
  for (int i = 0; i < kOut; ++i) {
    if (name == "products" && out[i] != 0) throw std::runtime_error("products differ");
    std::printf("%g ", out[i]);
  }
}

}  // namespace attrx::cuda

int main(int count, char** arguments) {
  using namespace attrx::cuda;
  const std::string name = count > 1 ? arguments[1] : "";
  for (const Case& one : kCases) {
    if (name != one.name) continue;
    try {
      run(one);
      return 0;
    } catch (const std::exception& error) {
      std::puts(error.what());
      return 1;
    }
  }
  std::puts("no such case");
  return 2;
}
