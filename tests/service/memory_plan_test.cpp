#include "service/memory_plan.h"

#include <gtest/gtest.h>

namespace pippin::service {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

// SmolLM2 135M: 30 layers, 3 kv heads of 64, f16.
MemoryNeeds small_model() {
  MemoryNeeds needs;
  needs.weights_bytes = 90 * kMiB;
  needs.kv_bytes_per_block = 16 * 30 * 3 * 64 * 2 * 2;
  needs.context_tokens_max = 8192;
  needs.embedding = 576;
  needs.feed_forward = 1536;
  needs.vocab = 49152;
  return needs;
}

void expect_consistent(const MemoryPlan& plan) {
  EXPECT_LE(plan.weights_bytes + plan.scratch_bytes + plan.kv_bytes, plan.budget_bytes);
  EXPECT_EQ(plan.kv_bytes, uint64_t(plan.blocks) * plan.kv_bytes_per_block);
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

TEST(MemoryPlan, LittleMemoryShortensTheContext) {
  MemoryWishes wishes;
  wishes.rows_max = 8;
  wishes.memory_bytes_max = 260 * kMiB;
  const auto plan = plan_memory(small_model(), wishes, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  expect_consistent(*plan);
  EXPECT_LT(plan->context_tokens_max, 8192);
  EXPECT_GE(plan->context_tokens_max, 256);
  // Not one more block would fit.
  EXPECT_GT(plan->weights_bytes + plan->scratch_bytes + plan->kv_bytes + plan->kv_bytes_per_block,
            plan->budget_bytes);
}

TEST(MemoryPlan, AnAskedContextIsKeptOrRefused) {
  MemoryWishes wishes;
  wishes.context_tokens = 1000;
  const auto plan = plan_memory(small_model(), wishes, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok());
  expect_consistent(*plan);
  EXPECT_EQ(plan->context_tokens_max, 1000);

  wishes.context_tokens = 8192;
  wishes.memory_bytes_max = 260 * kMiB;
  const auto refused = plan_memory(small_model(), wishes, {16 * kGiB, 14 * kGiB});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_NE(refused.error().message.find("8192"), std::string::npos) << refused.error().message;
}

TEST(MemoryPlan, AnAskedKvCacheIsKeptOrRefused) {
  MemoryWishes wishes;
  wishes.kv_bytes = 100 * kMiB;
  const auto plan = plan_memory(small_model(), wishes, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  expect_consistent(*plan);
  EXPECT_LE(plan->kv_bytes, wishes.kv_bytes);
  EXPECT_GT(plan->kv_bytes + plan->kv_bytes_per_block, wishes.kv_bytes);
  EXPECT_LT(plan->context_tokens_max, 8192) << "the pool holds no whole context";

  wishes.kv_bytes = 4 * kGiB;  // more than would be taken without being asked
  const auto large = plan_memory(small_model(), wishes, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(large.ok());
  EXPECT_GT(large->kv_bytes, 4 * kGiB - large->kv_bytes_per_block);
  EXPECT_EQ(large->context_tokens_max, 8192);

  for (const auto& [kv_bytes, context] :
       {std::pair<uint64_t, int>{13 * kGiB, 0}, {1 * kMiB, 0}, {100 * kMiB, 8192}}) {
    wishes.kv_bytes = kv_bytes;
    wishes.context_tokens = context;
    const auto refused = plan_memory(small_model(), wishes, {16 * kGiB, 14 * kGiB});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
    EXPECT_NE(refused.error().message.find("--kv-memory is " + bytes_text(kv_bytes)),
              std::string::npos)
        << refused.error().message;
  }
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
  needs.kv_bytes_per_block = ~uint64_t{0};
  EXPECT_FALSE(plan_memory(needs, {}, {16 * kGiB, 14 * kGiB}).ok());
  needs = small_model();
  needs.kv_bytes_per_block = 1;
  needs.context_tokens_max = 2'000'000'000;
  const auto plan = plan_memory(needs, {}, {16 * kGiB, 14 * kGiB});
  if (plan.ok()) expect_consistent(*plan);
  needs.embedding = needs.feed_forward = needs.vocab = 1 << 24;
  EXPECT_FALSE(plan_memory(needs, {}, {16 * kGiB, 14 * kGiB}).ok());
}

TEST(MemoryPlan, TheTextNamesEveryTerm) {
  const auto plan = plan_memory(small_model(), {}, {16 * kGiB, 14 * kGiB});
  ASSERT_TRUE(plan.ok());
  const std::string text = plan->to_text();
  for (const char* part :
       {"weights", "90.0 MiB", "kv", "scratch", "budget", "12.0 GiB", "context 8192"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

TEST(MemoryPlan, ThisMachineHasMemory) {
  const Machine machine = this_machine();
  EXPECT_GT(machine.memory_bytes_total, 64 * kMiB);
  EXPECT_LE(machine.memory_bytes_available, machine.memory_bytes_total);
}

}  // namespace
}  // namespace pippin::service
