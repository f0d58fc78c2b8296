// Recurrent operations: the CPU's against the definition, and against themselves in other chunks.
#include "nn/ops/recurrent.h"
#include "nn/expect_near.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "mlx/ops.h"
#include "nn/cpu/backend/cpu_backend.h"
#include "random_floats.h"

namespace pippin::nn {
namespace {

using namespace test;
using namespace pippin::test;

// A part of a sequence in a step.
struct Part {
  int state = 0, start = 0, tokens = 0;
};

StepBatch step_of(const std::vector<Part>& parts) {
  StepBatch batch;
  batch.kv.resize(1);
  for (const Part& part : parts) {
    batch.kv[0].rows.push_back(
        {static_cast<int>(batch.tokens.size()), part.tokens, part.start, &part.state});
    batch.tokens.resize(batch.tokens.size() + static_cast<size_t>(part.tokens));
  }
  return batch;
}

// An operation over rows of `width` inputs, with a state.
struct Case {
  std::string name;
  int width = 0;
  StateShape state;
  std::function<mx::array(Backend&, const mx::array& x, const StepBatch&, KvLayerStore&)> run;
};

constexpr int kStates = 4, kWidthExtra = 5;  // columns that no operation reads

// One backend's states of one layer.
struct Layer {
  Layer(Backend& of, const Case& made) : on(of), c(made) {
    KvPlan plan;
    plan.add({KvKind::kState}, kStates);
    cache = of.make_kv_cache({{.state = c.state}}, plan, KvType::kF16).value();
    // What a state held before must not show.
    if (auto* states = dynamic_cast<CpuState*>(&cache->layer(0)))
      std::fill_n(states->first, kStates * c.state.values(),
                  std::numeric_limits<float>::quiet_NaN());
  }
  // Inputs are a function of state and position, so that each cut of a sequence sees the same.
  std::vector<float> run(const std::vector<Part>& parts) {
    std::vector<float> x;
    for (const Part& part : parts) {
      for (int p = part.start; p < part.start + part.tokens; ++p) {
        const auto row = random_floats(static_cast<size_t>(c.width + kWidthExtra),
                                       static_cast<uint32_t>(part.state * 1000 + p));
        x.insert(x.end(), row.begin(), row.end());
      }
    }
    const int columns = c.width + kWidthExtra;
    const mx::array input(x.begin(), mx::Shape{static_cast<int>(x.size()) / columns, columns},
                          mx::float32);
    const StepBatch batch = step_of(parts);
    const mx::array out = host_ready(c.run(on, input, batch, cache->layer(0)));
    return std::vector<float>(out.data<float>(), out.data<float>() + out.size());
  }

  Backend& on;
  const Case& c;
  std::unique_ptr<KvCache> cache;
};

Case conv_case(std::string name, int channels, int taps, bool silu, bool gated, bool bias) {
  ConvSpec spec{.channels = channels, .taps = taps, .silu = silu, .gated = gated};
  spec.weight = random_floats(static_cast<size_t>(channels * taps), 1);
  if (bias) spec.bias = random_floats(static_cast<size_t>(channels), 2);
  const int width = channels * (gated ? 3 : 1);
  return {std::move(name),
          width,
          {.conv_positions = taps - 1, .conv_channels = channels},
          [spec, width](Backend& on, const mx::array& x, const StepBatch& batch, KvLayerStore& s) {
            return causal_conv(on, spec, {x, 2, width}, batch, s);
          }};
}

mx::array columns_of(const mx::array& x, int first, int count) {
  return mx::contiguous(mx::slice(x, mx::Shape{0, first}, mx::Shape{x.shape(0), first + count}));
}

std::vector<float> decays(size_t n, uint32_t seed) {
  std::vector<float> values = random_floats(n, seed);
  for (float& v : values) v = -std::exp(v);
  return values;
}

Case delta_case(std::string name, int key_heads, int heads, int key_dim, int value_dim,
                bool tiled) {
  DeltaRuleSpec spec{.key_heads = key_heads,
                     .heads = heads,
                     .key_dim = key_dim,
                     .value_dim = value_dim,
                     .keys_tiled = tiled};
  spec.decay = decays(static_cast<size_t>(heads), 3);
  spec.dt_bias = random_floats(static_cast<size_t>(heads), 4);
  const int inputs = 2 * key_heads * key_dim + heads * value_dim;
  return {std::move(name),
          inputs + 2 * heads,
          {.heads = heads, .rows = key_dim, .columns = value_dim},
          [spec, inputs](Backend& on, const mx::array& x, const StepBatch& b, KvLayerStore& s) {
            return gated_delta_rule(on, spec, columns_of(x, 0, inputs), {x, inputs, 2 * spec.heads},
                                    b, s);
          }};
}

Case ssd_case(std::string name, int heads, int head_dim, int groups, int state) {
  SsdSpec spec{.heads = heads, .head_dim = head_dim, .groups = groups, .state = state};
  spec.decay = decays(static_cast<size_t>(heads), 5);
  spec.dt_bias = random_floats(static_cast<size_t>(heads), 6);
  spec.skip = random_floats(static_cast<size_t>(heads), 7);
  spec.dt_factor = 0.7f;
  spec.dt_min = 0.2f;
  spec.dt_max = 1.5f;
  const int inputs = heads * head_dim + 2 * groups * state;
  return {std::move(name),
          inputs + heads,
          {.heads = heads, .rows = state, .columns = head_dim},
          [spec, inputs](Backend& on, const mx::array& x, const StepBatch& b, KvLayerStore& s) {
            return ssd_scan(on, spec, columns_of(x, 0, inputs), {x, inputs, spec.heads}, b, s);
          }};
}

Case mamba_case(std::string name, int channels, int state) {
  MambaSpec spec{.channels = channels, .state = state};
  spec.decay = decays(static_cast<size_t>(channels * state), 8);
  spec.skip = random_floats(static_cast<size_t>(channels), 9);
  return {std::move(name),
          2 * channels + 2 * state,
          {.heads = 1, .rows = state, .columns = channels},
          [spec](Backend& on, const mx::array& x, const StepBatch& b, KvLayerStore& s) {
            const int c = spec.channels;
            return mamba_scan(on, spec, columns_of(x, 0, c), columns_of(x, c, c),
                              columns_of(x, 2 * c, 2 * spec.state), b, s);
          }};
}

std::vector<Case> cases() {
  return {conv_case("conv", 40, 4, false, false, true),
          conv_case("conv_silu", 600, 4, true, false, false),
          conv_case("conv_gated", 304, 3, false, true, true),
          conv_case("conv_wide", 16, 8, true, false, true),
          delta_case("delta", 2, 4, 32, 48, false),
          delta_case("delta_tiled", 2, 6, 16, 80, true),
          delta_case("delta_large", 2, 2, 128, 128, false),
          ssd_case("ssd", 6, 32, 2, 16),
          ssd_case("ssd_odd", 20, 80, 1, 19),
          mamba_case("mamba", 272, 16),
          mamba_case("mamba_odd", 48, 5)};
}

class Recurrent : public testing::TestWithParam<size_t> {
 protected:
  const Case c = cases()[GetParam()];
  const std::unique_ptr<Backend> cpu = make_backend({.threads = 2}).value();
  const std::unique_ptr<Backend> reference =
      make_backend({.kind = BackendKind::kReference}).value();
};

// Rows of many lengths together, of which one goes on and another begins in a state used before.
TEST_P(Recurrent, FollowsTheReference) {
  Layer fast(*cpu, c), slow(*reference, c);
  for (const std::vector<Part>& parts :
       std::vector<std::vector<Part>>{{{2, 0, 9}, {0, 0, 1}, {3, 0, 2}},
                                      {{2, 9, 1}, {0, 1, 1}, {3, 2, 1}},
                                      {{0, 2, 5}, {2, 10, 1}},
                                      {{3, 0, 6}, {2, 11, 4}}}) {
    const std::vector<float> got = fast.run(parts), want = slow.run(parts);
    ASSERT_EQ(got.size(), want.size());
    const double largest = amax_of(want);
    ASSERT_GT(largest, 0.01);
    // A product of a state's rows, after as many steps as tokens, with exponentials in each.
    const double rows = std::max(1, c.state.rows), steps = 15;
    const double tolerance = 2 * (sum_tolerance(kEpsilonF32, rows, std::sqrt(rows) * largest) +
                                  sum_tolerance(kEpsilonF32, steps, steps * largest) +
                                  rounding_tolerance(kEpsilonF32, 16, largest));
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], want[i], tolerance) << "value " << i;
  }
}

TEST_P(Recurrent, NoCutAndNoNeighbourChangesABit) {
  const std::unique_ptr<Backend> serial = make_backend({.threads = 1}).value();
  Layer whole(*cpu, c), parts(*serial, c);
  const std::vector<float> want = whole.run({{1, 0, 40}});
  std::vector<float> got;
  int at = 0;
  for (const int tokens : {1, 1, 17, 2, 1, 18}) {
    const std::vector<float> together = parts.run({{1, at, tokens}, {0, at, 3}});
    const size_t width = together.size() / static_cast<size_t>(tokens + 3);
    got.insert(got.end(), together.begin(),
               together.begin() + static_cast<ptrdiff_t>(width * static_cast<size_t>(tokens)));
    at += tokens;
  }
  EXPECT_EQ(got, want);
}

TEST_P(Recurrent, ACopiedStateGoesOnAlike) {
  for (Backend* on : {cpu.get(), reference.get()}) {
    Layer layer(*on, c);
    layer.run({{1, 0, 7}});
    layer.cache->copy_block(1, 3);
    const std::vector<float> want = layer.run({{1, 7, 2}});
    layer.cache->copy_block(3, 1);
    EXPECT_EQ(layer.run({{1, 7, 2}}), want);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Recurrent, testing::Range(size_t{0}, cases().size()),
                         [](const auto& c) { return cases()[c.param].name; });

TEST(GatedNorm, FollowsTheReference) {
  const std::unique_ptr<Backend> cpu = make_backend({.threads = 2}).value();
  const std::unique_ptr<Backend> reference =
      make_backend({.kind = BackendKind::kReference}).value();
  constexpr int kTokens = 9, kWidth = 144;
  const auto values = random_floats(kTokens * kWidth, 1, 3),
             gates = random_floats(kTokens * 200, 2);
  const mx::array x(values.begin(), mx::Shape{kTokens, kWidth}, mx::float32),
      gate(gates.begin(), mx::Shape{kTokens, 200}, mx::float32);
  for (const int group : {0, 16, 72, 144}) {
    for (const bool first : {false, true}) {
      GatedNormSpec spec{.group = group, .eps = 1e-5f, .gate_first = first, .gate_factor = 1.3f};
      if (group > 0) spec.weight = random_floats(kWidth, 3);
      const mx::array got = host_ready(gated_norm(*cpu, spec, x, {gate, 7, kWidth})),
                      want = host_ready(gated_norm(*reference, spec, x, {gate, 7, kWidth}));
      ASSERT_EQ(got.shape(), want.shape());
      // The gate's exponential, then the norm.
      const double largest = amax_of(values_of(want));
      expect_near(got, want,
                  2 * (rms_norm_tolerance(kEpsilonF32, group > 0 ? group : kWidth, largest) +
                       rounding_tolerance(kEpsilonF32, 8, largest)));
    }
  }
}

}  // namespace
}  // namespace pippin::nn
