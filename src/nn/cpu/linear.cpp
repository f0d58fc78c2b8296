// The GEMMs of linear layers: blocks of rows (mc) by blocks of tiles (nc), cut into tasks for the
// pool. K is not cut, so that a sum's order is fixed.
#include "nn/cpu/linear.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "nn/cpu/gates.h"
#include "nn/cpu/packed_linear.h"

namespace pippin::nn::cpu {
namespace {

constexpr int64_t kBlock = kGroup * kSuperGroups;  // columns of a K-quant's block
constexpr int64_t kRowsMc = 128;  // activation rows that share one pass over the weights
static_assert(kRowsMax <= kRowsMc, "a chunk holds a block of rows");
// What an idle thread prefetches of the next matrix: well inside its L2 cache, beside KV.
constexpr size_t kPrefetchBytes = 262144;
constexpr int64_t kTilesNc =
    8;  // tiles that stay in the L2 cache while all blocks of rows use them
// feed_forward() quantises its middle in fused blocks of 256 columns: 16 pairs of tiles. It does so
// from that many rows on, and where each thread gets enough blocks that uneven cores end together.
constexpr int64_t kFusedPairs = 16;
constexpr int64_t kFusedRowsMin = 64;
constexpr int64_t kFusedBlocksPerThread = 8;
constexpr int64_t kRowsFew = 16;         // up to so many rows, a product waits for its weights
constexpr size_t kTaskBytesMin = 24576;  // weight bytes of a task of few rows: about a microsecond

// A run of activation rows that one kernel call takes.
struct RowBlock {
  int64_t first;
  int rows;
};

int64_t rows_of(std::span<const RowBlock> blocks) {
  return blocks.back().first + blocks.back().rows;
}

}  // namespace

struct LinearScratch::Impl {
  struct Quantised {
    std::vector<ActGroup> groups;
    std::vector<ActGroupPair> group_pairs;
    std::vector<ActSubBlocks16> sub_blocks;
    std::vector<BlockSums> block_sums;
  };
  Quantised quantised[kActQuantisations];
  Quantised gated;
  std::vector<float> between;
  std::vector<float> panels;
};

LinearScratch::LinearScratch() : impl_(std::make_unique<Impl>()) {}
LinearScratch::~LinearScratch() = default;

namespace {

// Of the quantised rows of a product, which lie block by block, those of a block with k columns,
// from one of its rows and groups on.
ActRows rows_from(const ActRows& all, const RowBlock& block, int64_t k, int64_t row = 0,
                  int64_t group = 0) {
  const auto from = [&](auto* first, int64_t columns) {
    return first == nullptr
               ? nullptr
               : first + block.first * (k / columns) + group * kGroup / columns * block.rows + row;
  };
  return {from(all.groups, kGroup), from(all.group_pairs, 2 * kGroup),
          from(all.sub_blocks, 2 * kGroup), from(all.block_sums, kBlock), block.rows};
}

// One block of activation rows times tiles of one run.
class BlockProduct {
 public:
  // The rows are `codes`, or, of f32 activations, `values`.
  BlockProduct(const PackedLinear::Impl& weight, const TileRun& run, const ActRows& codes,
               const float* values, const float* bias, int rows)
      : weight_(weight), run_(run), codes_(codes), values_(values), bias_(bias), rows_(rows) {
    const LinearKernels& path = weight.kernels->linear;
    kernel_ = path.tile[static_cast<int>(run.type)][rows];
    kernel_f32_ = path.tile_f32[static_cast<int>(run.type)][rows];
  }

  // out [rows, 16] = the products with the run's tile `t`, and the bias. Rows lie `width` apart.
  void tile(int64_t t, float* out, int64_t width) const {
    const TileView view = weight_.tile(run_, t);
    if (values_ == nullptr) {
      kernel_(view, weight_.columns / kGroup, codes_, out, width);
    } else {
      kernel_f32_(view, weight_.columns, values_, rows_, out, width);
    }
    if (bias_ == nullptr) return;
    const float* bias = bias_ + run_.first_row + t * kTileRows;
    const int count = outputs(t);
    for (int r = 0; r < rows_; ++r, out += width) {
      for (int i = 0; i < count; ++i) out[i] += bias[i];
    }
  }

  // Outputs of a tile: 16, or what the last one has.
  int outputs(int64_t t) const {
    return static_cast<int>(std::min<int64_t>(kTileRows, run_.rows - t * kTileRows));
  }

  // Copies a tile [rows, 16] to the rows of `out` that lie `width` apart.
  void write(int64_t t, const float* tile, float* out, int64_t width) const {
    const int count = outputs(t);
    for (int r = 0; r < rows_; ++r, tile += kTileRows, out += width) {
      if (count == kTileRows) {  // the common case, with a length the compiler knows
        std::memcpy(out, tile, kTileRows * sizeof(float));
      } else {
        std::copy_n(tile, count, out);
      }
    }
  }

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

// Where rows are written, `width` apart.
struct Rows {
  float* at;
  int64_t width;
};

// One call of linear() or gated_linear(): the quantised activations, and the loops over tiles.
struct Product {
  const PackedLinear::Impl& weight;
  const float* bias;
  float* y;
  ActRows quantised[kActQuantisations];  // all rows, as the runs' kernels take them
  const float* panels;  // by block of rows [K, rows]; null: where no run needs them
  bool floats;          // whether all runs take f32 activations
  const std::vector<RowBlock>& blocks;

  BlockProduct of(const TileRun& run, const RowBlock& block) const {
    const int64_t k = weight.columns;
    if (floats || run.format.is_float())
      return {weight, run, {}, panels + block.first * k, bias, block.rows};
    const ActRows& all = quantised[static_cast<int>(run.format.activations())];
    return {weight, run, rows_from(all, block, k), nullptr, bias, block.rows};
  }
  void tiles(const TileRun& run, int64_t first, int64_t last, const RowBlock& block) const;
  void pairs(Gate gate, int64_t first, int64_t last, const RowBlock& block, Rows out) const;
};

// The run's tiles [first, last).
void Product::tiles(const TileRun& run, int64_t first, int64_t last, const RowBlock& block) const {
  const BlockProduct product = of(run, block);
  float* out = y + block.first * weight.rows + run.first_row;
  for (int64_t t = first; t < last; ++t) {
    if (product.outputs(t) == kTileRows) {
      product.tile(t, out + t * kTileRows, weight.rows);
    } else {
      alignas(64) float tile[kRowsMax * kTileRows];
      product.tile(t, tile, kTileRows);
      product.write(t, tile, out + t * kTileRows, weight.rows);
    }
  }
}

// Pairs [first, last): what a gate takes in stays in the cache.
void Product::pairs(Gate gate, int64_t first, int64_t last, const RowBlock& block, Rows out) const {
  const BlockProduct gates = of(weight.runs[0], block), ups = of(weight.runs[1], block);
  const GateFunction function = gate_function(weight.kernels->norm_rope, gate);
  alignas(64) float gated[kRowsMax * kTileRows];
  alignas(64) float up[kRowsMax * kTileRows];
  for (int64_t t = first; t < last; ++t) {
    gates.tile(t, gated, kTileRows);
    ups.tile(t, up, kTileRows);
    function(gated, up, int64_t{block.rows} * kTileRows, gated);
    gates.write(t, gated, out.at + (t - first) * kTileRows, out.width);
  }
}

// Tiles [first, last) of the whole matrix, which may span runs, as tiles of each run.
void each_run(const PackedLinear::Impl& weight, int64_t first, int64_t last, const auto& use) {
  for (const TileRun& run : weight.runs) {
    const int64_t begin = std::max<int64_t>(0, first - run.first_tile);
    const int64_t end = std::min(last - run.first_tile, run.tiles);
    if (begin < end) use(run, begin, end);
  }
}

void quantize_rows(LinearKernels::Quantize quantize, const float* x, int64_t k,
                   const std::vector<RowBlock>& blocks, const ActRows& out, ThreadPool& pool) {
  const auto one = [&](int64_t row) {
    const auto after = std::upper_bound(blocks.begin(), blocks.end(), row,
                                        [](int64_t r, const RowBlock& b) { return r < b.first; });
    const RowBlock& block = *std::prev(after);
    quantize(x + row * k, k / kGroup, rows_from(out, block, k, row - block.first));
  };
  const int64_t m = rows_of(blocks);
  if (m * k < 16384) {  // a few microseconds: not worth a dispatch
    for (int64_t row = 0; row < m; ++row) one(row);
  } else {
    pool.run(static_cast<int>(m), [&](int row, int) { one(row); });
  }
}

// Lays the activations of each block column by column. Left as they lie, the rows of one column
// would share one set of the first-level cache whenever K is a power of two.
void interleave_blocks(const float* x, int64_t k, const std::vector<RowBlock>& blocks, float* out,
                       ThreadPool& pool) {
  pool.run(static_cast<int>(blocks.size()), [&](int task, int) {
    const RowBlock& block = blocks[static_cast<size_t>(task)];
    const float* from = x + block.first * k;
    float* to = out + block.first * k;
    constexpr int64_t kColumns = 16;  // at a time, so that the lines of all rows stay in cache
    for (int64_t column = 0; column < k; column += kColumns) {
      const int64_t end = std::min(k, column + kColumns);
      for (int64_t r = 0; r < block.rows; ++r) {
        for (int64_t c = column; c < end; ++c) to[c * block.rows + r] = from[r * k + c];
      }
    }
  });
}

template <typename T>
T* room_for(std::vector<T>& scratch, int64_t count) {
  if (scratch.size() < static_cast<size_t>(count)) scratch.resize(static_cast<size_t>(count));
  return scratch.data();
}

// Room for m rows of k columns.
ActRows room_for(LinearScratch::Impl::Quantised& scratch, ActQuantisation quantisation, int64_t m,
                 int64_t k) {
  ActRows rows{.rows = static_cast<int>(m)};
  switch (quantisation) {
    case ActQuantisation::kPowerOfTwoScales:
      rows.block_sums = room_for(scratch.block_sums, m * (k / kBlock));
      [[fallthrough]];
    case ActQuantisation::kGroups:
      rows.groups = room_for(scratch.groups, m * (k / kGroup));
      break;
    case ActQuantisation::kGroupPairs:
      rows.block_sums = room_for(scratch.block_sums, m * (k / kBlock));
      rows.group_pairs = room_for(scratch.group_pairs, m * (k / (2 * kGroup)));
      break;
    case ActQuantisation::kSubBlocks16:
      rows.sub_blocks = room_for(scratch.sub_blocks, m * (k / (2 * kGroup)));
      break;
  }
  return rows;
}

int64_t tiles_per_task(const PackedLinear::Impl& weight, int64_t m, const ThreadPool& pool) {
  const auto tile_bytes = static_cast<int64_t>(weight.runs.front().tile_step);
  const int64_t work = tile_bytes * std::max<int64_t>(1, std::min<int64_t>(m, kRowsMc) / 4);
  return std::max(ceil_div(static_cast<int64_t>(kTaskBytesMin), work),
                  ceil_div(weight.n_tiles(), int64_t{32} * pool.threads()));
}

// Lets each thread prefetch where it will begin in the next product of few rows.
void prefetch_next(const PackedLinear::Impl& weight, int64_t m, ThreadPool& pool) {
  const int64_t per_task = tiles_per_task(weight, m, pool);
  const int64_t tasks = ceil_div(weight.n_tiles(), per_task);
  for (int thread = 0; thread < pool.threads(); ++thread) {
    const int64_t first = tasks * thread / pool.threads() * per_task;
    const int64_t last =
        std::min(weight.n_tiles(), tasks * (thread + 1) / pool.threads() * per_task);
    if (first >= last) continue;
    each_run(weight, first, first + 1, [&](const TileRun& run, int64_t tile, int64_t) {
      const size_t bytes = static_cast<size_t>(last - first) * run.tile_step;
      pool.prefetch(thread, weight.tile(run, tile).scales, std::min(kPrefetchBytes, bytes));
    });
  }
}

// The quantisations of activations that the runs of a product take.
struct Quantisations {
  bool quantised[kActQuantisations] = {};
  bool floats = false;

  int count() const { return static_cast<int>(std::ranges::count(quantised, true)) + floats; }
};

// Whether the run's kernels take f32 activations.
bool takes_floats(const TileRun& run, Activations activations) {
  return run.format.is_float() || activations == Activations::kF32;
}

Quantisations quantisations_of(const PackedLinear::Impl& w, Activations activations) {
  Quantisations quantisations;
  for (const TileRun& run : w.runs)
    (takes_floats(run, activations)
         ? quantisations.floats
         : quantisations.quantised[static_cast<int>(run.format.activations())]) = true;
  return quantisations;
}

// Whether all runs have kernels for that many rows.
bool takes_rows(const PackedLinear::Impl& w, Activations activations, int rows) {
  const LinearKernels& path = w.kernels->linear;
  return std::all_of(w.runs.begin(), w.runs.end(), [&](const TileRun& run) {
    const auto type = static_cast<int>(run.type);
    return takes_floats(run, activations) ? path.tile_f32[type][rows] != nullptr
                                          : path.tile[type][rows] != nullptr;
  });
}

// Cuts m rows into blocks of as many as `takes` says that kernels take.
std::vector<RowBlock> cut_rows(int64_t m, const auto& takes) {
  std::vector<RowBlock> blocks;
  int rows = static_cast<int>(std::min<int64_t>(m, kRowsMax));
  for (int64_t first = 0; first < m; first += rows) {
    while (rows > m - first || !takes(rows)) --rows;
    blocks.push_back({first, rows});
  }
  return blocks;
}

std::vector<RowBlock> cut_rows(const PackedLinear::Impl& w, Activations activations, int64_t m) {
  return cut_rows(m, [&](int rows) { return takes_rows(w, activations, rows); });
}

// Quantises the rows of one product for its runs' kernels.
Product prepare(const PackedLinear::Impl& w, const float* x, const float* bias, float* y,
                const std::vector<RowBlock>& blocks, LinearScratch& scratch, ThreadPool& pool,
                Activations activations) {
  const LinearKernels& path = w.kernels->linear;
  const int64_t m = rows_of(blocks);
  const Quantisations quantisations = quantisations_of(w, activations);
  Product product{w, bias, y, {}, nullptr, activations == Activations::kF32, blocks};
  for (int quantisation = 0; quantisation < kActQuantisations; ++quantisation) {
    if (!quantisations.quantised[quantisation]) continue;
    product.quantised[quantisation] =
        room_for(scratch.impl().quantised[quantisation], static_cast<ActQuantisation>(quantisation),
                 m, w.columns);
    quantize_rows(path.quantizer(static_cast<ActQuantisation>(quantisation)), x, w.columns, blocks,
                  product.quantised[quantisation], pool);
  }
  if (quantisations.floats) {
    product.panels = x;  // one row is a panel as it lies
    if (m > 1) {
      float* panels = room_for(scratch.impl().panels, m * w.columns);
      interleave_blocks(x, w.columns, blocks, panels, pool);
      product.panels = panels;
    }
  }
  return product;
}

using BlockSpan = std::span<const RowBlock>;

// Blocks whose rows share one pass over the weights.
std::vector<BlockSpan> chunks_of(BlockSpan blocks) {
  std::vector<BlockSpan> chunks;
  while (!blocks.empty()) {
    size_t count = 1;
    int64_t rows = blocks.front().rows;
    while (count < blocks.size() && rows + blocks[count].rows <= kRowsMc)
      rows += blocks[count++].rows;
    chunks.push_back(blocks.first(count));
    blocks = blocks.subspan(count);
  }
  return chunks;
}

// Calls use(first, last, blocks) for each task: tiles [first, last), a multiple of `step`, by one
// chunk of row blocks.
void each_task(const Product& product, int64_t step, ThreadPool& pool, const auto& use) {
  const PackedLinear::Impl& w = product.weight;
  const std::vector<BlockSpan> chunks = chunks_of(product.blocks);
  const int64_t per_task = ceil_div(tiles_per_task(w, rows_of(product.blocks), pool), step) * step;
  const int64_t tasks = ceil_div(w.n_tiles(), per_task);
  pool.run(static_cast<int>(static_cast<int64_t>(chunks.size()) * tasks), [&](int index, int) {
    const int64_t first = index % tasks * per_task;
    use(first, std::min(w.n_tiles(), first + per_task), chunks[static_cast<size_t>(index / tasks)]);
  });
}

// linear(), once its activations are ready.
void gemm(const Product& product, ThreadPool& pool) {
  each_task(product, 1, pool, [&](int64_t first, int64_t end, BlockSpan blocks) {
    for (; first < end; first += kTilesNc) {
      for (const RowBlock& block : blocks) {
        each_run(product.weight, first, std::min(end, first + kTilesNc),
                 [&](const TileRun& run, int64_t begin, int64_t stop) {
                   product.tiles(run, begin, stop, block);
                 });
      }
    }
  });
}

// The pairs [first, end) of all blocks. `out`: where the first block's first row has the first
// pair's outputs.
void gated_gemm(const Product& product, Gate gate, int64_t first, int64_t end, BlockSpan blocks,
                Rows out) {
  constexpr int64_t kAtOnce = kTilesNc / 2;
  for (int64_t t = first; t < end; t += kAtOnce) {
    for (const RowBlock& block : blocks) {
      float* at = out.at + (block.first - blocks.front().first) * out.width;
      product.pairs(gate, t, std::min(end, t + kAtOnce), block,
                    {at + (t - first) * kTileRows, out.width});
    }
  }
}

// The gate's outputs as activations of the next product: fused blocks of 256 columns are quantised
// while they are in the cache.
void quantised_gemm(const Product& product, Gate gate, LinearKernels::Quantize quantize,
                    const ActRows& out, ThreadPool& pool) {
  constexpr int64_t kColumns = kFusedPairs * kTileRows;
  const int64_t width = product.weight.rows / 2;
  each_task(product, kFusedPairs, pool, [&](int64_t first, int64_t end, BlockSpan blocks) {
    static thread_local std::vector<float> block_floats;
    block_floats.resize(static_cast<size_t>(kRowsMc * kColumns));
    for (; first < end; first += kFusedPairs) {
      gated_gemm(product, gate, first, std::min(end, first + kFusedPairs), blocks,
                 {block_floats.data(), kColumns});
      const int64_t group = first * kTileRows / kGroup;
      const int64_t count = std::min(width / kGroup - group, kColumns / kGroup);
      const float* row = block_floats.data();
      for (const RowBlock& block : blocks) {
        for (int r = 0; r < block.rows; ++r, row += kColumns)
          quantize(row, count, rows_from(out, block, width, r, group));
      }
    }
  });
}

}  // namespace

void linear(const PackedLinear& weight, const float* x, int64_t m, const float* bias, float* y,
            LinearScratch& scratch, ThreadPool& pool, Activations activations,
            const PackedLinear* next) {
  const PackedLinear::Impl& w = weight.impl();
  CHECK(!w.interleaved, "weights for gated_linear()");
  if (m <= 0) return;
  const std::vector<RowBlock> blocks = cut_rows(w, activations, m);
  const Product product = prepare(w, x, bias, y, blocks, scratch, pool, activations);
  if (next != nullptr && m <= kRowsFew) prefetch_next(next->impl(), m, pool);
  gemm(product, pool);
}

void gated_linear(const PackedLinear& weight, const float* x, int64_t m, const float* bias,
                  Gate gate, float* y, LinearScratch& scratch, ThreadPool& pool,
                  Activations activations, const PackedLinear* next) {
  const PackedLinear::Impl& w = weight.impl();
  CHECK(w.interleaved, "weights for linear()");
  if (m <= 0) return;
  const std::vector<RowBlock> blocks = cut_rows(w, activations, m);
  const Product product = prepare(w, x, bias, y, blocks, scratch, pool, activations);
  if (next != nullptr && m <= kRowsFew) prefetch_next(next->impl(), m, pool);
  const int64_t width = w.rows / 2;
  each_task(product, 1, pool, [&](int64_t first, int64_t end, BlockSpan row_blocks) {
    float* out = y + row_blocks.front().first * width + first * kTileRows;
    gated_gemm(product, gate, first, end, row_blocks, {out, width});
  });
}

void feed_forward(const PackedLinear& gate_up, const PackedLinear& down, const float* x, int64_t m,
                  const float* gate_up_bias, const float* down_bias, Gate gate, float* y,
                  LinearScratch& scratch, ThreadPool& pool, Activations activations,
                  const PackedLinear* next) {
  const PackedLinear::Impl& w = down.impl();
  CHECK(gate_up.rows() == 2 * w.columns, "weights of one layer");
  const Quantisations quantisations = quantisations_of(w, activations);
  const int64_t fused_blocks =
      ceil_div(w.columns, kFusedPairs * kTileRows) * ceil_div(std::max<int64_t>(m, 1), kRowsMc);
  if (quantisations.floats || quantisations.count() != 1 || m < kFusedRowsMin ||
      fused_blocks < kFusedBlocksPerThread * pool.threads()) {
    float* between = room_for(scratch.impl().between, m * w.columns);
    gated_linear(gate_up, x, m, gate_up_bias, gate, between, scratch, pool, activations, &down);
    linear(down, between, m, down_bias, y, scratch, pool, activations, next);
    return;
  }
  CHECK(gate_up.impl().interleaved && !w.interleaved, "interleaved weights, then stacked ones");
  const std::vector<RowBlock> blocks = cut_rows(m, [&](int rows) {
    return takes_rows(gate_up.impl(), activations, rows) && takes_rows(w, activations, rows);
  });
  const Product gated =
      prepare(gate_up.impl(), x, gate_up_bias, nullptr, blocks, scratch, pool, activations);
  Product product{w, down_bias, y, {}, nullptr, false, blocks};
  const ActQuantisation quantisation = w.runs.front().format.activations();
  ActRows& between = product.quantised[static_cast<int>(quantisation)];
  between = room_for(scratch.impl().gated, quantisation, m, w.columns);
  quantised_gemm(gated, gate, w.kernels->linear.quantizer(quantisation), between, pool);
  gemm(product, pool);
}

}  // namespace pippin::nn::cpu
