// Every op's fast path against its stock-MLX reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "mlx/ops.h"
#include "nn/ops/attention.h"
#include "nn/ops/gated.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::nn {
namespace {

std::vector<float> random_values(size_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(n);
  for (float& v : values) v = normal(rng);
  return values;
}

mx::array matrix(const std::vector<float>& values, int rows) {
  return mx::array(values.begin(), mx::Shape{rows, static_cast<int>(values.size()) / rows},
                   mx::float32);
}

float largest(const mx::array& a) {
  float top = 0;
  for (size_t i = 0; i < a.size(); ++i) top = std::max(top, std::abs(a.data<float>()[i]));
  return top;
}

void expect_close(const mx::array& got, const mx::array& want, float relative) {
  const mx::array a = host_ready(got), b = host_ready(want);
  ASSERT_EQ(a.shape(), b.shape());
  const float allowed = relative * std::max(1e-6f, largest(b));
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], allowed) << "element " << i;
  }
}

class Ops : public testing::Test {
 protected:
  Context cpu = cpu_context(2).value();
  Context stock = stock_context(mx::float32);

  // An f32 weight in both forms, of one part or two paired ones.
  LinearWeight weight(const std::vector<float>& values, int rows, int parts = 1) {
    LinearWeight w;
    w.rows = rows;
    w.columns = static_cast<int>(values.size()) / rows;
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(values.data()),
                                           values.size() * 4);
    using Packed = cpu::PackedLinear;
    std::vector<Packed::Part> all;
    const size_t part_bytes = bytes.size() / static_cast<size_t>(parts);
    for (int p = 0; p < parts; ++p)
      all.push_back({cpu::WeightType::kF32,
                     bytes.subspan(static_cast<size_t>(p) * part_bytes, part_bytes), rows / parts});
    auto packed = Packed::pack(all, w.columns, cpu.isa, *cpu.pool, nullptr,
                               parts == 2 ? Packed::Order::kPaired : Packed::Order::kStacked);
    w.packed = std::make_shared<const cpu::PackedLinear>(std::move(packed).value());
    w.dense = matrix(values, rows);
    w.dense_transposed = mx::transpose(*w.dense);
    return w;
  }
};

TEST_F(Ops, LinearFollowsTheReference) {
  LinearWeight w = weight(random_values(70 * 96, 1), 70);
  w.bias = random_values(70, 2);
  for (int tokens : {1, 3, 16, 40}) {
    const mx::array x = matrix(random_values(static_cast<size_t>(tokens) * 96, 3), tokens);
    Context exact = cpu;
    exact.activations = cpu::Activations::kF32;
    expect_close(linear(exact, w, x), linear(stock, w, x), 1e-5f);
    expect_close(linear(cpu, w, x), linear(stock, w, x), 0.02f);
  }
}

TEST_F(Ops, EmbedGivesTheTablesRows) {
  const LinearWeight table = weight(random_values(50 * 32, 4), 50);
  StepBatch batch;
  batch.tokens = {0, 49, 7, 7};
  expect_close(embed(cpu, table, batch, 2.0f), embed(stock, table, batch, 2.0f), 0.0f);
}

TEST_F(Ops, RmsNormWithAndWithoutResidual) {
  const NormWeight w{random_values(576, 5), 1e-5f};
  const auto values = random_values(9 * 576, 6, 3.0f), delta = random_values(9 * 576, 7);
  expect_close(rms_norm(cpu, w, matrix(values, 9)), rms_norm(stock, w, matrix(values, 9)), 1e-5f);
  mx::array x = matrix(values, 9), y = matrix(values, 9);
  const mx::array a = add_rms_norm(cpu, w, x, matrix(delta, 9)),
                  b = add_rms_norm(stock, w, y, matrix(delta, 9));
  expect_close(a, b, 1e-5f);
  expect_close(x, y, 1e-6f);
}

TEST_F(Ops, FeedForwardFollowsTheReference) {
  LinearWeight gate_up = weight(random_values(2 * 80 * 96, 8), 2 * 80, 2);
  gate_up.bias = random_values(2 * 80, 9);
  const LinearWeight down = weight(random_values(48 * 80, 11), 48, 1);
  Context exact = cpu;
  exact.activations = cpu::Activations::kF32;
  for (int tokens : {1, 5, 40}) {
    const mx::array x = matrix(random_values(static_cast<size_t>(tokens) * 96, 10), tokens);
    for (Gate gate : {Gate::kSilu, Gate::kGeluTanh}) {
      expect_close(feed_forward(exact, gate, gate_up, down, x),
                   feed_forward(stock, gate, gate_up, down, x), 1e-5f);
    }
  }
}

KvPlan windowed_plan(int blocks, int window_blocks) {
  KvPlan plan = KvPlan::full(blocks);
  plan.add({KvKind::kSliding}, window_blocks);
  return plan;
}

// Two sequences of one step, with scattered blocks: one in prefill behind cached positions, one
// decoding. With a window, blocks that lie before it are given back.
struct Scene {
  explicit Scene(int seen) : window(seen) { batch.kv.resize(seen > 0 ? 2 : 1); }
  const int window;
  StepBatch batch;
  std::vector<int32_t> first_blocks{5, 2, 7, 0}, second_blocks{6, 1, 3};
  void add(std::vector<int32_t>& blocks, int start, int tokens) {
    for (int b = 0; window > 0 && 16 * (b + 1) <= start - window + 1; ++b)
      blocks[static_cast<size_t>(b)] = -1;
    StepKv& kv = batch.kv.back();
    kv.rows.push_back({static_cast<int>(batch.tokens.size()), tokens, start, blocks.data()});
    for (int p = start; p < start + tokens; ++p) {
      batch.tokens.push_back(0);
      batch.positions.push_back(p);
      kv.slots.push_back(blocks[static_cast<size_t>(p / 16)] * 16 + p % 16);
    }
  }
};

struct AttentionCase {
  const char* name;
  int heads, kv_heads, dim, window;
  float soft_cap;
  bool interleaved, qk_norm;
  cpu::KvType type = cpu::KvType::kF16;
};

class OpsAttention : public Ops, public testing::WithParamInterface<AttentionCase> {};

TEST_P(OpsAttention, FollowsTheReferenceOverScatteredBlocks) {
  const AttentionCase c = GetParam();
  AttentionSpec spec{.heads = c.heads,
                     .kv_heads = c.kv_heads,
                     .head_dim = c.dim,
                     .scale = 1.0f / std::sqrt(static_cast<float>(c.dim)),
                     .window = c.window,
                     .soft_cap = c.soft_cap};
  spec.rope_interleaved = c.interleaved;
  spec.rope_dims = c.dim;
  std::vector<float> inv_freq;
  for (int i = 0; i < c.dim / 2; ++i)
    inv_freq.push_back(
        std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(c.dim)));
  spec.inv_freq = inv_freq;
  if (c.qk_norm)
    spec.q_norm = random_values(static_cast<size_t>(c.dim), 9),
    spec.k_norm = random_values(static_cast<size_t>(c.dim), 10);
  const KvGeometry geometry{c.kv_heads, c.dim, c.window};
  const KvPlan blocks = c.window > 0 ? windowed_plan(1, 8) : KvPlan::full(8);
  KvCache fast = KvCache::for_cpu({geometry}, blocks, c.type).value();
  KvCache slow = KvCache::for_stock({geometry}, blocks, mx::float32);
  const int width = (c.heads + 2 * c.kv_heads) * c.dim;
  // First step: both prompts begin; then one goes on by a chunk, the other by one token; then both
  // by one.
  for (const auto& [a_start, a_tokens, b_start, b_tokens] :
       std::vector<std::array<int, 4>>{{0, 37, 0, 33}, {37, 20, 33, 1}, {57, 1, 40, 1}}) {
    Scene scene(c.window);
    scene.add(scene.first_blocks, a_start, a_tokens);
    scene.add(scene.second_blocks, b_start, b_tokens);
    const mx::array qkv = matrix(random_values(static_cast<size_t>(scene.batch.size() * width), 11),
                                 static_cast<int>(scene.batch.size()));
    const mx::array q_fast = qkv_rope_kv_write(cpu, spec, qkv, scene.batch, fast.layer(0));
    const mx::array q_slow = qkv_rope_kv_write(stock, spec, qkv, scene.batch, slow.layer(0));
    expect_close(q_fast, q_slow, 2e-5f);
    expect_close(paged_attention(cpu, spec, q_fast, scene.batch, fast.layer(0)),
                 paged_attention(stock, spec, q_slow, scene.batch, slow.layer(0)),
                 c.type == cpu::KvType::kInt8 ? 4e-2f : 2e-3f);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, OpsAttention,
                         testing::Values(AttentionCase{"smollm2", 9, 3, 64, 0, 0, true, false},
                                         AttentionCase{"qwen2", 12, 2, 128, 0, 0, false, false},
                                         AttentionCase{"gemma3", 4, 1, 256, 24, 0, false, true},
                                         AttentionCase{"softcap", 4, 4, 32, 0, 5.0f, false, false},
                                         AttentionCase{"smollm2_int8", 9, 3, 64, 0, 0, true, false,
                                                       cpu::KvType::kInt8},
                                         AttentionCase{"gemma3_int8", 4, 1, 256, 24, 0, false, true,
                                                       cpu::KvType::kInt8}),
                         [](const auto& c) { return c.param.name; });

TEST_F(Ops, CopiedBlocksHoldTheSameKeysAndValues) {
  for (const cpu::KvType type : {cpu::KvType::kF16, cpu::KvType::kInt8}) {
    KvCache cache = KvCache::for_cpu({{2, 32}, {2, 32}}, KvPlan::full(4), type).value();
    const int64_t n = cache.layer(0).cpu.block_bytes();
    // Two heads of 32 dims, 16 positions; a scale in f16 where the dims are one code each.
    EXPECT_EQ(n, 2 * 16 * (type == cpu::KvType::kInt8 ? 32 + 2 : 2 * 32));
    for (int l = 0; l < 2; ++l) {
      for (int i = 0; i < n; ++i) {
        cache.layer(l).cpu.k[i] = static_cast<uint8_t>(i * 7 + l);
        cache.layer(l).cpu.v[i] = static_cast<uint8_t>(i * 5 + l);
      }
    }
    cache.copy_block(0, 3);
    for (int l = 0; l < 2; ++l) {
      const auto& kv = cache.layer(l).cpu;
      EXPECT_EQ(0, std::memcmp(kv.k, kv.k + 3 * n, static_cast<size_t>(n)));
      EXPECT_EQ(0, std::memcmp(kv.v, kv.v + 3 * n, static_cast<size_t>(n)));
    }
  }
}

TEST_F(Ops, LayersWithAWindowHaveBlocksOfTheirOwn) {
  KvCache cache = KvCache::for_cpu({{2, 32}, {2, 32, 24}, {2, 32}}, windowed_plan(6, 3)).value();
  const int64_t n = cache.layer(0).cpu.block_bytes();
  EXPECT_EQ(cache.layer(0).group, 0);
  EXPECT_EQ(cache.layer(1).group, 1);
  // Each layer's memory ends where the next one's begins.
  EXPECT_EQ(cache.layer(1).cpu.k - cache.layer(0).cpu.k, 2 * 6 * n);
  EXPECT_EQ(cache.layer(2).cpu.k - cache.layer(1).cpu.k, 2 * 3 * n);
  for (int l = 0; l < 3; ++l) cache.layer(l).cpu.v[0] = static_cast<uint8_t>(l + 1);
  cache.copy_block(0, 2, 1);
  cache.copy_block(0, 1);
  for (int l = 0; l < 3; ++l) {
    const cpu::KvLayer& kv = cache.layer(l).cpu;
    EXPECT_EQ(kv.v[2 * n], l == 1 ? 2 : 0);
    EXPECT_EQ(kv.v[1 * n], l == 1 ? 0 : l + 1);
  }
  // Without a group of their own they lie among the others.
  EXPECT_EQ(KvCache::for_cpu({{2, 32, 24}}, KvPlan::full(4)).value().layer(0).group, 0);
}

}  // namespace
}  // namespace pippin::nn
