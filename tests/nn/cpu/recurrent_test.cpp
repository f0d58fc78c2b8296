// Every instruction set gives the portable path's bits.
#include "nn/cpu/recurrent.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "nn/cpu/kernels.h"
#include "nn/cpu/random_weights.h"

namespace pippin::nn::cpu {
namespace {

using namespace test;

// Two rows: one begins in a state that holds no numbers, one goes on.
struct Scene {
  explicit Scene(int64_t state_values) : states(static_cast<size_t>(2 * state_values)) {
    const std::vector<float> known = random_floats(static_cast<size_t>(state_values), 1);
    std::fill(states.begin(), states.end(), std::numeric_limits<float>::quiet_NaN());
    std::copy(known.begin(), known.end(), states.begin());
    array = {states.data(), state_values};
  }
  std::vector<float> states;
  StateArray array;
  const int32_t first = 1, second = 0;
  const std::vector<AttentionRow> rows{{0, 7, 0, &first}, {7, 2, 31, &second}};
};
constexpr int64_t kTokens = 9;

// Calls run(kernels, scene, out) for every instruction set: outputs and states must be the same.
template <typename Run>
void expect_same(int64_t state_values, int64_t width, const Run& run) {
  ThreadPool pool(2);
  Scene oracle(state_values);
  std::vector<float> want(static_cast<size_t>(kTokens * width));
  run(kernels(Isa::kPortable).recurrent, oracle, want.data(), pool);
  for (const float v : want) ASSERT_EQ(v, v) << "no numbers";
  for (const Isa isa : available_isas()) {
    Scene scene(state_values);
    std::vector<float> got(want.size());
    run(kernels(isa).recurrent, scene, got.data(), pool);
    EXPECT_EQ(got, want) << isa_name(isa);
    EXPECT_EQ(scene.states, oracle.states) << isa_name(isa);
  }
}

TEST(RecurrentKernels, ConvolutionsAreTheSameOnEveryPath) {
  for (const int channels : {40, 300}) {
    for (const bool gated : {false, true}) {
      const int taps = gated ? 3 : 4;
      const auto x = random_floats(static_cast<size_t>(kTokens * 3 * channels), 2),
                 weight = random_floats(static_cast<size_t>(taps * channels), 3),
                 bias = random_floats(static_cast<size_t>(channels), 4);
      expect_same((taps - 1) * channels, channels,
                  [&](const RecurrentKernels& path, Scene& scene, float* out, ThreadPool& pool) {
                    ConvArgs args{.channels = channels,
                                  .taps = taps,
                                  .weight = weight.data(),
                                  .bias = bias.data(),
                                  .silu = !gated,
                                  .x = {x.data() + 2 * channels, 3 * channels},
                                  .states = scene.array,
                                  .rows = scene.rows,
                                  .out = out};
                    if (gated) {
                      args.b = {x.data(), 3 * channels};
                      args.c = {x.data() + channels, 3 * channels};
                    }
                    causal_conv(path, args, pool);
                  });
    }
  }
}

TEST(RecurrentKernels, TheDeltaRuleIsTheSameOnEveryPath) {
  constexpr int kHeads = 6, kKeyHeads = 2, kKeys = 32, kValues = 112;
  constexpr int kInputs = 2 * kKeyHeads * kKeys + kHeads * kValues;
  const auto inputs = random_floats(kTokens * kInputs, 2),
             ab = random_floats(kTokens * 2 * kHeads, 3, 4), decay = random_floats(kHeads, 4),
             bias = random_floats(kHeads, 5);
  expect_same(kHeads * kKeys * kValues, kHeads * kValues,
              [&](const RecurrentKernels& path, Scene& scene, float* out, ThreadPool& pool) {
                std::vector<float> qkv = inputs, scratch(kTokens * 2 * kHeads);
                gated_delta_rule(path,
                                 {.key_heads = kKeyHeads,
                                  .heads = kHeads,
                                  .key_dim = kKeys,
                                  .value_dim = kValues,
                                  .decay = decay.data(),
                                  .dt_bias = bias.data(),
                                  .qkv = qkv.data(),
                                  .ab = {ab.data(), 2 * kHeads},
                                  .states = scene.array,
                                  .rows = scene.rows,
                                  .out = out,
                                  .scratch = scratch.data()},
                                 pool);
              });
}

TEST(RecurrentKernels, MambaIsTheSameOnEveryPath) {
  constexpr int kHeads = 5, kDim = 80, kState = 19;
  constexpr int kInputs = kHeads * kDim + 2 * kState;
  const auto xbc = random_floats(kTokens * kInputs, 2), dt = random_floats(kTokens * kHeads, 3, 4),
             decay = random_floats(kHeads, 4), bias = random_floats(kHeads, 5),
             skip = random_floats(kHeads, 6);
  expect_same(kHeads * kDim * kState, kHeads * kDim,
              [&](const RecurrentKernels& path, Scene& scene, float* out, ThreadPool& pool) {
                std::vector<float> scratch(kTokens * 2 * kHeads);
                ssd_scan(path,
                         {.heads = kHeads,
                          .head_dim = kDim,
                          .groups = 1,
                          .state = kState,
                          .decay = decay.data(),
                          .dt_bias = bias.data(),
                          .skip = skip.data(),
                          .dt_max = 2,
                          .xbc = xbc.data(),
                          .dt = {dt.data(), kHeads},
                          .states = scene.array,
                          .rows = scene.rows,
                          .out = out,
                          .scratch = scratch.data()},
                         pool);
              });

  constexpr int kChannels = kHeads * kDim;
  const auto steps = random_floats(kTokens * kChannels, 7, 4),
             decays = random_floats(kState * kChannels, 8), skips = random_floats(kChannels, 9);
  expect_same(kState * kChannels, kChannels,
              [&](const RecurrentKernels& path, Scene& scene, float* out, ThreadPool& pool) {
                mamba_scan(path,
                           {.channels = kChannels,
                            .state = kState,
                            .decay = decays.data(),
                            .skip = skips.data(),
                            .x = {xbc.data(), kInputs},
                            .dt = {steps.data(), kChannels},
                            .bc = {xbc.data() + kChannels, kInputs},
                            .states = scene.array,
                            .rows = scene.rows,
                            .out = out},
                           pool);
              });
}

TEST(RecurrentKernels, GatedNormsAreTheSameOnEveryPath) {
  constexpr int kWidth = 120;
  const auto x = random_floats(kTokens * kWidth, 2, 3),
             gate = random_floats(kTokens * kWidth, 3, 3), weight = random_floats(kWidth, 4);
  for (const bool first : {false, true}) {
    for (const int group : {0, 40, 120}) {
      expect_same(0, kWidth,
                  [&](const RecurrentKernels& path, Scene&, float* out, ThreadPool& pool) {
                    gated_norm(path,
                               {.weight = group > 0 ? weight.data() : nullptr,
                                .width = kWidth,
                                .group = group,
                                .eps = 1e-5f,
                                .gate_first = first,
                                .x = {x.data(), kWidth},
                                .gate = {gate.data(), kWidth},
                                .tokens = kTokens,
                                .out = out},
                               pool);
                  });
    }
  }
}

}  // namespace
}  // namespace pippin::nn::cpu
