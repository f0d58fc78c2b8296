#include "service/models/memory_plan.h"

#include <gtest/gtest.h>

#include <limits>
#include <utility>

namespace pippin::service {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

KvGroupSpec group(KvKind kind, int64_t bytes, int window = 0) {
  KvGroupSpec group{kind};
  group.bytes = bytes;
  group.window = window;
  return group;
}

// SmolLM2 135M: 30 layers, 3 kv heads of 64, f16.
MemoryNeeds small_model() {
  MemoryNeeds needs;
  needs.weights_bytes = 90 * kMiB;
  needs.kv = {group(KvKind::kFull, 16 * 30 * 3 * 64 * 2 * 2)};
  needs.context_tokens_max = 8192;
  needs.embedding = 576;
  needs.feed_forward = 1536;
  needs.vocab = 49152;
  return needs;
}

// Gemma 3 270M: 18 layers of one kv head of 256, f16; 15 of them see 512 positions.
MemoryNeeds windowed_model() {
  MemoryNeeds needs;
  needs.weights_bytes = 250 * kMiB;
  needs.kv = {group(KvKind::kFull, 3 * 16 * 256 * 2 * 2),
              group(KvKind::kSliding, 15 * 16 * 256 * 2 * 2, 512)};
  needs.context_tokens_max = 32768;
  needs.embedding = 640;
  needs.feed_forward = 2048;
  needs.vocab = 262144;
  return needs;
}

// The same, with all layers seeing everything.
MemoryNeeds without_windows(MemoryNeeds needs) {
  needs.kv[0].bytes += needs.kv[1].bytes;
  needs.kv.pop_back();
  return needs;
}

void expect_consistent(const MemoryPlan& plan) {
  EXPECT_LE(plan.weights_bytes + plan.scratch_bytes + plan.kv_bytes, plan.budget_bytes);
  EXPECT_EQ(plan.kv_bytes, plan.kv.bytes());
  EXPECT_GE(plan.positions(), plan.context_tokens_max)
      << "one request of the whole context must fit";
  EXPECT_LE(plan.context_tokens_max, plan.context_tokens_model);
}

TEST(MemoryPlan, ALargeMachineHoldsTheWholeContextAndMore) {
  const auto plan = plan_memory(small_model(), {}, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok());
  expect_consistent(*plan);
  EXPECT_EQ(plan->context_tokens_max, 8192);
  EXPECT_EQ(plan->positions(), 16 * 2048);
  EXPECT_EQ(plan->budget_bytes, 12 * kGiB);
}

TEST(MemoryPlan, AGpuIsNotSharedAndKeepsMoreForItself) {
  const Machine gpu{
      .memory_bytes_total = 80 * kGiB, .memory_bytes_available = 80 * kGiB, .shared = false};
  const MemoryPlan plan = plan_memory(small_model(), {}, gpu).value();
  expect_consistent(plan);
  EXPECT_EQ(plan.budget_bytes, 72 * kGiB);
  EXPECT_GT(plan.scratch_bytes, 3 * kGiB);
}

TEST(MemoryPlan, TheVocabularyOfGrammarsIsCounted) {
  MemoryNeeds large = small_model();
  large.vocab = 151936;
  const Machine machine{16 * kGiB, 14 * kGiB};
  MemoryOptions options;
  options.rows_max = 1;
  const uint64_t more = plan_memory(large, options, machine)->scratch_bytes -
                        plan_memory(small_model(), options, machine)->scratch_bytes;
  const uint64_t tokens = 151936 - 49152, logits = tokens * 2 * sizeof(float);
  EXPECT_GE(more - logits, tokens * 500) << "what was measured";
  EXPECT_LE(more - logits, tokens * 1000);
}

TEST(MemoryPlan, LittleMemoryShortensTheContext) {
  MemoryOptions options;
  options.rows_max = 8;
  options.memory_bytes_max = 260 * kMiB;
  const auto plan = plan_memory(small_model(), options, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  expect_consistent(*plan);
  EXPECT_LT(plan->context_tokens_max, 8192);
  EXPECT_GE(plan->context_tokens_max, 256);
  // Not one more block would fit.
  EXPECT_GT(
      plan->weights_bytes + plan->scratch_bytes + plan->kv_bytes + plan->block_bytes(KvKind::kFull),
      plan->budget_bytes);
}

TEST(MemoryPlan, AContextBeyondTheModelsOwnIsRefused) {
  MemoryOptions options;
  options.context_tokens = 8193;
  const Machine machine{64 * kGiB, 64 * kGiB};
  const Result<MemoryPlan> plan = plan_memory(small_model(), options, machine);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, Code::kInvalidArgument);
  EXPECT_NE(plan.error().message.find("--rope-scale"), std::string::npos) << plan.error().message;
  options.context_tokens = 8192;
  EXPECT_TRUE(plan_memory(small_model(), options, machine).ok());
}

TEST(MemoryPlan, AnAskedContextIsKeptOrRefused) {
  MemoryOptions options;
  options.context_tokens = 1000;
  const auto plan = plan_memory(small_model(), options, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok());
  expect_consistent(*plan);
  EXPECT_EQ(plan->context_tokens_max, 1000);

  options.context_tokens = 8192;
  options.memory_bytes_max = 260 * kMiB;
  const auto refused = plan_memory(small_model(), options, {16 * kGiB, 14 * kGiB});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_NE(refused.error().message.find("8192"), std::string::npos) << refused.error().message;
}

TEST(MemoryPlan, AnAskedKvCacheIsKeptOrRefused) {
  MemoryOptions options;
  options.kv_bytes = 100 * kMiB;
  const auto plan = plan_memory(small_model(), options, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  expect_consistent(*plan);
  EXPECT_LE(plan->kv_bytes, options.kv_bytes);
  EXPECT_GT(plan->kv_bytes + plan->block_bytes(KvKind::kFull), options.kv_bytes);
  EXPECT_LT(plan->context_tokens_max, 8192) << "the pool holds no whole context";

  options.kv_bytes = 4 * kGiB;  // more than would be taken without being asked
  const auto large = plan_memory(small_model(), options, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(large.ok());
  EXPECT_GT(large->kv_bytes, 4 * kGiB - large->block_bytes(KvKind::kFull));
  EXPECT_EQ(large->context_tokens_max, 8192);

  for (const auto& [kv_bytes, context] :
       {std::pair<uint64_t, int>{13 * kGiB, 0}, {1 * kMiB, 0}, {100 * kMiB, 8192}}) {
    options.kv_bytes = kv_bytes;
    options.context_tokens = context;
    const auto refused = plan_memory(small_model(), options, {16 * kGiB, 14 * kGiB});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
    EXPECT_NE(refused.error().message.find("--kv-memory is " + bytes_text(kv_bytes)),
              std::string::npos)
        << refused.error().message;
  }
}

TEST(MemoryPlan, LayersWithAWindowTakeLess) {
  const MemoryNeeds needs = windowed_model();
  const auto plan = plan_memory(needs, {}, {16 * kGiB, 14 * kGiB}),
             whole = plan_memory(without_windows(needs), {}, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok() && whole.ok());
  expect_consistent(*plan);
  EXPECT_EQ(whole->kv.blocks(KvKind::kSliding), 0);
  EXPECT_EQ(plan->kv.blocks(), whole->kv.blocks());
  EXPECT_EQ(plan->context_tokens_max, 32768);
  EXPECT_EQ(plan->kv.group(KvKind::kSliding)->window, 512);
  // 32 conversations of 2048 positions hold a window each; and there is a step of 512.
  EXPECT_EQ(plan->kv.blocks(KvKind::kSliding), 32 * 33 + 32);
  EXPECT_LT(plan->kv_bytes, whole->kv_bytes * 2 / 5);
}

TEST(MemoryPlan, LayersOfChunksAreCounted) {
  MemoryNeeds needs = small_model();
  needs.kv.push_back(group(KvKind::kChunked, 3 * needs.kv[0].bytes, 8192));
  MemoryOptions options;
  options.memory_bytes_max = 400 * kMiB;
  const Result<MemoryPlan> plan = plan_memory(needs, options, {});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  expect_consistent(*plan);
  EXPECT_EQ(plan->block_bytes(KvKind::kFull), 4 * static_cast<uint64_t>(needs.kv[0].bytes));
}

TEST(MemoryPlan, ABudgetHoldsMoreContextWithWindows) {
  const MemoryNeeds needs = windowed_model();
  MemoryOptions options;
  options.kv_bytes = 200 * kMiB;
  const auto plan = plan_memory(needs, options, {16 * kGiB, 14 * kGiB}),
             whole = plan_memory(without_windows(needs), options, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok() && whole.ok());
  expect_consistent(*plan);
  EXPECT_GT(plan->context_tokens_max, 2 * whole->context_tokens_max);
  // Not one more block and the windows that come with it would fit.
  EXPECT_GT(
      plan->kv_bytes + plan->block_bytes(KvKind::kFull) + 33 * plan->block_bytes(KvKind::kSliding),
      options.kv_bytes);
}

TEST(MemoryPlan, APoolForWindowsMustBeWorthIt) {
  MemoryNeeds needs = windowed_model();
  needs.context_tokens_max = 512;
  MemoryOptions options;
  options.kv_bytes = 8 * kMiB;  // less than a window and a step
  const auto small = plan_memory(needs, options, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(small.ok()) << small.error().message;
  expect_consistent(*small);
  EXPECT_EQ(small->kv.blocks(KvKind::kSliding), 0);
  EXPECT_EQ(small->block_bytes(KvKind::kFull), 18u * 16 * 256 * 2 * 2);

  // Every layer with a window, as in Mistral 7B.
  needs = windowed_model();
  needs.kv[1].bytes += std::exchange(needs.kv[0].bytes, 0);
  needs.kv[1].window = 4096;
  const auto all = plan_memory(needs, {}, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(all.ok());
  expect_consistent(*all);
  EXPECT_GT(all->kv.blocks(KvKind::kSliding), 4 * 256);
  EXPECT_LT(all->kv.blocks(KvKind::kSliding), all->kv.blocks() / 3);

  needs.kv[1].window = 1 << 24;  // wider than any context
  const auto wide = plan_memory(needs, {}, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(wide.ok());
  expect_consistent(*wide);
  EXPECT_EQ(wide->kv.blocks(KvKind::kSliding), 0);
}

TEST(MemoryPlan, WeightsThatDoNotFitAreRefused) {
  MemoryNeeds needs = small_model();
  needs.weights_bytes = 20 * kGiB;
  const auto plan = plan_memory(needs, {}, {16 * kGiB, 14 * kGiB});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, Code::kOutOfMemory);
}

TEST(MemoryPlan, AbsurdNeedsOverflowNothing) {
  MemoryNeeds needs = small_model();
  needs.weights_bytes = ~uint64_t{0};
  EXPECT_FALSE(plan_memory(needs, {}, {16 * kGiB, 14 * kGiB}).ok());
  needs = small_model();
  needs.kv[0].bytes = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(plan_memory(needs, {}, {16 * kGiB, 14 * kGiB}).ok());
  needs = small_model();
  needs.kv[0].bytes = 1;
  needs.context_tokens_max = 2'000'000'000;
  const auto plan = plan_memory(needs, {}, {16 * kGiB, 14 * kGiB});
  if (plan.ok()) expect_consistent(*plan);
  needs.kv.push_back(group(KvKind::kSliding, std::numeric_limits<int64_t>::max(), 1));
  EXPECT_FALSE(plan_memory(needs, {}, {16 * kGiB, 14 * kGiB}).ok());
  needs.embedding = needs.feed_forward = needs.vocab = 1 << 24;
  EXPECT_FALSE(plan_memory(needs, {}, {16 * kGiB, 14 * kGiB}).ok());
}

TEST(MemoryPlan, TheTextNamesEveryTerm) {
  MemoryNeeds needs = small_model();
  needs.kv_type = "int8";
  const auto plan = plan_memory(needs, {}, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok());
  const std::string text = plan->to_text();
  for (const char* part : {"weights", "90.0 MiB", "kv", "scratch", "budget", "12.0 GiB",
                           "context 8192", "tokens as int8 in"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(MemoryPlan, TheTextNamesTheWindows) {
  const auto plan = plan_memory(windowed_model(), {}, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok());
  EXPECT_NE(plan->to_text().find("1088 for windows of 512, each 240.0 KiB"), std::string::npos)
      << plan->to_text();
}

TEST(MemoryPlan, ThisMachineHasMemory) {
  const Machine machine = this_machine();
  EXPECT_GT(machine.memory_bytes_total, 64 * kMiB);
  EXPECT_LE(machine.memory_bytes_available, machine.memory_bytes_total);
}

// Qwen3.5 0.8B: 6 layers of 2 kv heads of 256, and 18 with states of 19 MiB together.
MemoryNeeds hybrid_model() {
  MemoryNeeds needs = small_model();
  needs.weights_bytes = 500 * kMiB;
  needs.kv = {group(KvKind::kFull, 6 * 16 * 2 * 256 * 2 * 2), group(KvKind::kState, 19 * kMiB)};
  needs.context_tokens_max = 262144;
  return needs;
}

TEST(MemoryPlan, EachRowHasAStateAndSomeAreKept) {
  const MemoryPlan plan = plan_memory(hybrid_model(), {}, {32 * kGiB, 30 * kGiB}).value();
  expect_consistent(plan);
  ASSERT_EQ(plan.kv.groups.size(), 2u);
  EXPECT_EQ(plan.kv.groups[0].kind, KvKind::kFull);
  EXPECT_EQ(plan.kv.blocks(KvKind::kState), 64 + 16);
  EXPECT_EQ(plan.context_tokens_max, 262144);
  EXPECT_NE(plan.to_text().find("80 states"), std::string::npos) << plan.to_text();
}

TEST(MemoryPlan, StatesTakeAQuarterAtMostAndFourAtLeast) {
  const Machine machine{16 * kGiB, 14 * kGiB};
  MemoryOptions options;
  options.kv_bytes = 1000 * kMiB;
  const MemoryPlan plan = plan_memory(hybrid_model(), options, machine).value();
  expect_consistent(plan);
  EXPECT_EQ(plan.kv.blocks(KvKind::kState), 250 / 19);
  EXPECT_LE(plan.kv_bytes, options.kv_bytes);
  EXPECT_GT(plan.kv_bytes + plan.block_bytes(KvKind::kFull), options.kv_bytes);

  options.kv_bytes = 100 * kMiB;
  EXPECT_EQ(plan_memory(hybrid_model(), options, machine)->kv.blocks(KvKind::kState), 4);
  options.kv_bytes = 75 * kMiB;
  const auto refused = plan_memory(hybrid_model(), options, machine);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_NE(refused.error().message.find("4 states"), std::string::npos);

  options = {};
  options.context_tokens = 1000;
  options.least = true;
  EXPECT_EQ(plan_memory(hybrid_model(), options, machine)->kv.blocks(KvKind::kState), 4);
}

TEST(MemoryPlan, StatesAloneBoundNoContext) {
  MemoryNeeds needs = small_model();
  needs.kv = {group(KvKind::kState, 10 * kMiB)};
  needs.context_tokens_max = 1 << 20;
  MemoryOptions options;
  options.kv_bytes = 200 * kMiB;
  const MemoryPlan plan = plan_memory(needs, options, {16 * kGiB, 14 * kGiB}).value();
  ASSERT_EQ(plan.kv.groups.size(), 1u);
  EXPECT_EQ(plan.kv.blocks(KvKind::kState), 20);
  EXPECT_EQ(plan.context_tokens_max, 1 << 20);
  EXPECT_EQ(plan.positions(), 0);
  EXPECT_EQ(plan.kv.positions_max(), -1);
  EXPECT_EQ(plan.kv_bytes, 200 * kMiB);
}

}  // namespace
}  // namespace pippin::service
