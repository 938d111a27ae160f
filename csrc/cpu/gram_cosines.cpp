// Cosines from rows that are read in chunks: one pass over memory for dot products and norms.
//
// A task is one probe and one pair of blocks of at most kBlock networks. It walks the map chunk by
// chunk: the chunk of every row is widened to double into a small buffer, and the inner loops add
// its products to the lane sums. Float values need nothing else, since squares of floats cannot
// leave the range of a double. Rows of doubles are first scaled by a power of two, which is exact.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "csrc/cpu/kernels.h"
#include "csrc/cpu/rows.h"

namespace attrx::cpu {
namespace {

struct Block {
  std::int64_t first = 0;
  int size = 0;
};

// Buffers of one thread.
struct Workspace {
  std::vector<double> a, b, scratch;  // chunks of rows
  std::vector<double> dots;           // [kBlock, kBlock, kLanes]
  std::vector<double> a_squares, b_squares;
  Workspace()
      : a(kBlock * kRowStride),
        b(kBlock * kRowStride),
        scratch(kChunk),
        dots(kBlock * kBlock * kLanes),
        a_squares(kBlock * kLanes),
        b_squares(kBlock * kLanes) {}
};

double sum_lanes(const double* lane) {
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

double cosine(double dot, double a_square, double b_square) {
  const double square = a_square * b_square;
  if (!std::isfinite(dot) || !std::isfinite(square)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (square == 0) return 0;
  return std::clamp(dot / std::sqrt(square), -1.0, 1.0);
}

class Task {
 public:
  Task(const RowSource& a, const RowSource& b, bool symmetric, bool wide, std::int64_t d,
       Workspace& work)
      : a_(a), b_(b), symmetric_(symmetric), wide_(wide), d_(d), work_(work) {}

  // out points at the [ma, mb] matrix of the probe, whose rows are `stride` apart.
  void run(std::int64_t probe, Block rows, Block columns, double* out, std::int64_t stride) {
    const Kernels& k = kernels();
    const bool same = symmetric_ && rows.first == columns.first;
    double a_factor[kBlock], b_factor[kBlock];
    find_factors(a_, probe, rows, a_factor);
    if (!same) find_factors(b_, probe, columns, b_factor);

    std::fill(work_.dots.begin(), work_.dots.end(), 0.0);
    std::fill(work_.a_squares.begin(), work_.a_squares.end(), 0.0);
    std::fill(work_.b_squares.begin(), work_.b_squares.end(), 0.0);
    for (std::int64_t first = 0; first < d_; first += kChunk) {
      read_chunk(a_, probe, rows, first, a_factor, work_.a.data());
      if (!same) {
        read_chunk(b_, probe, columns, first, b_factor, work_.b.data());
        k.squares(work_.b.data(), columns.size, work_.b_squares.data());
      }
      k.squares(work_.a.data(), rows.size, work_.a_squares.data());
      const double* right = same ? work_.a.data() : work_.b.data();
      k.gram(work_.a.data(), rows.size, right, columns.size, same, work_.dots.data());
    }
    const double* column_squares = same ? work_.a_squares.data() : work_.b_squares.data();
    for (int i = 0; i < rows.size; ++i) {
      const double a_square = sum_lanes(&work_.a_squares[i * kLanes]);
      for (int j = same ? i : 0; j < columns.size; ++j) {
        const double b_square = sum_lanes(column_squares + j * kLanes);
        const double dot = sum_lanes(&work_.dots[(i * kBlock + j) * kLanes]);
        const double value = cosine(dot, a_square, b_square);
        out[(rows.first + i) * stride + columns.first + j] = value;
        if (symmetric_) out[(columns.first + j) * stride + rows.first + i] = value;
      }
    }
  }

 private:
  // Powers of two that bring the largest element of every row near 1.
  void find_factors(const RowSource& source, std::int64_t probe, Block block, double* factor) {
    std::fill(factor, factor + block.size, 1.0);
    if (!wide_) return;
    for (int i = 0; i < block.size; ++i) {
      double largest = 0;
      for (std::int64_t first = 0; first < d_; first += kChunk) {
        const std::int64_t len = std::min<std::int64_t>(kChunk, d_ - first);
        source.read(block.first + i, probe, first, len, 1.0, work_.scratch.data(), work_.a.data());
        largest = std::max(largest, kernels().absmax(work_.a.data(), len));
      }
      if (largest > 0 && std::isfinite(largest)) {
        // 2^1023 is the largest power of two: a denormal row ends below 1, which is no harm.
        factor[i] = std::ldexp(1.0, std::min(-std::ilogb(largest), 1023));
      }
    }
  }

  void read_chunk(const RowSource& source, std::int64_t probe, Block block, std::int64_t first,
                  const double* factor, double* out) {
    const std::int64_t len = std::min<std::int64_t>(kChunk, d_ - first);
    for (int i = 0; i < block.size; ++i) {
      double* row = out + i * kRowStride;
      source.read(block.first + i, probe, first, len, factor[i], work_.scratch.data(), row);
      std::fill(row + len, row + kChunk, 0.0);
    }
  }

  const RowSource& a_;
  const RowSource& b_;
  bool symmetric_, wide_;
  std::int64_t d_;
  Workspace& work_;
};

std::vector<Block> split(std::int64_t m) {
  std::vector<Block> blocks;
  for (std::int64_t first = 0; first < m; first += kBlock) {
    blocks.push_back({first, static_cast<int>(std::min<std::int64_t>(kBlock, m - first))});
  }
  return blocks;
}

}  // namespace

void gram_cosines(const RowSource& a, std::int64_t ma, const RowSource& b, std::int64_t mb,
                  bool symmetric, bool wide, std::int64_t n, std::int64_t d, double* out,
                  int threads) {
  std::vector<std::pair<Block, Block>> pairs;
  const std::vector<Block> rows = split(ma), columns = split(mb);
  for (const Block& r : rows) {
    for (const Block& c : columns) {
      if (!symmetric || c.first >= r.first) pairs.emplace_back(r, c);
    }
  }
  const std::int64_t tasks = n * static_cast<std::int64_t>(pairs.size());
  if (tasks == 0) return;
  threads = static_cast<int>(std::clamp<std::int64_t>(threads, 1, tasks));
  // Allocated here: an exception must not leave a parallel region.
  std::vector<std::unique_ptr<Workspace>> work(threads);
  for (auto& w : work) w = std::make_unique<Workspace>();

#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (std::int64_t t = 0; t < tasks; ++t) {
#if defined(_OPENMP)
    Workspace& mine = *work[omp_get_thread_num()];
#else
    Workspace& mine = *work[0];
#endif
    const std::int64_t probe = t / static_cast<std::int64_t>(pairs.size());
    const auto& [r, c] = pairs[t % pairs.size()];
    Task(a, b, symmetric, wide, d, mine).run(probe, r, c, out + probe * ma * mb, mb);
  }
}

}  // namespace attrx::cpu
