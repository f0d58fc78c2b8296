// Attention over compressed keys and values, and the choice of positions that it covers: the CPU's
// against the reference, and against itself in other steps.
#include "nn/ops/latent_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "mlx/ops.h"
#include "nn/attention_scene.h"
#include "nn/expect_near.h"
#include "random_floats.h"

namespace pippin::nn {
namespace {

using namespace test;
using namespace pippin::test;

constexpr int kTop = 8, kIndexHeads = 5, kIndexDim = 32;

// A part of a sequence in a step.
struct Part {
  int sequence = 0, start = 0, tokens = 0;
};

struct Result {
  std::optional<mx::array> selected;
  std::vector<float> out;

  std::vector<int32_t> positions(int token) const {
    mx::array host = mx::contiguous(*selected);
    host.eval();
    const int32_t* row = host.data<int32_t>() + token * kTop;
    return {row, row + kTop};
  }
  // The outputs of tokens from `first` on.
  std::vector<float> rows(int first, int count) const {
    const auto width = static_cast<ptrdiff_t>(6 * 32);
    return {out.begin() + first * width, out.begin() + (first + count) * width};
  }
};

// One layer on one backend. Inputs are a function of sequence and position, so that each cut of a
// sequence sees the same.
class Layer {
 public:
  /// `whole`: inputs are whole numbers and nothing is turned, so that scores are exact, and often
  /// equal.
  explicit Layer(const BackendOptions& options, bool whole = false) : whole_(whole) {
    on_ = make_backend(options).value();
    cache_ =
        on_->make_kv_cache({{.latent = 48, .index_key = kIndexDim}}, KvPlan::full(8), KvType::kF16)
            .value();
    std::vector<float> inv_freq(8);
    for (size_t i = 0; i < inv_freq.size(); ++i)
      inv_freq[i] = whole ? 0 : std::pow(100.0f, -static_cast<float>(i) / 8);
    spec_ = {.heads = 6, .rank = 32, .rope = 16, .plain = 16, .value = 32, .scale = 0.18f};
    spec_.inv_freq = inv_freq;
    spec_.key_up = random_floats(6 * 16 * 32, 1, 0.2f);
    spec_.value_up = random_floats(6 * 32 * 32, 2, 0.2f);
    index_ = {.heads = kIndexHeads, .dim = kIndexDim, .rope = 16, .top = kTop};
    index_.inv_freq = inv_freq;
  }

  Result run(const std::vector<Part>& parts, bool dense = false) {
    Scene scene(0, tables[0], tables[1]);
    for (const Part& part : parts)
      scene.add(part.sequence == 0 ? scene.first : scene.second, part.start, part.tokens);
    Result result;
    if (!dense)
      result.selected = select_positions(*on_, index_, input(parts, kIndexHeads * kIndexDim, 1),
                                         input(parts, kIndexDim, 2), input(parts, kIndexHeads, 3),
                                         scene.batch, cache_->layer(0));
    result.out =
        values_of(latent_attention(*on_, spec_, input(parts, 6 * 32, 4), input(parts, 48, 5),
                                   result.selected, scene.batch, cache_->layer(0)));
    return result;
  }
  void copy_block(int from, int to) { cache_->copy_block(from, to); }

  std::vector<int32_t> tables[2] = {{5, 2, 7, 0}, {6, 1, 3}};
  float query_factor = 1;  // of the indexer's queries

 private:
  mx::array input(const std::vector<Part>& parts, int width, int which) const {
    std::vector<float> values;
    for (const Part& part : parts) {
      for (int p = part.start; p < part.start + part.tokens; ++p) {
        const auto seed = static_cast<uint32_t>(which * 10000 + part.sequence * 1000 + p);
        for (const float v : random_floats(static_cast<size_t>(width), seed, whole_ ? 1.5f : 1))
          values.push_back((whole_ ? std::round(v) : v) * (which == 1 ? query_factor : 1));
      }
    }
    return mx::array(values.begin(), mx::Shape{static_cast<int>(values.size()) / width, width},
                     mx::float32);
  }

  const bool whole_;
  std::unique_ptr<Backend> on_;
  std::unique_ptr<KvCache> cache_;
  LatentSpec spec_;
  IndexSpec index_;
};

const BackendOptions kCpu{.threads = 2}, kReference{.kind = BackendKind::kReference};

std::vector<int32_t> first_positions() {
  std::vector<int32_t> first(kTop);
  std::iota(first.begin(), first.end(), 0);
  return first;
}

TEST(LatentAttention, FollowsTheReferenceAndChoosesTheSamePositions) {
  Layer fast(kCpu, true), slow(kReference, true);
  int others = 0;
  for (const std::vector<Part>& step : std::vector<std::vector<Part>>{
           {{0, 0, 5}, {1, 0, 8}}, {{0, 5, 32}, {1, 8, 1}}, {{0, 37, 1}, {1, 9, 3}}}) {
    const Result got = fast.run(step), want = slow.run(step);
    ASSERT_EQ(got.selected.has_value(), want.selected.has_value());
    const auto width = static_cast<float>(amax_of(want.out));
    ASSERT_EQ(got.out.size(), want.out.size());
    for (size_t i = 0; i < got.out.size(); ++i)
      ASSERT_NEAR(got.out[i], want.out[i], 1e-4f * width) << i;
    if (!got.selected) continue;
    int token = 0;
    for (const Part& part : step) {
      for (int p = part.start; p < part.start + part.tokens; ++p, ++token) {
        const std::vector<int32_t> chosen = got.positions(token);
        ASSERT_EQ(chosen, want.positions(token)) << "position " << p;
        ASSERT_TRUE(p < kTop || chosen.back() <= p);
        if (chosen != first_positions()) ++others;
      }
    }
  }
  EXPECT_GT(others, 20);
}

TEST(LatentAttention, NoCutNoNeighbourAndNoThreadChangesABit) {
  Layer whole(kCpu), cut({.threads = 1});
  const Result all = whole.run({{0, 0, 40}});
  std::vector<float> joined;
  int at = 0;
  for (const std::vector<Part>& step : std::vector<std::vector<Part>>{{{0, 0, 7}, {1, 0, 20}},
                                                                      {{0, 7, 20}},
                                                                      {{0, 27, 1}, {1, 20, 1}},
                                                                      {{0, 28, 12}, {1, 21, 3}}}) {
    const Result result = cut.run(step);
    const std::vector<float> rows = result.rows(0, step[0].tokens);
    joined.insert(joined.end(), rows.begin(), rows.end());
    if (result.selected) {
      for (int token = 0; token < step[0].tokens; ++token)
        if (at + token >= kTop) {
          EXPECT_EQ(result.positions(token), all.positions(at + token));
        }
    }
    at += step[0].tokens;
  }
  EXPECT_EQ(all.out, joined);
}

TEST(LatentAttention, NotMorePositionsThanItCoversAreAllCovered) {
  for (const BackendOptions& options : {kCpu, kReference}) {
    Layer sparse(options), dense(options);
    const Result alone = dense.run({{1, 0, kTop}}, true);
    const Result beside = sparse.run({{0, 0, 20}, {1, 0, kTop}});
    ASSERT_TRUE(beside.selected);
    if (options.kind == BackendKind::kCpu) {
      EXPECT_EQ(beside.rows(20, kTop), alone.out);
    }
    const Result again = sparse.run({{1, 0, kTop}});
    EXPECT_FALSE(again.selected);
    EXPECT_EQ(again.out, alone.out);
    // One position more, and one of them is left out.
    EXPECT_NE(sparse.run({{1, kTop, 1}}).out, dense.run({{1, kTop, 1}}, true).out);
  }
}

TEST(LatentAttention, ACopiedBlockGoesOnAlike) {
  for (const BackendOptions& options : {kCpu, kReference}) {
    Layer layer(options);
    layer.run({{0, 0, 30}});
    const Result before = layer.run({{0, 30, 2}});
    layer.copy_block(5, 4);
    layer.tables[0][0] = 4;
    layer.tables[1][0] = 5;
    layer.run({{1, 0, 20}});  // over the block that was copied
    EXPECT_EQ(layer.run({{0, 30, 2}}).out, before.out);
  }
}

TEST(LatentAttention, ScoresThatAreNoNumbersChooseTheFirstPositions) {
  for (const BackendOptions& options : {kCpu, kReference}) {
    Layer layer(options);
    layer.query_factor = std::numeric_limits<float>::quiet_NaN();
    const Result result = layer.run({{0, 0, 20}});
    ASSERT_TRUE(result.selected);
    EXPECT_EQ(result.positions(19), first_positions());
  }
}

}  // namespace
}  // namespace pippin::nn
