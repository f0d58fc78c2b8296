// Cuts recurrent layers into tasks: slices of the columns of each row. What a slice gives does not
// depend on the cut.
#include "nn/cpu/recurrent.h"

#include <algorithm>

namespace pippin::nn::cpu {
namespace {

constexpr int64_t kTaskFlops = 16384;  // a few microseconds: less is not worth a dispatch

// Calls one(i) for all i: here when they are little work, else over the pool.
template <typename One>
void each(int64_t count, int64_t flops, ThreadPool& pool, const One& one) {
  if (count < 2 || count * flops < 2 * kTaskFlops) {
    for (int64_t i = 0; i < count; ++i) one(i);
    return;
  }
  pool.run(static_cast<int>(count), [&](int i, int) { one(int64_t{i}); });
}

// The same over tokens, which are little work each: several at a time.
template <typename One>
void each_token(int64_t tokens, int64_t flops, ThreadPool& pool, const One& one) {
  const int64_t some = std::max<int64_t>(1, kTaskFlops / std::max<int64_t>(1, flops));
  each((tokens + some - 1) / some, some * flops, pool, [&](int64_t piece) {
    for (int64_t t = piece * some; t < std::min(tokens, (piece + 1) * some); ++t) one(t);
  });
}

int64_t tokens_of(std::span<const AttentionRow> rows) {
  int64_t tokens = 0;
  for (const AttentionRow& row : rows) tokens += row.tokens;
  return tokens;
}

// Calls one(tile) for all slices of all heads' matrices of all rows.
template <typename One>
void each_matrix(std::span<const AttentionRow> rows, const StateArray& states, int heads,
                 int64_t matrix_rows, int64_t columns, ThreadPool& pool, const One& one) {
  const int64_t slices = (columns + kMatrixSlice - 1) / kMatrixSlice, per_row = heads * slices;
  const int64_t count = static_cast<int64_t>(rows.size()) * per_row;
  const int64_t flops =
      count == 0 ? 0 : tokens_of(rows) * matrix_rows * columns * heads * 6 / count;
  each(count, flops, pool, [&](int64_t i) {
    const AttentionRow& row = rows[static_cast<size_t>(i / per_row)];
    MatrixTile tile;
    tile.row = &row;
    tile.head = static_cast<int>(i % per_row / slices);
    tile.first = static_cast<int>(i % slices * kMatrixSlice);
    tile.count = static_cast<int>(std::min<int64_t>(kMatrixSlice, columns - tile.first));
    tile.stride = columns;
    tile.matrix = states.at(row.blocks[0]) + tile.head * matrix_rows * columns;
    one(tile);
  });
}

}  // namespace

void causal_conv(const RecurrentKernels& path, const ConvArgs& args, ThreadPool& pool) {
  const int64_t slices = (args.channels + kConvSlice - 1) / kConvSlice;
  const int64_t count = static_cast<int64_t>(args.rows.size()) * slices;
  const int64_t flops =
      count == 0 ? 0 : tokens_of(args.rows) * args.channels * (args.taps + 4) / count;
  each(count, flops, pool, [&](int64_t i) {
    const AttentionRow& row = args.rows[static_cast<size_t>(i / slices)];
    const int first = static_cast<int>(i % slices) * kConvSlice;
    path.conv({&args, &row, args.states.at(row.blocks[0]), first,
               std::min(kConvSlice, args.channels - first)});
  });
}

void gated_delta_rule(const RecurrentKernels& path, const DeltaRuleArgs& args, ThreadPool& pool) {
  each_token(tokens_of(args.rows), 4 * args.key_heads * args.key_dim, pool,
             [&](int64_t token) { path.delta_prepare(args, token); });
  each_matrix(args.rows, args.states, args.heads, args.key_dim, args.value_dim, pool,
              [&](const MatrixTile& tile) { path.delta(args, tile); });
}

void ssd_scan(const RecurrentKernels& path, const SsdArgs& args, ThreadPool& pool) {
  each_token(tokens_of(args.rows), 32 * args.heads, pool,
             [&](int64_t token) { path.ssd_prepare(args, token); });
  each_matrix(args.rows, args.states, args.heads, args.state, args.head_dim, pool,
              [&](const MatrixTile& tile) { path.ssd(args, tile); });
}

void mamba_scan(const RecurrentKernels& path, const MambaArgs& args, ThreadPool& pool) {
  each_matrix(args.rows, args.states, 1, args.state, args.channels, pool,
              [&](const MatrixTile& tile) { path.mamba(args, tile); });
}

void gated_norm(const RecurrentKernels& path, const GatedNormArgs& args, ThreadPool& pool) {
  each_token(args.tokens, 16 * args.width, pool,
             [&](int64_t token) { path.gated_norm(args, token); });
}

}  // namespace pippin::nn::cpu
