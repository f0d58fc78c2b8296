// Every operation of the CPU's backend against the reference backend.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "mlx/ops.h"
#include "nn/attention_scene.h"
#include "nn/cpu/backend/cpu_backend.h"
#include "nn/expect_near.h"
#include "nn/ops/attention.h"
#include "nn/ops/gated.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"
#include "nn/ops/streams.h"
#include "random_floats.h"

namespace pippin::nn {
namespace {

using namespace test;
using namespace pippin::test;

mx::array matrix(const std::vector<float>& values, int rows) {
  return mx::array(values.begin(), mx::Shape{rows, static_cast<int>(values.size()) / rows},
                   mx::float32);
}

std::unique_ptr<Backend> backend(const BackendOptions& options) {
  return make_backend(options).value();
}

class Ops : public testing::Test {
 protected:
  const std::unique_ptr<Backend> cpu = backend({.threads = 2});
  const std::unique_ptr<Backend> exact = backend({.threads = 2, .exact_activations = true});
  const std::unique_ptr<Backend> reference = backend({.kind = BackendKind::kReference});

  // An f32 weight as a backend prepares it, of one part or of a gate and its up projection.
  static LinearWeight weight(Backend& on, const std::vector<float>& values, int rows,
                             std::vector<float> bias = {}, int parts = 1) {
    LinearWeight w;
    w.rows = rows;
    w.columns = static_cast<int>(values.size()) / rows;
    w.bias = std::move(bias);
    const auto bytes = std::as_bytes(std::span(values));
    const size_t part_bytes = bytes.size() / static_cast<size_t>(parts);
    std::vector<store::TensorView> views(static_cast<size_t>(parts));
    std::vector<const store::TensorView*> pointers;
    for (size_t p = 0; p < views.size(); ++p) {
      views[p].shape = {rows / parts, w.columns};
      views[p].bytes = bytes.subspan(p * part_bytes, part_bytes);
      pointers.push_back(&views[p]);
    }
    const Stacking stacking = parts == 2 ? Stacking::kGateUp : Stacking::kPlain;
    w.prepared = on.prepare(pointers, w.columns, stacking).value();
    return w;
  }
};

TEST_F(Ops, LinearFollowsTheReference) {
  const auto values = random_floats(70 * 96, 1), bias = random_floats(70, 2);
  for (int tokens : {1, 3, 16, 40}) {
    const mx::array x = matrix(random_floats(static_cast<size_t>(tokens) * 96, 3), tokens);
    const mx::array want = linear(*reference, weight(*reference, values, 70, bias), x);
    const double tolerance =
        2 * dot_tolerance(kEpsilonF32, 96 + 1, row_norm(x), row_norm(values, 96));
    // Weights in f32 take activations in f32 either way.
    for (Backend* on : {exact.get(), cpu.get()})
      expect_near(linear(*on, weight(*on, values, 70, bias), x), want, tolerance);
  }
}

TEST_F(Ops, EmbedGivesTheTablesRows) {
  const auto values = random_floats(50 * 32, 4);
  StepBatch batch;
  batch.tokens = {0, 49, 7, 7};
  EXPECT_EQ(values_of(embed(*cpu, weight(*cpu, values, 50), batch, 2.0f)),
            values_of(embed(*reference, weight(*reference, values, 50), batch, 2.0f)));
}

TEST_F(Ops, RmsNormWithAndWithoutResidual) {
  const NormWeight w{random_floats(576, 5), 1e-5f};
  const auto values = random_floats(9 * 576, 6, 3.0f), delta = random_floats(9 * 576, 7);
  const auto expect_normed = [](const mx::array& got, const mx::array& want) {
    expect_near(got, want, 2 * rms_norm_tolerance(kEpsilonF32, 576, amax_of(values_of(want))));
  };
  expect_normed(norm(*cpu, w, matrix(values, 9)), norm(*reference, w, matrix(values, 9)));
  mx::array x = matrix(values, 9), y = matrix(values, 9);
  const mx::array a = add_norm(*cpu, w, x, matrix(delta, 9)),
                  b = add_norm(*reference, w, y, matrix(delta, 9));
  expect_normed(a, b);
  EXPECT_EQ(values_of(x), values_of(y));
}

TEST_F(Ops, NormsOfColumnsAndFactorsFollowTheReference) {
  const NormWeight w{random_floats(96, 5), 1e-5f};
  const auto values = random_floats(9 * 160, 6, 3.0f);
  for (const int first : {0, 40, 64}) {
    const mx::array want = norm_columns(*reference, w, matrix(values, 9), first);
    expect_near(norm_columns(*cpu, w, matrix(values, 9), first), want,
                2 * rms_norm_tolerance(kEpsilonF32, 96, amax_of(values_of(want))));
  }
  EXPECT_EQ(values_of(scale(*cpu, matrix(values, 9), 0.3f)),
            values_of(scale(*reference, matrix(values, 9), 0.3f)));
}

TEST_F(Ops, SeveralStreamsFollowTheReference) {
  const mx::array x = matrix(random_floats(9 * 4 * 48, 1, 2.0f), 9),
                  weights = matrix(random_floats(9 * 3 * 4, 2), 9);
  const mx::array mixed = mix_streams(*reference, x, 4, weights);
  EXPECT_EQ(mixed.shape(), (mx::Shape{9, 3 * 48}));
  expect_near(mix_streams(*cpu, x, 4, weights), mixed,
              2 * dot_tolerance(kEpsilonF32, 4, row_norm(weights), row_norm(x)));
  const mx::array like = matrix(random_floats(9 * 4 * 48, 3, 0.1f), 9);
  const auto tolerance = [](const mx::array& want) {
    return 4 * rms_norm_tolerance(kEpsilonF32, 4 * 48, amax_of(values_of(want)));
  };
  const mx::array matched = match_magnitude(*reference, x, like);
  expect_near(match_magnitude(*cpu, x, like), matched, tolerance(matched));
  for (const float deviations : {-0.5f, 1.0f}) {
    const mx::array above = above_mean(*reference, x, deviations);
    expect_near(above_mean(*cpu, x, deviations), above, tolerance(x));
  }
  const FloatVector factors(random_floats(4 * 48, 4));
  EXPECT_EQ(values_of(scale_columns(*cpu, x, factors)),
            values_of(scale_columns(*reference, x, factors)));
}

TEST_F(Ops, ALearnedActivationFollowsTheReference) {
  const mx::array x = matrix(random_floats(5 * 64, 1, 2.0f), 5);
  const Xielu curve{.alpha_p = 0.8f, .alpha_n = 0.9f, .beta = 0.5f, .eps = -1e-6f};
  const mx::array want = xielu(*reference, curve, x);
  expect_near(xielu(*cpu, curve, x), want,
              rounding_tolerance(kEpsilonF32, 8, amax_of(values_of(want))));
}

TEST_F(Ops, FeedForwardFollowsTheReference) {
  const auto both = random_floats(2 * 80 * 96, 8), bias = random_floats(2 * 80, 9),
             last = random_floats(48 * 80, 11);
  for (int tokens : {1, 5, 40}) {
    const mx::array x = matrix(random_floats(static_cast<size_t>(tokens) * 96, 10), tokens);
    const auto fed = [&](Backend& on, Gate gate) {
      return feed_forward(on, gate, weight(on, both, 2 * 80, bias, 2), weight(on, last, 48), x);
    };
    const double tolerance =
        2 * feed_forward_tolerance(row_norm(x), row_norm(both, 96), row_norm(last, 80), 96, 80);
    for (Gate gate : {Gate::kSilu, Gate::kGeluTanh})
      expect_near(fed(*exact, gate), fed(*reference, gate), tolerance);
  }
}

KvPlan windowed_plan(int blocks, int window_blocks) {
  KvPlan plan = KvPlan::full(blocks);
  plan.add({KvKind::kSliding}, window_blocks);
  return plan;
}

// Queries that attend to what another layer has written are prepared as those of that layer.
TEST_F(Ops, QueriesAloneAreThoseOfTheWholeProjection) {
  const AttentionCase c{"shared", 4, 2, 32, 0, 0, false, true};
  AttentionSpec spec = attention_spec(c, random_floats(32, 1), random_floats(32, 2));
  Scene scene(0, {1, 0}, {2});
  scene.add(scene.first, 0, 20);
  const mx::array qkv = matrix(random_floats(20 * 8 * 32, 3), 20);
  for (Backend* on : {cpu.get(), reference.get()}) {
    const auto cache = on->make_kv_cache({{2, 32}}, KvPlan::full(3), KvType::kF16).value();
    const mx::array all = qkv_rope_kv_write(*on, spec, qkv, scene.batch, cache->layer(0));
    AttentionSpec alone = spec;
    alone.queries_only = true;
    const mx::array q = columns(*on, qkv, 0, 4 * 32);
    EXPECT_EQ(values_of(qkv_rope_kv_write(*on, alone, q, scene.batch, cache->layer(0))),
              values_of(all));
  }
}

class OpsAttention : public Ops, public testing::WithParamInterface<AttentionCase> {};

TEST_P(OpsAttention, FollowsTheReferenceOverScatteredBlocks) {
  const AttentionCase c = GetParam();
  const auto dims = static_cast<size_t>(c.dim);
  const AttentionSpec spec = attention_spec(c, random_floats(dims, 9), random_floats(dims, 10));
  const KvGeometry geometry{c.kv_heads, c.dim, c.window};
  const KvPlan blocks = c.window > 0 ? windowed_plan(1, 8) : KvPlan::full(8);
  const auto fast = cpu->make_kv_cache({geometry}, blocks, c.type).value();
  const auto slow = reference->make_kv_cache({geometry}, blocks, KvType::kF16).value();
  const int width = (c.heads + 2 * c.kv_heads) * c.dim;
  // First step: both prompts begin; then one goes on by a chunk, the other by one token; then both
  // by one.
  for (const auto& [a_start, a_tokens, b_start, b_tokens] :
       std::vector<std::array<int, 4>>{{0, 37, 0, 33}, {37, 20, 33, 1}, {57, 1, 40, 1}}) {
    Scene scene(c.window, {5, 2, 7, 0}, {6, 1, 3});
    scene.add(scene.first, a_start, a_tokens);
    scene.add(scene.second, b_start, b_tokens);
    const mx::array qkv = matrix(random_floats(static_cast<size_t>(scene.batch.size() * width), 11),
                                 static_cast<int>(scene.batch.size()));
    const mx::array q_fast = qkv_rope_kv_write(*cpu, spec, qkv, scene.batch, fast->layer(0));
    const mx::array q_slow = qkv_rope_kv_write(*reference, spec, qkv, scene.batch, slow->layer(0));
    expect_near(q_fast, q_slow, 2 * rope_tolerance(spec, row_norm(qkv)));
    expect_near(paged_attention(*cpu, spec, q_fast, scene.batch, fast->layer(0)),
                paged_attention(*reference, spec, q_slow, scene.batch, slow->layer(0)),
                attention_tolerance(spec, kEpsilonF16, amax_of(values_of(qkv)), c.type));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, OpsAttention,
    testing::Values(AttentionCase{"smollm2", 9, 3, 64, 0, 0, true, false},
                    AttentionCase{"qwen2", 12, 2, 128, 0, 0, false, false},
                    AttentionCase{"gemma3", 4, 1, 256, 24, 0, false, true},
                    AttentionCase{"softcap", 4, 4, 32, 0, 5.0f, false, false},
                    AttentionCase{"smollm2_int8", 9, 3, 64, 0, 0, true, false, KvType::kInt8},
                    AttentionCase{"gemma3_int8", 4, 1, 256, 24, 0, false, true, KvType::kInt8}),
    [](const auto& c) { return c.param.name; });

cpu::KvLayer& blocks_of(KvCache& cache, int layer) {
  return static_cast<CpuKv&>(cache.layer(layer)).blocks;
}

TEST_F(Ops, CopiedBlocksHoldTheSameKeysAndValues) {
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    const auto cache = cpu->make_kv_cache({{2, 32}, {2, 32}}, KvPlan::full(4), type).value();
    const int64_t n = blocks_of(*cache, 0).block_bytes();
    // Two heads of 32 dims, 16 positions; a scale in f16 where the dims are one code each.
    EXPECT_EQ(n, 2 * 16 * (type == KvType::kInt8 ? 32 + 2 : 2 * 32));
    for (int l = 0; l < 2; ++l) {
      for (int i = 0; i < n; ++i) {
        blocks_of(*cache, l).k[i] = static_cast<uint8_t>(i * 7 + l);
        blocks_of(*cache, l).v[i] = static_cast<uint8_t>(i * 5 + l);
      }
    }
    cache->copy_block(0, 3);
    for (int l = 0; l < 2; ++l) {
      const auto& kv = blocks_of(*cache, l);
      EXPECT_EQ(0, std::memcmp(kv.k, kv.k + 3 * n, static_cast<size_t>(n)));
      EXPECT_EQ(0, std::memcmp(kv.v, kv.v + 3 * n, static_cast<size_t>(n)));
    }
  }
}

TEST_F(Ops, LayersWithAWindowHaveBlocksOfTheirOwn) {
  const auto cache =
      cpu->make_kv_cache({{2, 32}, {2, 32, 24}, {2, 32}}, windowed_plan(6, 3), KvType::kF16)
          .value();
  const int64_t n = blocks_of(*cache, 0).block_bytes();
  EXPECT_EQ(cache->layer(0).group, 0);
  EXPECT_EQ(cache->layer(1).group, 1);
  // Each layer's memory ends where the next one's begins.
  EXPECT_EQ(blocks_of(*cache, 1).k - blocks_of(*cache, 0).k, 2 * 6 * n);
  EXPECT_EQ(blocks_of(*cache, 2).k - blocks_of(*cache, 1).k, 2 * 3 * n);
  for (int l = 0; l < 3; ++l) blocks_of(*cache, l).v[0] = static_cast<uint8_t>(l + 1);
  cache->copy_block(0, 2, 1);
  cache->copy_block(0, 1);
  for (int l = 0; l < 3; ++l) {
    const cpu::KvLayer& kv = blocks_of(*cache, l);
    EXPECT_EQ(kv.v[2 * n], l == 1 ? 2 : 0);
    EXPECT_EQ(kv.v[1 * n], l == 1 ? 0 : l + 1);
  }
  // Without a group of their own they lie among the others.
  EXPECT_EQ(group_of(KvPlan::full(4), {2, 32, 24}), 0);
}

}  // namespace
}  // namespace pippin::nn
