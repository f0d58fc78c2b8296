// moe() of the CPU's backend against the reference: routers, formats of experts, and promises that
// hold bit for bit.
#include "nn/ops/moe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "mlx/ops.h"
#include "nn/cpu/activations.h"
#include "nn/cpu/random_weights.h"
#include "nn/expect_near.h"
#include "nn/ops/gated.h"

namespace pippin::nn {
namespace {

using cpu::test::random_floats;
using namespace test;
using namespace pippin::test;

constexpr int kExperts = 8, kWidth = 256, kInner = 512, kOutputs = 80;

/// A weight of each expert as a file holds it: `rows` rows of `columns` each.
struct ExpertFile {
  TensorType type = TensorType::kF32;
  int rows = 0, columns = 0;
  std::vector<cpu::test::Weights> experts;

  ExpertFile(TensorType of, const cpu::test::FormatInfo& format, int n, int k, uint32_t seed)
      : type(of), rows(n), columns(k) {
    for (uint32_t e = 0; e < kExperts; ++e)
      experts.push_back(cpu::test::random_matrix(format, n, k, seed + e));
    const float factor = type == TensorType::kF32 ? 2.0f / std::sqrt(static_cast<float>(k)) : 1;
    for (cpu::test::Weights& each : experts) {
      if (type != TensorType::kF32) continue;
      const std::span<float> values(reinterpret_cast<float*>(each.bytes.data()),
                                    static_cast<size_t>(n) * static_cast<size_t>(k));
      for (float& value : values) value *= factor;
    }
  }

  ExpertTensors tensors() const {
    return [this](int expert) {
      const cpu::test::Weights& from = experts[static_cast<size_t>(expert)];
      store::TensorView view;
      view.type = type;
      view.shape = {rows, columns};
      view.bytes = from.bytes;
      if (is_affine(type))
        view.mlx = {.group = from.format.columns,
                    .scale_type = TensorType::kF16,
                    .scales = from.scales,
                    .biases = from.biases};
      return view;
    };
  }

  double row_norm() const {
    double largest = 0;
    for (const cpu::test::Weights& each : experts)
      largest = std::max(largest, test::row_norm(each.values(), static_cast<size_t>(columns)));
    return largest;
  }

  ExpertWeight prepared(Backend& on, const std::vector<ExpertTensors>& parts, int all_rows,
                        Stacking stacking, std::vector<float> bias) const {
    ExpertWeight weight{kExperts, all_rows, columns, nullptr, std::move(bias)};
    weight.prepared = on.prepare_experts(parts, kExperts, columns, stacking).value();
    return weight;
  }
};

struct Layer {
  ExpertFile gate, up, down;
  std::vector<float> router, router_bias, selection_bias, up_bias, down_bias;

  explicit Layer(TensorType type = TensorType::kF32,
                 const cpu::test::FormatInfo& format = cpu::test::info(TensorType::kF32))
      : gate(type, format, kInner, kWidth, 100),
        up(type, format, kInner, kWidth, 200),
        down(type, format, kOutputs, kInner, 300),
        router(random_floats(kExperts * kWidth, 1, 0.1f)),
        selection_bias(random_floats(kExperts, 2, 0.3f)) {}

  void add_biases() {
    router_bias = random_floats(kExperts, 3);
    up_bias = random_floats(kExperts * 2 * kInner, 4);
    down_bias = random_floats(kExperts * kOutputs, 5);
  }

  /// The codes of an activation's largest magnitude; 0: activations stay f32. A scale that is a
  /// power of two is up to twice what the codes need.
  int code_max() const {
    const cpu::TileFormat format = cpu::tile_format(up.type);
    if (format.is_float()) return 0;
    switch (format.activations()) {
      case cpu::ActQuantisation::kGroups:
        return cpu::kCodeMax;
      case cpu::ActQuantisation::kPowerOfTwoScales:
        return cpu::kBlockCodeMax / 2;
      case cpu::ActQuantisation::kGroupPairs:
        return cpu::kBlockCodeMax;
      case cpu::ActQuantisation::kSubBlocks16:
        return cpu::kSubBlockCodeMax;
    }
    return 0;
  }

  /// Of a sum of experts, and of the scores that weigh them.
  double tolerance(const mx::array& x, const mx::array& want, const RouterSpec& routing,
                   int codes) const {
    const double first = std::max(gate.row_norm(), up.row_norm());
    const double expert = feed_forward_tolerance(row_norm(x), std::hypot(first, amax_of(up_bias)),
                                                 down.row_norm(), kWidth, kInner, codes);
    const double scores =
        dot_tolerance(kEpsilonF32, kWidth, row_norm(x), test::row_norm(router, kWidth));
    const double used = static_cast<double>(routing.scale) * routing.used;
    return expert * std::sqrt(used) + average_tolerance(scores, used * amax_of(values_of(want)));
  }

  MoeWeights prepared(Backend& on, const RouterSpec& routing, bool biased_selection = false) const {
    MoeWeights weights;
    weights.routing = routing;
    store::TensorView view;
    view.shape = {kExperts, kWidth};
    view.bytes = std::as_bytes(std::span(router));
    const store::TensorView* parts[] = {&view};
    weights.router.rows = kExperts;
    weights.router.columns = kWidth;
    weights.router.prepared = on.prepare(parts, kWidth, Stacking::kPlain).value();
    weights.router.bias = router_bias;
    if (biased_selection) weights.selection_bias = selection_bias;
    weights.up =
        up.prepared(on, {gate.tensors(), up.tensors()}, 2 * kInner, Stacking::kGateUp, up_bias);
    weights.down = down.prepared(on, {down.tensors()}, kOutputs, Stacking::kPlain, down_bias);
    return weights;
  }
};

mx::array rows_of(const std::vector<float>& values, int rows) {
  return mx::array(values.begin(), mx::Shape{rows, static_cast<int>(values.size()) / rows},
                   mx::float32);
}

class OpsMoe : public testing::Test {
 protected:
  const std::unique_ptr<Backend> fast = make_backend({.threads = 2}).value();
  const std::unique_ptr<Backend> exact =
      make_backend({.threads = 2, .exact_activations = true}).value();
  const std::unique_ptr<Backend> reference =
      make_backend({.kind = BackendKind::kReference}).value();

  void compare(const Layer& layer, const RouterSpec& routing, bool biased_selection = false,
               void (*change)(MoeWeights&) = nullptr) {
    MoeWeights slow = layer.prepared(*reference, routing, biased_selection),
               precise = layer.prepared(*exact, routing, biased_selection),
               quick = layer.prepared(*fast, routing, biased_selection);
    for (MoeWeights* weights : {&slow, &precise, &quick})
      if (change != nullptr) change(*weights);
    for (const int rows : {1, 3, 16, 64}) {
      SCOPED_TRACE(rows);
      const mx::array x = rows_of(random_floats(static_cast<size_t>(rows) * kWidth, 7), rows);
      const mx::array want = moe(*reference, slow, x);
      const double wide = layer.tolerance(x, want, routing, 0),
                   coded = layer.tolerance(x, want, routing, layer.code_max());
      expect_near(moe(*exact, precise, x), want, 2 * wide);
      expect_near(moe(*fast, quick, x), want, wide + coded);
    }
  }
};

TEST_F(OpsMoe, FollowsTheReferenceWithEveryRouter) {
  const Layer layer;
  using enum RouterScores;
  compare(layer, {.experts = kExperts, .used = 3});
  compare(layer, {.scores = kSoftmax, .experts = kExperts, .used = 3, .normalise = true});
  compare(layer, {.scores = kSoftmax, .experts = kExperts, .used = 8, .scale = 2.5f});
  compare(layer, {.scores = kSelectedSoftmax, .experts = kExperts, .used = 3});
  compare(layer, {.scores = kSigmoid, .experts = kExperts, .used = 1});
  compare(layer, {.scores = kSparseMixer, .experts = kExperts, .used = 2, .closeness = 0.4f});
  compare(layer,
          {.scores = kSigmoid, .experts = kExperts, .used = 3, .normalise = true, .scale = 1.5f},
          true);
}

TEST_F(OpsMoe, FollowsTheReferenceWithGroups) {
  const Layer layer;
  RouterSpec routing{.scores = RouterScores::kSigmoid,
                     .experts = kExperts,
                     .used = 3,
                     .groups = 4,
                     .groups_used = 2,
                     .normalise = true};
  compare(layer, routing, true);
  compare(layer, routing);
  routing.group_by_best = true;
  compare(layer, routing, true);
  routing.groups = kExperts;  // of one expert each
  routing.groups_used = 4;
  compare(layer, routing);
}

TEST_F(OpsMoe, FollowsTheReferenceWithBiasesAndOtherGates) {
  Layer layer;
  layer.add_biases();
  const RouterSpec routing{
      .scores = RouterScores::kSelectedSoftmax, .experts = kExperts, .used = 2};
  compare(layer, routing, false, [](MoeWeights& w) { w.gate = Gate::kSwigluOai; });
  compare(layer, routing, false, [](MoeWeights& w) { w.weigh_inputs = true; });
  compare(layer, routing, false, [](MoeWeights& w) {
    w.expert_factors = std::vector<float>{1, 0.5f, -1, 0, 0.25f, 1, -0.5f, 0.75f};
  });
}

TEST_F(OpsMoe, TheRouterMayTakeAnotherInput) {
  const Layer layer;
  const RouterSpec routing{.experts = kExperts, .used = 2, .normalise = true};
  const mx::array x = rows_of(random_floats(5 * kWidth, 7), 5),
                  by = rows_of(random_floats(5 * kWidth, 8), 5);
  const MoeWeights slow = layer.prepared(*reference, routing);
  const mx::array want = moe(*reference, slow, x, by);
  EXPECT_NE(values_of(want), values_of(moe(*reference, slow, x)));
  expect_near(moe(*exact, layer.prepared(*exact, routing), x, by), want,
              2 * layer.tolerance(x, want, routing, 0));
}

// An expert without a gate: its first projection alone.
TEST_F(OpsMoe, FollowsTheReferenceWithoutAGate) {
  Layer layer;
  layer.add_biases();
  const RouterSpec routing{.experts = kExperts, .used = 2};
  const mx::array x = rows_of(random_floats(5 * kWidth, 7), 5);
  const auto plain = [&](Backend& on) {
    MoeWeights weights = layer.prepared(on, routing);
    weights.gated = false;
    weights.gate = Gate::kReluSquared;
    weights.up = layer.up.prepared(on, {layer.up.tensors()}, kInner, Stacking::kPlain,
                                   random_floats(kExperts * kInner, 6));
    return moe(on, weights, x);
  };
  const mx::array want = plain(*reference);
  // Weights in f32 take activations in f32 either way.
  const double tolerance = 2 * layer.tolerance(x, want, routing, 0);
  expect_near(plain(*exact), want, tolerance);
  expect_near(plain(*fast), want, tolerance);
}

TEST_F(OpsMoe, FollowsTheReferenceInEveryFormat) {
  const RouterSpec routing{.experts = kExperts, .used = 3, .normalise = true};
  for (const TensorType type :
       {TensorType::kF16, TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ4_K,
        TensorType::kQ5_K, TensorType::kQ6_K, TensorType::kQ8_0, TensorType::kMXFP4}) {
    SCOPED_TRACE(type_name(type));
    compare(Layer(type, cpu::test::info(type)), routing);
  }
  const cpu::test::FormatInfo affine{TensorType::kAffine4, "Affine4", 64, 0, 4, TensorType::kF16};
  compare(Layer(affine.type, affine), routing);
}

// The router's rows are the same, so all experts have the same logits.
TEST_F(OpsMoe, TakesTheLowerIndexOfEqualScores) {
  Layer layer;
  for (size_t i = kWidth; i < layer.router.size(); ++i) layer.router[i] = layer.router[i - kWidth];
  const mx::array x = rows_of(random_floats(3 * kWidth, 7), 3);
  for (const int groups : {1, 4}) {
    const RouterSpec routing{
        .experts = kExperts, .used = 2, .groups = groups, .groups_used = 1, .normalise = true};
    // Only the first two experts give anything.
    Layer only = layer;
    for (size_t e = 2; e < kExperts; ++e)
      std::ranges::fill(only.down.experts[e].bytes, std::byte{0});
    for (Backend* on : {exact.get(), reference.get()})
      EXPECT_EQ(values_of(moe(*on, layer.prepared(*on, routing), x)),
                values_of(moe(*on, only.prepared(*on, routing), x)));
  }
}

// With one expert a token, whose weight is 1.
TEST_F(OpsMoe, GivesOnCpusWhatTheExpertsLayerGivesBitForBit) {
  Layer layer(TensorType::kQ4_K, cpu::test::info(TensorType::kQ4_K));
  const mx::array x = rows_of(random_floats(70 * kWidth, 8), 70);
  for (const size_t expert : {0, 5}) {
    layer.router_bias.assign(kExperts, 0);
    layer.router_bias[expert] = 1000;
    const store::TensorView gate = layer.gate.tensors()(static_cast<int>(expert)),
                            up = layer.up.tensors()(static_cast<int>(expert)),
                            down = layer.down.tensors()(static_cast<int>(expert));
    const store::TensorView *first[] = {&gate, &up}, *second[] = {&down};
    const LinearWeight gate_up{
        2 * kInner, kWidth, fast->prepare(first, kWidth, Stacking::kGateUp).value(), {}},
        last{kOutputs, kInner, fast->prepare(second, kInner, Stacking::kPlain).value(), {}};
    EXPECT_EQ(values_of(moe(*fast, layer.prepared(*fast, {.experts = kExperts, .used = 1}), x)),
              values_of(feed_forward(*fast, Gate::kSilu, gate_up, last, x)));
  }
}

// A row's result depends on nothing but itself.
TEST_F(OpsMoe, RowsDoNotDependOnTheirNeighboursNorOnThreads) {
  const auto alone = make_backend({.threads = 1}).value();
  const RouterSpec routing{
      .scores = RouterScores::kSigmoid, .experts = kExperts, .used = 3, .normalise = true};
  for (const TensorType type :
       {TensorType::kF16, TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ4_K,
        TensorType::kQ5_K, TensorType::kQ6_K, TensorType::kQ8_0, TensorType::kMXFP4}) {
    SCOPED_TRACE(type_name(type));
    const Layer layer(type, cpu::test::info(type));
    const MoeWeights many = layer.prepared(*fast, routing, true),
                     single = layer.prepared(*alone, routing, true);
    constexpr int kRows = 70;
    const std::vector<float> x = random_floats(kRows * kWidth, 8);
    const std::vector<float> all = values_of(moe(*fast, many, rows_of(x, kRows)));
    std::vector<float> joined;
    for (int at = 0, rows = -2; at < kRows; at += rows) {
      rows = std::min(rows + 3, kRows - at);
      const std::vector<float> part(x.begin() + at * kWidth, x.begin() + (at + rows) * kWidth);
      const std::vector<float> y = values_of(moe(*alone, single, rows_of(part, rows)));
      joined.insert(joined.end(), y.begin(), y.end());
    }
    EXPECT_EQ(all, joined);
  }
}

}  // namespace
}  // namespace pippin::nn
