// Cosines from rows that are read in chunks: one pass over memory for dot products and norms.
//
// A task is one probe and one pair of blocks of networks. It walks the map chunk by chunk, and the
// networks of the block in panels of a tile's width. The leaf loops add the products of a panel's
// rows with those before it to the sums of all pairs; few rows are read where they lie, more are
// widened to double into a buffer that stays in cache, by the panel's own tile where they are
// floats in memory. When all tasks are done the sums become cosines. Float values need nothing
// else, since squares of floats cannot leave the range of a double; rows of doubles are first
// scaled by a power of two, which is exact.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "csrc/cpu/kernels.h"
#include "csrc/cpu/pair_cosines.h"

namespace attrx::cpu {
namespace {

constexpr std::int64_t kLargestBlock = 512;  // its packed rows, 1 MB, are near the core
constexpr std::int64_t kSmallestBlock = 64;
// Rows whose packed chunk stays in L2; whole tiles of 2, 3 and 4.
constexpr std::int64_t kStrip = 48;

// So few rows meet so few others that widening them each time costs less than keeping them widened
// (measured: equal at 15).
constexpr std::int64_t kRowsInPlace = 14;
constexpr std::int64_t kLine = 64 / sizeof(double);

struct Block {
  std::int64_t first = 0, size = 0;
};

std::vector<Block> split(std::int64_t m, std::int64_t size) {
  std::vector<Block> blocks;
  for (std::int64_t first = 0; first < m; first += size) {
    blocks.push_back({first, std::min(size, m - first)});
  }
  return blocks;
}

// Doubles that begin on a cache line.
class Lines {
 public:
  explicit Lines(std::int64_t size) : memory_(size + kLine) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    first_ = memory_.data() + (-address / sizeof(double)) % kLine;
  }
  double* data() { return first_; }
  const double* data() const { return first_; }

 private:
  std::vector<double> memory_;
  double* first_;
};

// The packed chunk of a block of rows.
class Packed {
 public:
  explicit Packed(std::int64_t rows) : data_(rows * kRowStride), factor_(rows), scratch_(kChunk) {}

  void begin(const RowSource& source, std::int64_t probe, Block block, bool wide, std::int64_t d) {
    source_ = &source;
    probe_ = probe;
    block_ = block;
    d_ = d;
    std::fill_n(factor_.begin(), block.size, 1.0);
    if (wide) find_factors();
  }

  // Rows [row, row + count) of the block, elements from `first` on.
  void read(std::int64_t row, std::int64_t count, std::int64_t first) {
    source_->read(chunk(row, count, first), &factor_[row], scratch_.data(),
                  data_.data() + row * kRowStride);
  }

  // Where a whole chunk of the block's rows lies, if it is floats in memory.
  const float* in_place(std::int64_t first, std::int64_t* stride) const {
    return first + kChunk > d_ ? nullptr : source_->in_place(chunk(0, block_.size, first), stride);
  }

  double* row(std::int64_t i) { return data_.data() + i * kRowStride; }
  const double* row(std::int64_t i) const { return data_.data() + i * kRowStride; }

 private:
  Chunk chunk(std::int64_t row, std::int64_t count, std::int64_t first) const {
    return {block_.first + row, count, probe_, first, std::min<std::int64_t>(kChunk, d_ - first)};
  }

  // Powers of two that bring the largest element of every row near 1.
  void find_factors() {
    for (std::int64_t i = 0; i < block_.size; ++i) {
      double largest = 0;
      for (std::int64_t first = 0; first < d_; first += kChunk) {
        source_->read(chunk(i, 1, first), &factor_[i], scratch_.data(), data_.data());
        largest = std::max(largest, kernels().absmax(data_.data(), kChunk));
      }
      if (largest > 0 && std::isfinite(largest)) {
        // 2^1023 is the largest power of two: a denormal row ends below 1, which is no harm.
        factor_[i] = std::ldexp(1.0, std::min(-std::ilogb(largest), 1023));
      }
    }
  }

  Lines data_;
  std::vector<double> factor_, scratch_;
  const RowSource* source_ = nullptr;
  std::int64_t probe_ = 0, d_ = 0;
  Block block_;
};

// Buffers of one thread. Without columns a block meets itself only.
struct Workspace {
  Packed rows, columns;
  Lines sums;
  Workspace(std::int64_t row_count, std::int64_t column_count)
      : rows(row_count), columns(column_count), sums(sums_of(row_count, column_count)) {}

  static std::int64_t sums_of(std::int64_t rows, std::int64_t columns) {
    const std::int64_t tile = kernels().tile;
    const std::int64_t r = (rows + tile - 1) / tile, c = (columns + tile - 1) / tile;
    return (columns == 0 ? r * (r + 1) / 2 : r * c) * kernels().tile_sums;
  }
};

struct Problem {
  const RowSource& a;
  const RowSource& b;
  std::int64_t ma, mb;
  bool symmetric, wide;
  std::int64_t n, d;
  double* out;        // [n, ma, mb]: first the dot products, in the end the cosines
  double* a_squares;  // [n, ma]
  double* b_squares;  // [n, mb]; a_squares where symmetric
};

// The pairs of a task in the order in which their sums are stored: for each strip of rows the
// panels of columns; of a block with itself only the panels from the strip on, and only the rows
// up to the panel. Calls visit(strip, panel, rows of the strip, whether the panel closes them).
template <class Visit>
void for_each_panel(std::int64_t rows, std::int64_t columns, bool diagonal, Visit visit) {
  for (std::int64_t first = 0; first < rows; first += kStrip) {
    const Block strip{first, std::min(kStrip, rows - first)};
    for (std::int64_t j = diagonal ? strip.first : 0; j < columns; j += kernels().tile) {
      const Block panel{j, std::min<std::int64_t>(kernels().tile, columns - j)};
      const std::int64_t height = panel.first + panel.size - strip.first;
      const bool closing = diagonal && height <= strip.size;
      visit(strip, panel, closing ? height : strip.size, closing);
    }
  }
}

void add_products(const Problem& p, std::int64_t probe, Block rows, Block columns,
                  Workspace& work) {
  const Kernels& k = kernels();
  const bool diagonal = p.symmetric && rows.first == columns.first;
  Packed& right = diagonal ? work.rows : work.columns;
  // Every row's square is added by one task.
  double* a_squares =
      p.symmetric || columns.first > 0 ? nullptr : &p.a_squares[probe * p.ma + rows.first];
  double* b_squares =
      p.symmetric || rows.first > 0 ? nullptr : &p.b_squares[probe * p.mb + columns.first];

  work.rows.begin(p.a, probe, rows, p.wide, p.d);
  if (!diagonal) work.columns.begin(p.b, probe, columns, p.wide, p.d);
  std::fill_n(work.sums.data(), Workspace::sums_of(rows.size, diagonal ? 0 : columns.size), 0.0);
  for (std::int64_t first = 0; first < p.d; first += kChunk) {
    if (!diagonal) work.rows.read(0, rows.size, first);
    std::int64_t stride = 0;
    const float* in_place = diagonal ? work.rows.in_place(first, &stride) : nullptr;
    double* sums = work.sums.data();
    for_each_panel(
        rows.size, columns.size, diagonal,
        [&](Block strip, Block panel, std::int64_t height, bool closing) {
          double* packed = right.row(panel.first);
          if (in_place && rows.size <= kRowsInPlace) {
            sums = k.panel_in_place(in_place, height, in_place + panel.first * stride, panel.size,
                                    stride, closing, sums);
          } else if (in_place && strip.first == 0 && closing) {
            // The panel's own pairs come first, as they pack it; their place is last.
            double* last = sums + panel.first / k.tile * k.tile_sums;
            k.pack_diagonal(in_place + panel.first * stride, panel.size, stride, packed, last);
            k.panel(work.rows.row(0), panel.first, packed, panel.size, false, sums);
            sums = last + k.tile_sums;
          } else {
            // Packed when first needed, so that memory is read between the products.
            if (strip.first == 0) right.read(panel.first, panel.size, first);
            sums = k.panel(work.rows.row(strip.first), height, packed, panel.size, closing, sums);
          }
        });
    if (a_squares) k.squares(work.rows.row(0), rows.size, a_squares);
    if (b_squares) k.squares(right.row(0), columns.size, b_squares);
  }
  double* out = p.out + (probe * p.ma + rows.first) * p.mb + columns.first;
  const double* sums = work.sums.data();
  for_each_panel(
      rows.size, columns.size, diagonal, [&](Block strip, Block panel, std::int64_t height, bool) {
        sums = k.unpack(sums, height, panel.size, out + strip.first * p.mb + panel.first, p.mb);
      });
}

double cosine(double dot, double a_square, double b_square) {
  const double square = a_square * b_square;
  if (!std::isfinite(dot) || !std::isfinite(square)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (square == 0) return 0;
  return std::clamp(dot / std::sqrt(square), -1.0, 1.0);
}

// Row i of a probe's dot products to cosines.
void finish_row(const Problem& p, std::int64_t probe, std::int64_t i) {
  double* matrix = p.out + probe * p.ma * p.mb;
  const double* a_squares = p.a_squares + probe * p.ma;
  const double* b_squares = p.b_squares + probe * p.mb;
  for (std::int64_t j = p.symmetric ? i : 0; j < p.mb; ++j) {
    const double value = cosine(matrix[i * p.mb + j], a_squares[i], b_squares[j]);
    matrix[i * p.mb + j] = value;
    if (p.symmetric) matrix[j * p.mb + i] = value;
  }
}

}  // namespace

void gram_cosines(const RowSource& a, std::int64_t ma, const RowSource& b, std::int64_t mb,
                  bool symmetric, bool wide, std::int64_t n, std::int64_t d, double* out,
                  int threads) {
  if (n == 0 || ma == 0 || mb == 0) return;
  std::int64_t size = kLargestBlock;
  std::vector<std::pair<Block, Block>> pairs;
  do {
    pairs.clear();
    for (const Block& r : split(ma, size)) {
      for (const Block& c : split(mb, size)) {
        if (!symmetric || c.first >= r.first) pairs.emplace_back(r, c);
      }
    }
    size /= 2;
  } while (n * static_cast<std::int64_t>(pairs.size()) < 2 * threads && size >= kSmallestBlock);

  const std::int64_t tasks = n * static_cast<std::int64_t>(pairs.size());
  const Block& widest_rows = pairs.front().first;
  const Block& widest_columns = pairs.front().second;
  // Allocated here: an exception must not leave a parallel region.
  const int workers = static_cast<int>(std::clamp<std::int64_t>(threads, 1, tasks));
  std::vector<std::unique_ptr<Workspace>> work(workers);
  const std::int64_t columns = symmetric && pairs.size() == 1 ? 0 : widest_columns.size;
  for (auto& w : work) w = std::make_unique<Workspace>(widest_rows.size, columns);
  std::vector<double> a_squares(n * ma), b_squares(symmetric ? 0 : n * mb);
  const Problem problem{a,
                        b,
                        ma,
                        mb,
                        symmetric,
                        wide,
                        n,
                        d,
                        out,
                        a_squares.data(),
                        symmetric ? a_squares.data() : b_squares.data()};

#pragma omp parallel for num_threads(workers) schedule(dynamic, 1)
  for (std::int64_t t = 0; t < tasks; ++t) {
#if defined(_OPENMP)
    Workspace& mine = *work[omp_get_thread_num()];
#else
    Workspace& mine = *work[0];
#endif
    const auto& [r, c] = pairs[t % pairs.size()];
    add_products(problem, t / static_cast<std::int64_t>(pairs.size()), r, c, mine);
  }

  if (symmetric) {
    for (std::int64_t i = 0; i < n * ma; ++i) a_squares[i] = out[i * ma + i % ma];
  }
#pragma omp parallel for num_threads(workers) schedule(static)
  for (std::int64_t i = 0; i < n * ma; ++i) finish_row(problem, i / ma, i % ma);
}

}  // namespace attrx::cpu
