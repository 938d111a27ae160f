// The maps of a block on their way to shared memory, a chunk of all its networks at a time and
// widened to double, so that every element is loaded and converted once.
//
//     step 0   network 0: e0 e1 e2 e3   network 1: e0 e1 e2 e3   ..   last network   (two unused)
//     step 1   network 0: e4 e5 e6 e7   network 1: e4 e5 e6 e7   ..
//
// So the eight networks of a micro are 32 doubles side by side, one for each lane of a warp.
#pragma once

#include <cstdint>
#include <type_traits>

#include "csrc/cuda/elements.cuh"
#include "csrc/cuda/pair_plan.cuh"
#include "csrc/cuda/pair_work.cuh"
#include "csrc/cuda/tensor_cores.cuh"

namespace attrx::cuda {

// A few packs of W elements of every thread: a chunk is staged in rounds, dealt to the threads in
// turn.
template <int W, class Source>
struct Staging {
  using R = Real<typename Source::Element>;
  static constexpr int kPacks = kScarceRegisters ? 1 : Source::template kAtOnce<W>;

  R v[kPacks][W];

  // Packs of one round for all threads.
  static __device__ int round_size() { return kPacks * static_cast<int>(blockDim.x); }

  // Loads the packs of a round, of the chunk that starts at element `first`; zero from work.end on.
  __device__ void fetch(const Source& source, const Work& work, int packs_log2, std::int64_t first,
                        int round) {
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const Place at(work, packs_log2, round, i);
#pragma unroll
      for (int w = 0; w < W; ++w) v[i][w] = 0;
      if (at.network >= work.rows + work.cols || first + at.element >= work.end) continue;
      source.template read<W>(at.second, at.m, work.n, first + at.element, v[i]);
    }
  }

  // Stores them.
  __device__ void put(const PairPlan& plan, const PairBuffers& buffers, const Work& work,
                      int packs_log2, int round, double* chunk) const {
    constexpr int kWide = W == 1 ? 1 : kPack<double>;
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const Place at(work, packs_log2, round, i);
      if (at.network >= work.rows + work.cols) continue;
      double scale = 1;
      if constexpr (std::is_same_v<R, double>) {
        scale = at.second ? buffers.scale_b[work.n * plan.b.networks + at.m]
                          : buffers.scale_a[work.n * plan.a.networks + at.m];
      }
      const int staged = at.second ? at.network - work.rows + work.cols_at : at.network;
#pragma unroll
      for (int w = 0; w < W; w += kWide) {
        const int element = at.element + w;
        double wide[kWide];
#pragma unroll
        for (int p = 0; p < kWide; ++p) wide[p] = v[i][w + p] * scale;
        store(chunk + element / kStep * plan.step_size() + staged * kStep + element % kStep, wide);
      }
    }
  }

 private:
  // Where a thread's pack `i` of a round is.
  struct Place {
    int network, element;  // of the block and of the chunk
    std::int64_t m;        // the network in its set
    bool second;           // which set

    __device__ Place(const Work& work, int packs_log2, int round, int i) {
      const int index =
          round * round_size() + i * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
      network = index >> packs_log2;
      element = (index & ((1 << packs_log2) - 1)) * W;
      second = network >= work.rows;
      m = second ? work.b0 + network - work.rows : work.a0 + network;
    }
  };
};

}  // namespace attrx::cuda
