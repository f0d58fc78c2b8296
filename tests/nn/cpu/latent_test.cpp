// Every instruction set gives the portable path's bits.
#include "nn/cpu/latent.h"

#include <gtest/gtest.h>

#include <vector>

#include "nn/cpu/kernels.h"
#include "nn/cpu/random_weights.h"

namespace pippin::nn::cpu {
namespace {

using namespace test;

constexpr int kTokens = 40, kHeads = 6, kRank = 80, kTurned = 16, kPlain = 32, kValue = 48;
constexpr int kTop = 12, kIndexHeads = 7, kIndexDim = 32;
constexpr int kWidth = kRank + kTurned, kBlockValues = 16 * (kWidth + kIndexDim);

struct Outputs {
  std::vector<uint16_t> cache = std::vector<uint16_t>(4 * kBlockValues);
  std::vector<int32_t> selected = std::vector<int32_t>(kTokens * kTop);
  std::vector<float> out = std::vector<float>(kTokens * kHeads * kValue);
  bool operator==(const Outputs&) const = default;
};

Outputs attend(Isa isa) {
  ThreadPool pool(2);
  Outputs made;
  const std::vector<int32_t> blocks{2, 0, 3};
  const std::vector<AttentionRow> rows{{0, kTokens, 0, blocks.data()}};
  std::vector<int32_t> positions, slots;
  for (int p = 0; p < kTokens; ++p) {
    positions.push_back(p);
    slots.push_back(blocks[static_cast<size_t>(p / 16)] * 16 + p % 16);
  }
  const std::vector<float> inv_freq{1, 0.5f, 0.2f, 0.1f, 0.05f, 0.02f, 0.01f, 0.005f};
  const auto q = random_floats(kTokens * kIndexHeads * kIndexDim, 1),
             k = random_floats(kTokens * kIndexDim, 2),
             weights = random_floats(kTokens * kIndexHeads, 3);
  IndexArgs index{.q = q.data(),
                  .k = k.data(),
                  .weights = weights.data(),
                  .heads = kIndexHeads,
                  .dim = kIndexDim,
                  .top = kTop,
                  .rope = {false, kTurned, inv_freq.data()},
                  .positions = positions.data(),
                  .slots = slots.data(),
                  .rows = rows,
                  .cache = made.cache.data() + 16 * kWidth,
                  .block_values = kBlockValues};
  EXPECT_TRUE(needs_selection(index));
  select_positions(kernels(isa), index, pool, made.selected.data());
  const auto queries = random_floats(kTokens * kHeads * (kPlain + kTurned), 4),
             kept = random_floats(kTokens * kWidth, 5),
             key_up = random_floats(kHeads * kPlain * kRank, 6),
             value_up = random_floats(kHeads * kRank * kValue, 7);
  LatentArgs args{.q = queries.data(),
                  .kv = kept.data(),
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
                  .cache = made.cache.data(),
                  .block_values = kBlockValues,
                  .selected = made.selected.data(),
                  .top = kTop,
                  .out = made.out.data()};
  latent_attention(kernels(isa), args, pool);
  return made;
}

TEST(LatentKernels, TheChoiceAndWhatItGivesAreTheSameOnEveryPath) {
  const Outputs want = attend(Isa::kPortable);
  for (const float v : want.out) ASSERT_EQ(v, v) << "no numbers";
  for (const Isa isa : available_isas()) EXPECT_TRUE(attend(isa) == want) << isa_name(isa);
}

}  // namespace
}  // namespace pippin::nn::cpu
