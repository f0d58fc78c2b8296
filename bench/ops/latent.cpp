// Attention over compressed keys and values, of chosen positions, and the choice: a layer of
// DeepSeek 3.2 behind 8,192 positions.
#include "nn/cpu/latent.h"

#include <cstdio>
#include <numeric>
#include <vector>

#include "nn/cpu/kernels.h"
#include "ops/bench.h"

namespace pippin::nn::cpu {
namespace {

constexpr int kHeads = 128, kRank = 512, kTurned = 64, kPlain = 128, kValue = 128;
constexpr int kTop = 2048, kIndexHeads = 64, kIndexDim = 128, kSeen = 8192;
constexpr int kWidth = kRank + kTurned, kBlockValues = 16 * (kWidth + kIndexDim);

void report(const char* op, int tokens, double flops, double seconds, const Options& options,
            const ThreadPool& pool) {
  std::printf(
      "{\"op\":\"%s\",\"name\":\"deepseek-v3.2\",\"tokens\":%d,\"threads\":%d,\"isa\":\"%s\","
      "\"us\":%.1f,\"gflop_s\":%.1f}\n",
      op, tokens, pool.threads(), isa_name(options.isa), seconds * 1e6,
      flops * tokens / seconds * 1e-9);
  std::fflush(stdout);
}

}  // namespace

void bench_latent(int tokens, const Options& options, ThreadPool& pool) {
  const Kernels& path = kernels(options.isa);
  const auto floats = [](int64_t n) { return std::vector<float>(static_cast<size_t>(n), 0.01f); };
  constexpr int kBlocks = kSeen / 16 + 32;
  std::vector<uint16_t> cache(static_cast<size_t>(int64_t{kBlocks} * kBlockValues), 0x2400);
  std::vector<int32_t> blocks(kBlocks), positions(static_cast<size_t>(tokens));
  std::iota(blocks.begin(), blocks.end(), 0);
  std::iota(positions.begin(), positions.end(), kSeen);
  const std::vector<int32_t>& slots = positions;  // block i is the i-th
  const std::vector<AttentionRow> rows{{0, tokens, kSeen, blocks.data()}};
  const std::vector<float> inv_freq(kTurned / 2, 0.1f);

  const auto index_q = floats(int64_t{tokens} * kIndexHeads * kIndexDim),
             index_k = floats(int64_t{tokens} * kIndexDim),
             weights = floats(int64_t{tokens} * kIndexHeads);
  std::vector<int32_t> selected(static_cast<size_t>(int64_t{tokens} * kTop));
  const IndexArgs index{.q = index_q.data(),
                        .k = index_k.data(),
                        .weights = weights.data(),
                        .heads = kIndexHeads,
                        .dim = kIndexDim,
                        .top = kTop,
                        .rope = {false, kTurned, inv_freq.data()},
                        .positions = positions.data(),
                        .slots = slots.data(),
                        .rows = rows,
                        .cache = cache.data() + 16 * kWidth,
                        .block_values = kBlockValues};
  report("select_positions", tokens, 2.0 * kIndexHeads * kIndexDim * kSeen,
         best_seconds(options, [&] { select_positions(path, index, pool, selected.data()); }),
         options, pool);

  const auto q = floats(int64_t{tokens} * kHeads * (kPlain + kTurned)),
             kv = floats(int64_t{tokens} * kWidth), key_up = floats(kHeads * kPlain * kRank),
             value_up = floats(kHeads * kRank * kValue);
  std::vector<float> out = floats(int64_t{tokens} * kHeads * kValue);
  const LatentArgs args{.q = q.data(),
                        .kv = kv.data(),
                        .heads = kHeads,
                        .rank = kRank,
                        .plain = kPlain,
                        .value = kValue,
                        .scale = 0.1f,
                        .rope = {true, kTurned, inv_freq.data()},
                        .key_up = key_up.data(),
                        .value_up = value_up.data(),
                        .positions = positions.data(),
                        .slots = slots.data(),
                        .rows = rows,
                        .cache = cache.data(),
                        .block_values = kBlockValues,
                        .selected = selected.data(),
                        .top = kTop,
                        .out = out.data()};
  report("latent_attention", tokens,
         2.0 * kHeads * (kRank * (kPlain + kValue) + (kWidth + kRank) * kTop),
         best_seconds(options, [&] { latent_attention(path, args, pool); }), options, pool);
}

}  // namespace pippin::nn::cpu
