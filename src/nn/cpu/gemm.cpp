#include "nn/cpu/gemm.h"

#include <cstring>

namespace pippin::nn::cpu {
namespace {

constexpr int64_t kBlock = kGroup * kSuperGroups;  // columns of a K-quant's block

// Whether the run's kernels take f32 activations.
bool takes_floats(const TileRun& run, Activations activations) {
  return run.format.is_float() || activations == Activations::kF32;
}

}  // namespace

LinearScratch::LinearScratch() : impl_(std::make_unique<Impl>()) {}
LinearScratch::~LinearScratch() = default;

ActRows rows_from(const ActRows& all, const RowBlock& block, int64_t k, int64_t row,
                  int64_t group) {
  const auto from = [&](auto* first, int64_t columns) {
    return first == nullptr ? nullptr
                            : first + block.first * ceil_div(k, columns) +
                                  group * kGroup / columns * block.rows + row;
  };
  return {from(all.groups, kGroup), from(all.group_pairs, 2 * kGroup),
          from(all.sub_blocks, 2 * kGroup), from(all.block_sums, kBlock), block.rows};
}

ActRows room_for(LinearScratch::Impl::Quantised& scratch, ActQuantisation quantisation, int64_t m,
                 int64_t k) {
  ActRows rows{.rows = static_cast<int>(m)};
  switch (quantisation) {
    case ActQuantisation::kPowerOfTwoScales:
      rows.block_sums = room_for(scratch.block_sums, m * ceil_div(k, kBlock));
      [[fallthrough]];
    case ActQuantisation::kGroups:
      rows.groups = room_for(scratch.groups, m * (k / kGroup));
      break;
    case ActQuantisation::kGroupPairs:
      rows.block_sums = room_for(scratch.block_sums, m * ceil_div(k, kBlock));
      rows.group_pairs = room_for(scratch.group_pairs, m * (k / (2 * kGroup)));
      break;
    case ActQuantisation::kSubBlocks16:
      rows.sub_blocks = room_for(scratch.sub_blocks, m * (k / (2 * kGroup)));
      break;
  }
  return rows;
}

BlockProduct::BlockProduct(const PackedLinear::Impl& weight, const TileRun& run,
                           const ActRows& codes, const float* values, const float* bias, int rows)
    : weight_(weight), run_(run), codes_(codes), values_(values), bias_(bias), rows_(rows) {
  const LinearKernels& path = weight.kernels->linear;
  kernel_ = path.tile[static_cast<int>(run.type)][rows];
  kernel_f32_ = path.tile_f32[static_cast<int>(run.type)][rows];
}

void BlockProduct::tile(int64_t t, float* out, int64_t width) const {
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

void BlockProduct::write(int64_t t, const float* tile, float* out, int64_t width) const {
  const int count = outputs(t);
  for (int r = 0; r < rows_; ++r, tile += kTileRows, out += width) {
    if (count == kTileRows) {  // the common case, with a length the compiler knows
      std::memcpy(out, tile, kTileRows * sizeof(float));
    } else {
      std::copy_n(tile, count, out);
    }
  }
}

BlockProduct Product::of(const TileRun& run, const RowBlock& block) const {
  const int64_t k = weight.columns;
  if (floats || run.format.is_float())
    return {weight, run, {}, panels + block.first * k, bias, block.rows};
  const ActRows& all = quantised[static_cast<int>(run.format.activations())];
  return {weight, run, rows_from(all, block, k), nullptr, bias, block.rows};
}

// The run's tiles [first, last).
void Product::run_tiles(const TileRun& run, int64_t first, int64_t last,
                        const RowBlock& block) const {
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

void Product::tiles(int64_t first, int64_t last, BlockSpan row_blocks) const {
  for (; first < last; first += kTilesNc) {
    for (const RowBlock& block : row_blocks) {
      each_run(weight, first, std::min(last, first + kTilesNc),
               [&](const TileRun& run, int64_t begin, int64_t end) {
                 run_tiles(run, begin, end, block);
               });
    }
  }
}

// What a gate takes in stays in the cache.
void Product::pairs(Gate gate, int64_t first, int64_t last, const RowBlock& block,
                    OutputRows out) const {
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

void Product::gated(Gate gate, int64_t first, int64_t last, BlockSpan row_blocks,
                    OutputRows out) const {
  constexpr int64_t kAtOnce = kTilesNc / 2;
  for (int64_t t = first; t < last; t += kAtOnce) {
    for (const RowBlock& block : row_blocks) {
      float* at = out.at + (block.first - row_blocks.front().first) * out.width;
      pairs(gate, t, std::min(last, t + kAtOnce), block, {at + (t - first) * kTileRows, out.width});
    }
  }
}

void Product::gated(Gate gate, int64_t first, int64_t last, BlockSpan row_blocks,
                    LinearKernels::Quantize quantize, const ActRows& out) const {
  constexpr int64_t kColumns = kFusedPairs * kTileRows;
  static thread_local std::vector<float> block_floats;
  block_floats.resize(static_cast<size_t>(kRowsMc * kColumns));
  const int64_t width = weight.rows / 2;
  for (; first < last; first += kFusedPairs) {
    gated(gate, first, std::min(last, first + kFusedPairs), row_blocks,
          {block_floats.data(), kColumns});
    const int64_t group = first * kTileRows / kGroup;
    const int64_t count = std::min(width / kGroup - group, kColumns / kGroup);
    const float* row = block_floats.data();
    for (const RowBlock& block : row_blocks) {
      for (int r = 0; r < block.rows; ++r, row += kColumns)
        quantize(row, count, rows_from(out, block, width, r, group));
    }
  }
}

Quantisations quantisations_of(const PackedLinear::Impl& weight, Activations activations) {
  Quantisations quantisations;
  for (const TileRun& run : weight.runs)
    (takes_floats(run, activations)
         ? quantisations.floats
         : quantisations.quantised[static_cast<int>(run.format.activations())]) = true;
  return quantisations;
}

bool takes_rows(const PackedLinear::Impl& weight, Activations activations, int rows) {
  const LinearKernels& path = weight.kernels->linear;
  return std::all_of(weight.runs.begin(), weight.runs.end(), [&](const TileRun& run) {
    const auto type = static_cast<int>(run.type);
    return takes_floats(run, activations) ? path.tile_f32[type][rows] != nullptr
                                          : path.tile[type][rows] != nullptr;
  });
}

int64_t tiles_per_task(const PackedLinear::Impl& weight, int64_t m, const ThreadPool& pool) {
  const auto tile_bytes = static_cast<int64_t>(weight.runs.front().tile_step);
  const int64_t work = tile_bytes * std::max<int64_t>(1, std::min<int64_t>(m, kRowsMc) / 4);
  return std::max(ceil_div(static_cast<int64_t>(kTaskBytesMin), work),
                  ceil_div(weight.n_tiles(), int64_t{32} * pool.threads()));
}

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

BlockSpan take_chunk(BlockSpan& blocks) {
  size_t count = 1;
  int64_t rows = blocks.front().rows;
  while (count < blocks.size() && rows + blocks[count].rows <= kRowsMc)
    rows += blocks[count++].rows;
  const BlockSpan chunk = blocks.first(count);
  blocks = blocks.subspan(count);
  return chunk;
}

}  // namespace pippin::nn::cpu
