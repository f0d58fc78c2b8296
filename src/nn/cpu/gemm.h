// The parts of a GEMM: blocks of activation rows (mc) by blocks of tiles (nc), as linear() and the
// experts of a mixture share them. K is not cut, so that a sum's order is fixed. Internal to
// nn/cpu.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "nn/cpu/gates.h"
#include "nn/cpu/packed_linear.h"

namespace pippin::nn::cpu {

constexpr int64_t kRowsMc = 128;  // activation rows that share one pass over the weights
static_assert(kRowsMax <= kRowsMc, "a chunk holds a block of rows");
constexpr int64_t kTilesNc =
    8;  // tiles that stay in the L2 cache while all blocks of rows use them
// Fused blocks of 256 columns, 16 pairs of tiles, quantise what lies between two products. They
// need so many rows, and so many blocks for each thread that uneven cores end together.
constexpr int64_t kFusedPairs = 16;
constexpr int64_t kFusedRowsMin = 64;
constexpr int64_t kFusedBlocksPerThread = 8;
constexpr int64_t kRowsFew = 16;         // up to so many rows, a product waits for its weights
constexpr size_t kTaskBytesMin = 24576;  // weight bytes of a task of few rows: about a microsecond
// What an idle thread prefetches of the next matrix: well inside its L2 cache, beside KV.
constexpr size_t kPrefetchBytes = 262144;

/// A run of activation rows that one kernel call takes.
struct RowBlock {
  int64_t first;
  int rows;
};
using BlockSpan = std::span<const RowBlock>;

inline int64_t rows_of(BlockSpan blocks) {
  return blocks.back().first + blocks.back().rows - blocks.front().first;
}

struct LinearScratch::Impl {
  struct Quantised {
    std::vector<ActGroup> groups;
    std::vector<ActGroupPair> group_pairs;
    std::vector<ActSubBlocks16> sub_blocks;
    std::vector<BlockSums> block_sums;
  };
  Quantised quantised[kActQuantisations];
  Quantised tokens[kActQuantisations];  // each token alone, before experts share it out
  Quantised gated;
  std::vector<float> between;
  std::vector<float> panels;
  std::vector<float> outputs;  // of experts
};

/// Returns room for `count` values; what was there before may be gone.
template <typename T>
T* room_for(std::vector<T>& scratch, int64_t count) {
  if (scratch.size() < static_cast<size_t>(count)) scratch.resize(static_cast<size_t>(count));
  return scratch.data();
}
/// Returns room for m rows of k columns.
ActRows room_for(LinearScratch::Impl::Quantised& scratch, ActQuantisation quantisation, int64_t m,
                 int64_t k);

/// Of quantised rows of k columns, which lie block by block, those of a block, from one of its rows
/// and groups on.
ActRows rows_from(const ActRows& all, const RowBlock& block, int64_t k, int64_t row = 0,
                  int64_t group = 0);

/// One block of activation rows times tiles of one run.
class BlockProduct {
 public:
  /// The rows are `codes`, or, of f32 activations, `values`.
  BlockProduct(const PackedLinear::Impl& weight, const TileRun& run, const ActRows& codes,
               const float* values, const float* bias, int rows);
  /// out [rows, 16] = the products with the run's tile `t`, and the bias. Rows lie `width` apart.
  void tile(int64_t t, float* out, int64_t width) const;
  /// Returns the outputs of a tile: 16, or what the last one has.
  int outputs(int64_t t) const {
    return static_cast<int>(std::min<int64_t>(kTileRows, run_.rows - t * kTileRows));
  }
  /// Copies a tile [rows, 16] to the rows of `out` that lie `width` apart.
  void write(int64_t t, const float* tile, float* out, int64_t width) const;

 private:
  const PackedLinear::Impl& weight_;
  const TileRun& run_;
  ActRows codes_;
  const float* values_;
  const float* bias_;
  int rows_;
  TileKernel kernel_;
  TileKernelF32 kernel_f32_;
};

/// Where rows are written, `width` apart.
struct OutputRows {
  float* at;
  int64_t width;
};

/// One weight by blocks of rows of quantised activations.
struct Product {
  const PackedLinear::Impl& weight;
  const float* bias;
  float* y;                              // [rows, N]; a block's rows begin at its `first`
  ActRows quantised[kActQuantisations];  // all rows, as the runs' kernels take them
  const float* panels;  // by block of rows [K, rows]; null: where no run needs them
  bool floats;          // whether all runs take f32 activations
  BlockSpan blocks;

  BlockProduct of(const TileRun& run, const RowBlock& block) const;
  /// Tiles [first, last) of the weight, of a plain one, by `row_blocks`.
  void tiles(int64_t first, int64_t last, BlockSpan row_blocks) const;
  /// Pairs of tiles [first, last) of an interleaved weight. `out`: where the first block's first
  /// row has the first pair's outputs.
  void gated(Gate gate, int64_t first, int64_t last, BlockSpan row_blocks, OutputRows out) const;
  /// The same, quantised: whole fused blocks, but for the last.
  void gated(Gate gate, int64_t first, int64_t last, BlockSpan row_blocks,
             LinearKernels::Quantize quantize, const ActRows& out) const;

 private:
  void run_tiles(const TileRun& run, int64_t first, int64_t last, const RowBlock& block) const;
  void pairs(Gate gate, int64_t first, int64_t last, const RowBlock& block, OutputRows out) const;
};

/// The quantisations of activations that the runs of a product take.
struct Quantisations {
  bool quantised[kActQuantisations] = {};
  bool floats = false;

  int count() const { return static_cast<int>(std::ranges::count(quantised, true)) + floats; }
};
Quantisations quantisations_of(const PackedLinear::Impl& weight, Activations activations);

/// Says whether all runs have kernels for that many rows.
bool takes_rows(const PackedLinear::Impl& weight, Activations activations, int rows);

/// Returns the tiles that make a task for one thread, of a product of m rows.
int64_t tiles_per_task(const PackedLinear::Impl& weight, int64_t m, const ThreadPool& pool);
/// Lets each thread prefetch where it will begin in the next product of m rows, a few.
void prefetch_next(const PackedLinear::Impl& weight, int64_t m, ThreadPool& pool);

/// Appends rows [first, first + m) in blocks of as many as `takes` says that kernels take.
void cut_rows(int64_t first, int64_t m, const auto& takes, std::vector<RowBlock>& blocks) {
  int rows = static_cast<int>(std::min<int64_t>(m, kRowsMax));
  for (const int64_t end = first + m; first < end; first += rows) {
    while (rows > end - first || !takes(rows)) --rows;
    blocks.push_back({first, rows});
  }
}

/// Cuts off the blocks whose rows share one pass over the weights: the first that are at most
/// kRowsMc.
BlockSpan take_chunk(BlockSpan& blocks);

/// Lays rows of one block column by column. Left as they lie, the rows of one column would share
/// one set of the first-level cache whenever K is a power of two. `row(r)`: where a row begins.
void interleave_rows(int rows, int64_t k, const auto& row, float* out) {
  constexpr int64_t kColumns = 16;  // at a time, so that the lines of all rows stay in cache
  for (int64_t column = 0; column < k; column += kColumns) {
    const int64_t end = std::min(k, column + kColumns);
    for (int r = 0; r < rows; ++r) {
      const float* from = row(r);
      for (int64_t c = column; c < end; ++c) out[c * rows + r] = from[c];
    }
  }
}

/// Calls use(run, begin, end) for tiles [first, last) of the whole matrix, as tiles of each run.
void each_run(const PackedLinear::Impl& weight, int64_t first, int64_t last, const auto& use) {
  for (const TileRun& run : weight.runs) {
    const int64_t begin = std::max<int64_t>(0, first - run.first_tile);
    const int64_t end = std::min(last - run.first_tile, run.tiles);
    if (begin < end) use(run, begin, end);
  }
}

}  // namespace pippin::nn::cpu
