// Cosines of all pairs of networks: one pass over the maps for dot products and norms. The words
// are those of docs/kernels.md.
//
// The maps of 100 networks with themselves on one probe, with tiles of 4 x 4 pairs (AVX-512). That
// is one block; a thread takes it through the maps. Its rows come in strips, its columns in panels:
//
//     panel           0  1  2    11  12      23  24
//     strip 0    0    \  o  o  :  o | o  :  o | o      o  tile: 4 rows with 4 columns
//                4       \  o  :  o | o  :  o | o      \  tile on the diagonal: pairs i <= j
//                :          \  :  o | o  :  o | o
//               44                \ | o  :  o | o      48 rows
//     strip 1   48                  | \  :  o | o
//                :                  |    \  o | o
//               92                  |       \ | o      48 rows
//     strip 2   96                  |         | \      4 rows
//
//     maps      |-------|-------|-------|--  ..  --|   chunks of 256 elements
//
// For every chunk, strip by strip, panel by panel from the left, tile by tile down the panel: a
// leaf loop adds the chunk's products to the sums of the tile. Up to 14 rows are read where they
// lie. More are kept as packed doubles: a strip's stay in L2 while the panels pass. A panel is
// packed when strip 0 meets it: by its own tile on the diagonal where maps are floats in memory,
// so that memory is read between products. More than 512 networks are several blocks, and fewer
// are too where there are more threads than probes. When all are done the sums become cosines.
#include "csrc/cpu/pair_cosines.h"

#include <algorithm>
#include <memory>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "attrx/cosine.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/scale.h"

namespace attrx::cpu {
namespace {

constexpr std::int64_t kLargestBlock = 512;  // its packed chunk, 1 MB, is near the core
constexpr std::int64_t kSmallestBlock = 64;
constexpr std::int64_t kStrip = 48;  // whole tiles of 2, 3 and 4
// So few rows meet so few others that widening them each time costs less than keeping them widened
// (measured: equal at 15).
constexpr std::int64_t kRowsInPlace = 14;
constexpr std::int64_t kLine = 64 / sizeof(double);

struct Range {
  std::int64_t first = 0, size = 0;
};

// The tiles of a strip with a panel of columns, which one leaf loop takes from top to bottom.
struct Panel {
  Range rows, columns;
  bool closing;       // the last tile is on the diagonal, and rows end with the columns
  std::int64_t sums;  // where the sums of the first tile begin
};

std::int64_t tiles_of(std::int64_t networks) {
  return (networks + kernels().tile - 1) / kernels().tile;
}

// The pairs of two ranges of networks; on the diagonal of one with itself, and i <= j.
struct Block {
  Range rows, columns;
  bool diagonal;
  std::vector<Panel> panels;  // in the order of the visits
  std::int64_t sums = 0;      // doubles of all tiles

  // Strips on the diagonal begin with the panel of their first row.
  Block(Range rows, Range columns, bool diagonal)
      : rows(rows), columns(columns), diagonal(diagonal) {
    const std::int64_t tile = kernels().tile;
    for (std::int64_t first = 0; first < rows.size; first += kStrip) {
      const std::int64_t height = std::min(kStrip, rows.size - first);
      for (std::int64_t j = diagonal ? first : 0; j < columns.size; j += tile) {
        const Range panel{j, std::min(tile, columns.size - j)};
        const std::int64_t to_diagonal = j + panel.size - first;
        const bool closing = diagonal && to_diagonal <= height;
        const Range strip{first, closing ? to_diagonal : height};
        panels.push_back({strip, panel, closing, sums});
        sums += tiles_of(strip.size) * kernels().tile_sums;
      }
    }
  }
};

std::vector<Range> split(std::int64_t m, std::int64_t size) {
  std::vector<Range> ranges;
  for (std::int64_t first = 0; first < m; first += size) {
    ranges.push_back({first, std::min(size, m - first)});
  }
  return ranges;
}

std::vector<Block> blocks_of(std::int64_t ma, std::int64_t mb, bool symmetric, std::int64_t size) {
  std::vector<Block> blocks;
  for (const Range& rows : split(ma, size)) {
    for (const Range& columns : split(mb, size)) {
      if (symmetric && columns.first < rows.first) continue;
      blocks.emplace_back(rows, columns, symmetric && columns.first == rows.first);
    }
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

 private:
  std::vector<double> memory_;
  double* first_;
};

// The packed chunk of a range of networks.
class Packed {
 public:
  explicit Packed(std::int64_t rows) : data_(rows * kRowStride), factor_(rows), scratch_(kChunk) {}

  void begin(const MapSource& source, std::int64_t probe, Range networks, bool wide,
             std::int64_t d) {
    source_ = &source;
    probe_ = probe;
    networks_ = networks;
    d_ = d;
    std::fill_n(factor_.begin(), networks.size, 1.0);
    for (std::int64_t i = 0; wide && i < networks.size; ++i) factor_[i] = find_factor(i);
  }

  // Packs some of the networks, elements from `first` on.
  void read(Range rows, std::int64_t first) {
    source_->read(chunk(rows, first), &factor_[rows.first], scratch_.data(), row(rows.first));
  }

  // Where a whole chunk of all of them lies, if it is floats in memory.
  const float* in_place(std::int64_t first, std::int64_t* stride) const {
    if (first + kChunk > d_) return nullptr;
    return source_->in_place(chunk({0, networks_.size}, first), stride);
  }

  double* row(std::int64_t i) { return data_.data() + i * kRowStride; }

 private:
  Chunk chunk(Range rows, std::int64_t first) const {
    return {networks_.first + rows.first, rows.size, probe_, first,
            std::min<std::int64_t>(kChunk, d_ - first)};
  }

  // The power of two that brings the largest element of a row near 1.
  double find_factor(std::int64_t i) {
    double largest = 0;
    for (std::int64_t first = 0; first < d_; first += kChunk) {
      source_->read(chunk({i, 1}, first), &factor_[i], scratch_.data(), data_.data());
      largest = std::max(largest, kernels().absmax(data_.data(), kChunk));
    }
    return power_of_two_scale(largest);
  }

  Lines data_;
  std::vector<double> factor_, scratch_;
  const MapSource* source_ = nullptr;
  std::int64_t probe_ = 0, d_ = 0;
  Range networks_;
};

// What a thread works in. A block on the diagonal has its columns among its rows.
struct Workspace {
  Packed rows, columns;
  Lines sums;
  Workspace(std::int64_t row_count, std::int64_t column_count, std::int64_t sum_count)
      : rows(row_count), columns(column_count), sums(sum_count) {}
};

struct Problem {
  const MapSource& a;
  const MapSource& b;
  std::int64_t ma, mb;
  bool symmetric, wide;
  std::int64_t n, d;
  double* out;        // [n, ma, mb]: first the dot products, in the end the cosines
  double* a_squares;  // [n, ma]
  double* b_squares;  // [n, mb]; a_squares where symmetric
};

// Adds one chunk, which begins with element `first`, to the sums of a block.
void add_chunk(const Block& block, std::int64_t first, Workspace& work) {
  const Kernels& k = kernels();
  Packed& right = block.diagonal ? work.rows : work.columns;
  if (!block.diagonal) work.rows.read({0, block.rows.size}, first);
  std::int64_t stride = 0;
  const float* in_place = block.diagonal ? work.rows.in_place(first, &stride) : nullptr;
  for (const auto& [rows, columns, closing, begin] : block.panels) {
    double* sums = work.sums.data() + begin;
    double* packed = right.row(columns.first);
    if (in_place && block.rows.size <= kRowsInPlace) {
      k.panel_in_place(in_place, rows.size, in_place + columns.first * stride, columns.size, stride,
                       closing, sums);
    } else if (in_place && rows.first == 0 && closing) {
      // The last tile comes first, as it packs the panel.
      k.pack_diagonal(in_place + columns.first * stride, columns.size, stride, packed,
                      sums + tiles_of(columns.first) * k.tile_sums);
      k.panel(work.rows.row(0), columns.first, packed, columns.size, false, sums);
    } else {
      if (rows.first == 0) right.read(columns, first);
      k.panel(work.rows.row(rows.first), rows.size, packed, columns.size, closing, sums);
    }
  }
}

// The dot products of a block on one probe, and the squares of rows that no other block adds.
void add_products(const Problem& p, std::int64_t probe, const Block& block, Workspace& work) {
  const Kernels& k = kernels();
  const Range rows = block.rows, columns = block.columns;
  double* a_squares =
      p.symmetric || columns.first > 0 ? nullptr : &p.a_squares[probe * p.ma + rows.first];
  double* b_squares =
      p.symmetric || rows.first > 0 ? nullptr : &p.b_squares[probe * p.mb + columns.first];

  work.rows.begin(p.a, probe, rows, p.wide, p.d);
  if (!block.diagonal) work.columns.begin(p.b, probe, columns, p.wide, p.d);
  std::fill_n(work.sums.data(), block.sums, 0.0);
  for (std::int64_t first = 0; first < p.d; first += kChunk) {
    add_chunk(block, first, work);
    if (a_squares) k.squares(work.rows.row(0), rows.size, a_squares);
    if (b_squares) k.squares(work.columns.row(0), columns.size, b_squares);
  }
  double* out = p.out + (probe * p.ma + rows.first) * p.mb + columns.first;
  for (const Panel& panel : block.panels) {
    k.write_sums(work.sums.data() + panel.sums, panel.rows.size, panel.columns.size,
                 out + panel.rows.first * p.mb + panel.columns.first, p.mb);
  }
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

void pair_cosines(const MapSource& a, std::int64_t ma, const MapSource& b, std::int64_t mb,
                  bool symmetric, bool wide, std::int64_t n, std::int64_t d, double* out,
                  int threads) {
  if (n == 0 || ma == 0 || mb == 0) return;
  std::int64_t size = kLargestBlock;
  std::vector<Block> blocks = blocks_of(ma, mb, symmetric, size);
  const auto many = [&] { return static_cast<std::int64_t>(blocks.size()); };
  while (n * many() < 2 * threads && size / 2 >= kSmallestBlock) {
    blocks = blocks_of(ma, mb, symmetric, size /= 2);
  }
  const std::int64_t count = many(), tasks = n * count;

  // Allocated here: an exception must not leave a parallel region.
  const int workers = static_cast<int>(std::clamp<std::int64_t>(threads, 1, tasks));
  std::vector<std::unique_ptr<Workspace>> work(workers);
  const Block& first = blocks.front();  // as many rows and columns as any
  const std::int64_t columns = first.diagonal && count == 1 ? 0 : first.columns.size;
  std::int64_t sums = 0;
  for (const Block& block : blocks) sums = std::max(sums, block.sums);
  for (auto& w : work) w = std::make_unique<Workspace>(first.rows.size, columns, sums);
  std::vector<double> a_squares(n * ma), b_squares(symmetric ? 0 : n * mb);
  double* squares = a_squares.data();
  const Problem problem{
      a, b, ma, mb, symmetric, wide, n, d, out, squares, symmetric ? squares : b_squares.data()};

#pragma omp parallel for num_threads(workers) schedule(dynamic, 1)
  for (std::int64_t t = 0; t < tasks; ++t) {
#if defined(_OPENMP)
    Workspace& mine = *work[omp_get_thread_num()];
#else
    Workspace& mine = *work[0];
#endif
    add_products(problem, t / count, blocks[t % count], mine);
  }

  if (symmetric) {
    for (std::int64_t i = 0; i < n * ma; ++i) a_squares[i] = out[i * ma + i % ma];
  }
#pragma omp parallel for num_threads(workers) schedule(static)
  for (std::int64_t i = 0; i < n * ma; ++i) finish_row(problem, i / ma, i % ma);
}

}  // namespace attrx::cpu
