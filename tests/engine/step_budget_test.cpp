#include "engine/core/step_budget.h"

#include <gtest/gtest.h>

#include <chrono>

namespace pippin::engine {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// A device with a fixed cost for each step and each token.
Duration time_of(int tokens, Duration step, Duration token) { return step + tokens * token; }

TEST(StepBudget, IsFixedWithoutATarget) {
  StepBudget budget(512, Duration::zero());
  budget.observe(512, std::chrono::seconds(5));
  EXPECT_EQ(budget.tokens(), 512);
}

TEST(StepBudget, FindsTheTokensThatTakeTheWantedTime) {
  StepBudget budget(4096, milliseconds(200));
  for (int i = 0; i < 50; ++i) {
    budget.observe(budget.tokens(), time_of(budget.tokens(), milliseconds(20), microseconds(500)));
  }
  EXPECT_NEAR(budget.tokens(), 360, 15);  // (200 - 20) ms at 0.5 ms a token
}

TEST(StepBudget, FollowsADeviceThatSlowsDown) {
  StepBudget budget(2048, milliseconds(200));
  for (int i = 0; i < 30; ++i) {
    budget.observe(budget.tokens(), time_of(budget.tokens(), Duration::zero(), microseconds(200)));
  }
  EXPECT_NEAR(budget.tokens(), 1000, 40);
  for (int i = 0; i < 30; ++i) {
    budget.observe(budget.tokens(), time_of(budget.tokens(), Duration::zero(), milliseconds(2)));
  }
  EXPECT_NEAR(budget.tokens(), 100, 10);
}

TEST(StepBudget, LearnsNothingFromAStepThatDidNotFillIt) {
  StepBudget budget(2048, milliseconds(200));
  const int before = budget.tokens();
  for (int i = 0; i < 100; ++i) budget.observe(1, milliseconds(20));  // one row that decodes
  EXPECT_EQ(budget.tokens(), before);
}

TEST(StepBudget, StaysWithinItsBounds) {
  StepBudget slow(2048, milliseconds(200));
  for (int i = 0; i < 100; ++i) slow.observe(slow.tokens(), std::chrono::seconds(10));
  EXPECT_EQ(slow.tokens(), 16);
  StepBudget quick(2048, milliseconds(200));
  for (int i = 0; i < 100; ++i) quick.observe(quick.tokens(), microseconds(1));
  EXPECT_EQ(quick.tokens(), 2048);
  StepBudget small(8, milliseconds(200));
  for (int i = 0; i < 100; ++i) small.observe(small.tokens(), std::chrono::seconds(10));
  EXPECT_EQ(small.tokens(), 8);
}

}  // namespace
}  // namespace pippin::engine
