// Recurrent layers: one token of one sequence, of 16, and a prompt.
#include <cstdio>
#include <utility>

#include "nn/cpu/kernels.h"
#include "nn/cpu/recurrent.h"
#include "ops/bench.h"

namespace pippin::nn::cpu {
namespace {

// Recurrent layers of so many sequences, each of so many tokens. Their states are read and written
// once for each call.
struct RecurrentScene {
  RecurrentScene(int sequences, int tokens_each, int64_t state, const Options& of)
      : options(of),
        tokens(sequences * tokens_each),
        states(static_cast<size_t>(sequences * state)) {
    for (int s = 0; s < sequences; ++s) ids.push_back(s);
    for (int s = 0; s < sequences; ++s)
      rows.push_back({s * tokens_each, tokens_each, 1, ids.data() + s});
    array = {states.data(), state};
  }
  std::vector<float> floats(int64_t columns) const {
    return std::vector<float>(static_cast<size_t>(tokens * columns), 0.1f);
  }
  // Prints a line. `flops`: of a token.
  template <typename Call>
  void report(const char* op, const char* name, double flops, ThreadPool& pool, Call call) const {
    const double seconds = best_seconds(options, call);
    const double bytes = 2.0 * static_cast<double>(states.size()) * sizeof(float);
    std::printf(
        "{\"op\":\"%s\",\"name\":\"%s\",\"sequences\":%zu,\"tokens\":%d,\"threads\":%d,"
        "\"isa\":\"%s\",\"us\":%.1f,\"gb_s\":%.1f,\"gflop_s\":%.1f}\n",
        op, name, rows.size(), tokens, pool.threads(), isa_name(options.isa), seconds * 1e6,
        bytes / seconds * 1e-9, flops * tokens / seconds * 1e-9);
    std::fflush(stdout);
  }

  const Options& options;
  const int tokens;
  std::vector<float> states;
  std::vector<int32_t> ids;
  std::vector<AttentionRow> rows;
  StateArray array;
};

// A layer of Qwen3.5-0.8B.
void bench_delta_net(int sequences, int tokens, const Options& options, ThreadPool& pool) {
  constexpr int kHeads = 16, kDim = 128, kTaps = 4, kChannels = 3 * kHeads * kDim;
  const RecurrentKernels& path = kernels(options.isa).recurrent;
  const std::vector<float> weight(kTaps * kChannels, 0.1f), decay(kHeads, -1), bias(kHeads);
  const RecurrentScene convs(sequences, tokens, (kTaps - 1) * kChannels, options);
  const std::vector<float> x = convs.floats(kChannels);
  std::vector<float> mixed(x.size());
  convs.report("causal_conv", "qwen3.5", 2.0 * kTaps * kChannels, pool, [&] {
    causal_conv(path,
                {.channels = kChannels,
                 .taps = kTaps,
                 .weight = weight.data(),
                 .silu = true,
                 .x = {x.data(), kChannels},
                 .states = convs.array,
                 .rows = convs.rows,
                 .out = mixed.data()},
                pool);
  });
  const RecurrentScene rules(sequences, tokens, kHeads * kDim * kDim, options);
  const std::vector<float> ab = rules.floats(2 * kHeads);
  std::vector<float> qkv = x, scratch(ab.size()), out = rules.floats(kHeads * kDim);
  rules.report("gated_delta_rule", "qwen3.5", 7.0 * kHeads * kDim * kDim, pool, [&] {
    gated_delta_rule(path,
                     {.key_heads = kHeads,
                      .heads = kHeads,
                      .key_dim = kDim,
                      .value_dim = kDim,
                      .decay = decay.data(),
                      .dt_bias = bias.data(),
                      .qkv = qkv.data(),
                      .ab = {ab.data(), 2 * kHeads},
                      .states = rules.array,
                      .rows = rules.rows,
                      .out = out.data(),
                      .scratch = scratch.data()},
                     pool);
  });
  const std::vector<float> norm(kHeads * kDim, 1.0f);
  rules.report("gated_norm", "qwen3.5", 8.0 * kHeads * kDim, pool, [&] {
    gated_norm(path,
               {.weight = norm.data(),
                .width = kHeads * kDim,
                .group = kDim,
                .eps = 1e-6f,
                .x = {qkv.data(), kChannels},
                .gate = {x.data(), kChannels},
                .tokens = rules.tokens,
                .out = out.data()},
               pool);
  });
}

// Layers of Granite 4 H 1B and of Jamba Mini.
void bench_mamba(int sequences, int tokens, const Options& options, ThreadPool& pool) {
  const RecurrentKernels& path = kernels(options.isa).recurrent;
  {
    constexpr int kHeads = 48, kDim = 64, kState = 128, kInputs = kHeads * kDim + 2 * kState;
    const RecurrentScene scene(sequences, tokens, kHeads * kDim * kState, options);
    const std::vector<float> xbc = scene.floats(kInputs), dt = scene.floats(kHeads),
                             decay(kHeads, -1), bias(kHeads);
    std::vector<float> scratch = scene.floats(2 * kHeads), out = scene.floats(kHeads * kDim);
    scene.report("ssd_scan", "granite4-1b", 5.0 * kHeads * kDim * kState, pool, [&] {
      ssd_scan(path,
               {.heads = kHeads,
                .head_dim = kDim,
                .groups = 1,
                .state = kState,
                .decay = decay.data(),
                .dt_bias = bias.data(),
                .skip = bias.data(),
                .dt_max = 100,
                .xbc = xbc.data(),
                .dt = {dt.data(), kHeads},
                .states = scene.array,
                .rows = scene.rows,
                .out = out.data(),
                .scratch = scratch.data()},
               pool);
    });
  }
  constexpr int kChannels = 8192, kState = 16;
  const RecurrentScene scene(sequences, tokens, kChannels * kState, options);
  const std::vector<float> x = scene.floats(kChannels), dt = scene.floats(kChannels),
                           bc = scene.floats(2 * kState), decay(kChannels * kState, -1),
                           skip(kChannels, 1);
  std::vector<float> out(x.size());
  scene.report("mamba_scan", "jamba", 6.0 * kChannels * kState, pool, [&] {
    mamba_scan(path,
               {.channels = kChannels,
                .state = kState,
                .decay = decay.data(),
                .skip = skip.data(),
                .x = {x.data(), kChannels},
                .dt = {dt.data(), kChannels},
                .bc = {bc.data(), 2 * kState},
                .states = scene.array,
                .rows = scene.rows,
                .out = out.data()},
               pool);
  });
}

}  // namespace

void bench_recurrent(const Options& options, ThreadPool& pool) {
  for (const auto& [sequences, tokens] : {std::pair{1, 1}, {16, 1}, {1, 512}}) {
    bench_delta_net(sequences, tokens, options, pool);
    bench_mamba(sequences, tokens, options, pool);
  }
}

}  // namespace pippin::nn::cpu
