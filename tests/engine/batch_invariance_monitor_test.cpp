// The batch-invariance monitor on a live engine. An honest device is left alone; one that is wrong
// beside concurrent requests is counted and, where asked for, made deterministic.
#include "engine/batch_invariance_monitor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "engine/biased_runner.h"
#include "engine/scheduler_harness.h"

namespace pippin::engine::testing {
namespace {

constexpr auto kLimit = std::chrono::seconds(20);

std::unique_ptr<Engine> start(BiasedRunner::Condition condition) {
  EngineOptions options;
  options.context_tokens_max = 512;
  options.kv = KvPlan::full(256);
  return Engine::start(options,
                       [condition]() -> Result<std::unique_ptr<Runner>> {
                         return std::unique_ptr<Runner>(std::make_unique<BiasedRunner>(condition));
                       })
      .value();
}

std::vector<Submission> prompts() {
  std::vector<Submission> all;
  for (int i = 0; i < 4; ++i) all.push_back(prompt_of(20 + i, 12, 100 * i));
  return all;
}

template <typename Condition>
bool becomes(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + kLimit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

bool wrong_beside_others(const StepPlan& plan, const PlanRow&) { return plan.rows.size() > 1; }

TEST(BatchInvarianceMonitor, AnHonestDeviceAgreesWithItself) {
  const auto engine = start(nullptr);
  const EngineMetrics& metrics = engine->metrics();
  const BatchInvarianceMonitor monitor(*engine, {std::chrono::milliseconds(1), true}, prompts());
  ASSERT_TRUE(becomes([&] { return metrics.invariance_answers >= 12; }));
  EXPECT_EQ(metrics.invariance_exact, metrics.invariance_answers);
  EXPECT_FALSE(metrics.deterministic);
}

TEST(BatchInvarianceMonitor, AWarningChangesNothing) {
  const auto engine = start(wrong_beside_others);
  const EngineMetrics& metrics = engine->metrics();
  const BatchInvarianceMonitor monitor(*engine, {std::chrono::milliseconds(1), false}, prompts());
  // A round whose prompts happen to run one after the other finds nothing: on a busy machine the
  // first may end before the second is submitted.
  ASSERT_TRUE(becomes([&] {
    return metrics.invariance_exact < metrics.invariance_answers &&
           metrics.invariance_agreed < metrics.invariance_tokens;
  }));
  EXPECT_FALSE(metrics.deterministic);
}

TEST(BatchInvarianceMonitor, ADeterministicEngineIsRightAgain) {
  const auto engine = start(wrong_beside_others);
  const EngineMetrics& metrics = engine->metrics();
  const BatchInvarianceMonitor monitor(*engine, {std::chrono::milliseconds(1), true}, prompts());
  ASSERT_TRUE(becomes([&] { return metrics.deterministic.load(); }));
  const uint64_t wrong = metrics.invariance_answers - metrics.invariance_exact;
  EXPECT_GT(wrong, 0u);
  const uint64_t answers = metrics.invariance_answers;
  ASSERT_TRUE(becomes([&] { return metrics.invariance_answers >= answers + 12; }));
  EXPECT_EQ(metrics.invariance_answers - metrics.invariance_exact, wrong);
}

// Exclusive steps take turns with those of users.
TEST(BatchInvarianceMonitor, UsersWaitForOneStepAtMost) {
  constexpr int kUsersTokens = 400;
  std::atomic<int> without{0}, longest{0}, alone{0};
  std::atomic<bool> over{false};
  const auto engine = start([&, user = SequenceId{1}](const StepPlan& plan, const PlanRow& row) {
    if (&row != &plan.rows.front()) return false;
    const auto own = std::find_if(plan.rows.begin(), plan.rows.end(),
                                  [&](const PlanRow& any) { return any.sequence == user; });
    const bool there = own != plan.rows.end();
    if (there) over = own->generated == kUsersTokens - 1;
    without = there || over ? 0 : without + 1;
    longest = std::max(longest.load(), without.load());
    if (!there) ++alone;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return false;
  });
  const auto user = engine->submit(prompt_of(20, kUsersTokens)).value();
  const BatchInvarianceMonitor monitor(*engine, {std::chrono::milliseconds(1), false}, prompts());
  ASSERT_TRUE(becomes([&] { return over.load(); }));
  EXPECT_EQ(longest, 1);
  EXPECT_GT(alone, 10);
  EXPECT_GE(engine->metrics().invariance_answers, 4u);
}

TEST(BatchInvarianceMonitor, EndsWhileARoundIsUnderWay) {
  const auto engine = start([](const StepPlan&, const PlanRow&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return false;
  });
  {
    const BatchInvarianceMonitor monitor(*engine, {std::chrono::milliseconds(1), false}, prompts());
    ASSERT_TRUE(becomes([&] { return engine->status().running > 0; }));
  }
  EXPECT_TRUE(becomes([&] { return engine->status().blocks().leased == 0; }));
}

}  // namespace
}  // namespace pippin::engine::testing
