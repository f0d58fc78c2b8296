// The CUDA kernels against the reference backend in f32, on the same device. Skipped without one.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

#include "mlx/ops.h"
#include "mlx/transforms.h"
#include "nn/attention_scene.h"
#include "nn/cuda/cuda_backend.h"
#include "nn/cuda/step.h"
#include "nn/expect_near.h"
#include "nn/ops/attention.h"
#include "nn/ops/gated.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::nn {
namespace {

using namespace test;
using namespace pippin::test;

mx::array random_array(mx::Shape shape, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  size_t n = 1;
  for (int d : shape) n *= static_cast<size_t>(d);
  std::vector<float> values(n);
  for (float& v : values) v = normal(rng);
  // Through bf16, so that both sides read the same numbers.
  mx::array a =
      mx::astype(mx::astype(mx::array(values.begin(), std::move(shape), mx::float32), mx::bfloat16),
                 mx::float32);
  a.eval();
  return a;
}

std::vector<float> random_values(int n, uint32_t seed) {
  const mx::array a = random_array({n}, seed);
  return std::vector<float>(a.data<float>(), a.data<float>() + n);
}

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    auto made = make_backend({.kind = BackendKind::kCuda});
    if (!made.ok()) GTEST_SKIP() << made.error().message;
    cuda = std::move(made).value();
    reference = make_backend({.kind = BackendKind::kReference}).value();
  }
  // The activation between two products that change nothing.
  static mx::array gated(Backend& on, Gate gate, const mx::array& x) {
    const auto identity = [&](int n) {
      const mx::array eye = mx::astype(mx::eye(n), x.dtype());
      LinearWeight weight{.rows = n, .columns = n};
      weight.prepared = std::make_shared<DenseWeight>(eye);
      return weight;
    };
    return feed_forward(on, gate, identity(x.shape(1)), identity(x.shape(1) / 2), x);
  }

  // The GPU's results are in bf16, and may have rows that pad the step.
  static void expect_near_bf16(const mx::array& got, const mx::array& want, double tolerance) {
    const double stored = rounding_tolerance(kEpsilonBf16, 1, amax_of(values_of(want)));
    expect_near(mx::slice(got, mx::Shape(got.ndim(), 0), want.shape()), want, tolerance + stored);
  }

  std::unique_ptr<Backend> cuda, reference;
};

mx::array narrow(const mx::array& a) { return mx::astype(a, mx::bfloat16); }

TEST_F(Cuda, AddRmsNorm) {
  // In one go, in several, with a rest, and not by our kernel.
  for (int width : {1536, 576, 8192, 12296, 1001}) {
    SCOPED_TRACE(width);
    const NormWeight weight{random_values(width, 1), 1e-6f};
    const mx::array x = random_array({5, width}, 2), delta = random_array({5, width}, 3);
    mx::array a = narrow(x), b = x;
    const mx::array got = add_norm(*cuda, weight, a, narrow(delta)),
                    want = add_norm(*reference, weight, b, delta);
    // The sum is rounded before it is normed; so may the normed value be before it is weighted.
    expect_near_bf16(got, want, rounding_tolerance(kEpsilonBf16, 2, amax_of(values_of(want))));
    expect_near_bf16(a, b, 0);
  }
}

TEST_F(Cuda, GatedActivations) {
  for (int width : {1000, 4104, 1001}) {
    const mx::array x = random_array({3, 2 * width}, 4);
    for (Gate gate : {Gate::kSilu, Gate::kGeluTanh}) {
      const mx::array want = gated(*reference, gate, x);
      // Between products: rounded as the first one's output, as the gate's, and once inside.
      expect_near_bf16(gated(*cuda, gate, narrow(x)), want,
                       rounding_tolerance(kEpsilonBf16, 3, amax_of(values_of(want))));
    }
  }
}

TEST_F(Cuda, LinearForFewRowsAndForMany) {
  // Widths that are no multiple of a warp's reads, outputs that are none of a block's.
  for (const auto& [rows, outputs, width] : std::vector<std::array<int, 3>>{
           {1, 4096, 4096}, {2, 101, 72}, {3, 64, 1000}, {4, 301, 2056}, {5, 301, 2056}}) {
    const mx::array x = random_array({rows, width}, 5), w = random_array({outputs, width}, 6);
    LinearWeight narrowed{.rows = outputs, .columns = width}, wide = narrowed;
    narrowed.prepared = std::make_shared<DenseWeight>(narrow(w));
    wide.prepared = std::make_shared<DenseWeight>(w);
    narrowed.bias = random_values(outputs, 7);
    wide.bias = random_values(outputs, 7);
    SCOPED_TRACE(rows);
    const mx::array want = linear(*reference, wide, x);
    // The bias is added to a rounded sum.
    expect_near_bf16(linear(*cuda, narrowed, narrow(x)), want,
                     2 * dot_tolerance(kEpsilonF32, width, row_norm(x), row_norm(w)) +
                         rounding_tolerance(kEpsilonBf16, 1, amax_of(values_of(want))));
  }
}

TEST_F(Cuda, IntegersTravelBothWays) {
  cuda::Transfer transfer;
  for (int count : {1, 64, 5000}) {
    std::vector<int32_t> values;
    for (int i = 0; i < count; ++i) values.push_back(3 * i - 7);
    const mx::array there = transfer.to_device(values);
    // The next ones may not overwrite those under way.
    const mx::array other = transfer.to_device(std::vector<int32_t>(values.size(), 1));
    cuda::PendingRead sum = transfer.to_host(mx::add(there, other));
    cuda::PendingRead same = transfer.to_host(there);
    mx::async_eval({sum.sent(), same.sent()});
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(sum.read()[i], 3 * i - 6);
      ASSERT_EQ(same.read()[i], 3 * i - 7);
    }
  }
}

class CudaAttention : public Cuda, public testing::WithParamInterface<AttentionCase> {};

TEST_P(CudaAttention, FollowsTheReferenceOverScatteredBlocks) {
  const AttentionCase c = GetParam();
  const AttentionSpec spec = attention_spec(c, random_values(c.dim, 9), random_values(c.dim, 10));
  KvPlan blocks = KvPlan::full(64);
  if (c.window > 0) blocks.add({KvKind::kSliding}, 64);
  const std::vector<KvGeometry> layers = {{c.kv_heads, c.dim, c.window}};
  const auto fast = cuda->make_kv_cache(layers, blocks, KvType::kF16).value();
  const auto slow = reference->make_kv_cache(layers, blocks, KvType::kF16).value();
  // Two rows with tables that run backwards; the first reaches into a second split of the KV.
  std::vector<int32_t> first, second;
  for (int i = 0; i < 20; ++i) first.push_back(40 - i), second.push_back(20 - i);
  for (const auto& [a_start, a_tokens, b_start, b_tokens] :
       std::vector<std::array<int, 4>>{{0, 270, 0, 33}, {270, 20, 33, 1}, {290, 1, 34, 1}}) {
    Scene scene(c.window, first, second);
    scene.add(scene.first, a_start, a_tokens);
    scene.add(scene.second, b_start, b_tokens);
    const StepBatch& batch = scene.batch;
    const int tokens = static_cast<int>(batch.size());
    StepBatch padded = batch;
    cuda->prepare_step(padded, blocks);
    const int width = (c.heads + 2 * c.kv_heads) * c.dim;
    const mx::array qkv = random_array({static_cast<int>(padded.size()), width}, 11);
    const mx::array real = mx::slice(qkv, mx::Shape{0, 0}, mx::Shape{tokens, width});
    const mx::array q_fast = qkv_rope_kv_write(*cuda, spec, narrow(qkv), padded, fast->layer(0));
    const mx::array q_slow = qkv_rope_kv_write(*reference, spec, real, batch, slow->layer(0));
    expect_near_bf16(q_fast, q_slow, rope_tolerance(spec, row_norm(real)));
    expect_near_bf16(paged_attention(*cuda, spec, q_fast, padded, fast->layer(0)),
                     paged_attention(*reference, spec, q_slow, batch, slow->layer(0)),
                     attention_tolerance(spec, kEpsilonBf16, amax_of(values_of(real))));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaAttention,
                         testing::Values(AttentionCase{"smollm2", 9, 3, 64, 0, 0, true, false},
                                         AttentionCase{"llama8b", 32, 8, 128, 0, 0, true, false},
                                         AttentionCase{"qwen2", 12, 2, 128, 0, 0, false, false},
                                         AttentionCase{"gemma3", 4, 1, 256, 24, 0, false, true},
                                         AttentionCase{"softcap", 4, 4, 64, 0, 5.0f, false, false}),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace pippin::nn
