#include "engine/core/warm_up.h"

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/sim/fake_runner.h"

namespace pippin::engine::testing {
namespace {

SchedulerOptions small_options() {
  SchedulerOptions options;
  options.context_tokens_max = 2048;
  options.kv = KvPlan::full(256);
  options.rows_max = 8;
  return options;
}

TEST(WarmUp, RunsStepsAndLeavesNothing) {
  const SchedulerOptions options = small_options();
  FakeRunner runner(options);
  ASSERT_TRUE(warm_up(runner, options).ok());
  EXPECT_GT(runner.computed_tokens(), 600u);
  EXPECT_EQ(runner.states(), 0u);
  EXPECT_TRUE(runner.faults().empty());
}

TEST(WarmUp, AsksForNoMoreThanThereIs) {
  SchedulerOptions options = small_options();
  options.context_tokens_max = 64;
  options.kv = KvPlan::full(4);
  FakeRunner runner(options);
  EXPECT_TRUE(warm_up(runner, options).ok());
  EXPECT_TRUE(runner.faults().empty());
}

TEST(WarmUp, ADeviceThatFailsDoesNotStart) {
  EngineOptions options;
  options.context_tokens_max = 2048;
  options.kv = KvPlan::full(256);
  options.warm_up = true;
  const auto engine = Engine::start(options, [&]() -> Result<std::unique_ptr<Runner>> {
    auto runner = std::make_unique<FakeRunner>(options);
    runner->fails = [](const PlanRow&) { return true; };
    return std::unique_ptr<Runner>(std::move(runner));
  });
  EXPECT_FALSE(engine.ok());
}

}  // namespace
}  // namespace pippin::engine::testing
