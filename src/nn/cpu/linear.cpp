// The GEMMs of linear layers, cut into tasks for the pool.
#include "nn/cpu/linear.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "nn/cpu/gemm.h"

namespace pippin::nn::cpu {
namespace {

void quantize_rows(LinearKernels::Quantize quantize, const float* x, int64_t k, BlockSpan blocks,
                   const ActRows& out, ThreadPool& pool) {
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

void interleave_blocks(const float* x, int64_t k, BlockSpan blocks, float* out, ThreadPool& pool) {
  pool.run(static_cast<int>(blocks.size()), [&](int task, int) {
    const RowBlock& block = blocks[static_cast<size_t>(task)];
    const auto row = [&](int r) { return x + (block.first + r) * k; };
    interleave_rows(block.rows, k, row, out + block.first * k);
  });
}

std::vector<RowBlock> cut_rows(const PackedLinear::Impl& w, Activations activations, int64_t m) {
  std::vector<RowBlock> blocks;
  cut_rows(
      0, m, [&](int rows) { return takes_rows(w, activations, rows); }, blocks);
  return blocks;
}

// Quantises the rows of one product for its runs' kernels.
Product prepare(const PackedLinear::Impl& w, const float* x, const float* bias, float* y,
                BlockSpan blocks, LinearScratch& scratch, ThreadPool& pool,
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

// Calls use(first, last, blocks) for each task: tiles [first, last), a multiple of `step`, by one
// chunk of row blocks.
void each_task(const Product& product, int64_t step, ThreadPool& pool, const auto& use) {
  const PackedLinear::Impl& w = product.weight;
  std::vector<BlockSpan> chunks;
  for (BlockSpan left = product.blocks; !left.empty();) chunks.push_back(take_chunk(left));
  const int64_t per_task = ceil_div(tiles_per_task(w, rows_of(product.blocks), pool), step) * step;
  const int64_t tasks = ceil_div(w.n_tiles(), per_task);
  pool.run(static_cast<int>(static_cast<int64_t>(chunks.size()) * tasks), [&](int index, int) {
    const int64_t first = index % tasks * per_task;
    use(first, std::min(w.n_tiles(), first + per_task), chunks[static_cast<size_t>(index / tasks)]);
  });
}

// linear(), once its activations are ready.
void gemm(const Product& product, ThreadPool& pool) {
  each_task(product, 1, pool, [&](int64_t first, int64_t last, BlockSpan row_blocks) {
    product.tiles(first, last, row_blocks);
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
  each_task(product, 1, pool, [&](int64_t first, int64_t last, BlockSpan row_blocks) {
    float* out = y + row_blocks.front().first * width + first * kTileRows;
    product.gated(gate, first, last, row_blocks, {out, width});
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
  std::vector<RowBlock> blocks;
  cut_rows(
      0, m,
      [&](int rows) {
        return takes_rows(gate_up.impl(), activations, rows) && takes_rows(w, activations, rows);
      },
      blocks);
  const Product gated =
      prepare(gate_up.impl(), x, gate_up_bias, nullptr, blocks, scratch, pool, activations);
  Product product{w, down_bias, y, {}, nullptr, false, blocks};
  const ActQuantisation quantisation = w.runs.front().format.activations();
  ActRows& between = product.quantised[static_cast<int>(quantisation)];
  between = room_for(scratch.impl().gated, quantisation, m, w.columns);
  each_task(gated, kFusedPairs, pool, [&](int64_t first, int64_t last, BlockSpan row_blocks) {
    gated.gated(gate, first, last, row_blocks, w.kernels->linear.quantizer(quantisation), between);
  });
  gemm(product, pool);
}

}  // namespace pippin::nn::cpu
