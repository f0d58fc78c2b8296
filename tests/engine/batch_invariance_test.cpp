// The batch-invariance check: an honest runner agrees with itself in every way of running. One that
// is wrong beside others, in chunks or with a cached prefix is found, by the right name.
#include "engine/core/batch_invariance.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/biased_runner.h"
#include "engine/scheduler_harness.h"

namespace pippin::engine::testing {
namespace {

constexpr int kPositions = 16;

std::vector<Submission> prompts() {
  std::vector<Submission> all;
  for (int i = 0; i < 16; ++i) all.push_back(prompt_of(20 + 3 * i, 24, 100 * i));
  return all;
}

BatchInvarianceOptions options() {
  BatchInvarianceOptions options;
  options.scheduler = small_options();
  options.scheduler.kv = KvPlan::full(batch_invariance_blocks(prompts(), kPositions), kPositions);
  options.scheduler.rows_max = 16;
  options.scheduler.step_tokens_max = 512;
  return options;
}

std::map<std::string, Agreement> check(Runner& runner, BatchInvarianceOptions with = options()) {
  const auto agreements = check_batch_invariance(runner, with, prompts());
  EXPECT_TRUE(agreements.ok()) << agreements.error().message;
  std::map<std::string, Agreement> named;
  for (const Agreement& agreement : *agreements) named[agreement.name] = agreement;
  return named;
}

TEST(Wilson, KnownIntervals) {
  // Values of R's binom::binom.confint(x, n, methods = "wilson").
  const auto near = [](const Share& share, double value, double low, double high) {
    EXPECT_NEAR(share.value, value, 1e-9);
    EXPECT_NEAR(share.low, low, 5e-7);
    EXPECT_NEAR(share.high, high, 5e-7);
  };
  near(wilson(5, 10), 0.5, 0.2365931, 0.7634069);
  near(wilson(0, 10), 0, 0, 0.2775328);
  near(wilson(16, 16), 1, 0.8063923, 1);
  EXPECT_EQ(wilson(0, 0).low, 0);
  EXPECT_EQ(wilson(0, 0).high, 1);
}

TEST(Agreement, CountsPlacesAndNamesTheFirstDifference) {
  Agreement agreement;
  agreement.add(3, {1, 2, 3}, {1, 2, 3});
  agreement.add(4, {1, 9, 3}, {1, 2, 3, 4});
  EXPECT_EQ(agreement.answers, 2);
  EXPECT_EQ(agreement.exact, 1);
  EXPECT_EQ(agreement.tokens, 7);
  EXPECT_EQ(agreement.agreed, 5);
  EXPECT_EQ(agreement.first_prompt, 4);
  EXPECT_EQ(agreement.first_token, 1);
  EXPECT_FALSE(agreement.same());
}

TEST(BatchInvariance, AnHonestRunnerAgreesWithItself) {
  for (const int window : {0, 20}) {
    BatchInvarianceOptions with = options();
    KvGroupSpec sliding{KvKind::kSliding};
    sliding.window = window;
    if (window > 0) with.scheduler.kv.add(sliding, with.scheduler.kv.blocks());
    FakeRunner runner(with.scheduler);
    const auto agreements = check(runner, with);
    ASSERT_EQ(agreements.size(), 8u);
    for (const auto& [name, agreement] : agreements) {
      EXPECT_TRUE(agreement.same()) << name;
      EXPECT_EQ(agreement.answers, name == "preempted" ? 8 : 16) << name;
      EXPECT_EQ(agreement.tokens, agreement.answers * 24) << name;
      EXPECT_EQ(agreement.note, "") << name;  // the prompts were cached and preempted
    }
    EXPECT_TRUE(runner.faults().empty()) << runner.faults().front();
    EXPECT_EQ(runner.states(), 0u);
  }
}

TEST(BatchInvariance, ARunnerThatIsWrongBesideOthersIsFound) {
  BiasedRunner runner([](const StepPlan& plan, const PlanRow&) { return plan.rows.size() >= 4; });
  const auto agreements = check(runner);
  for (const char* name : {"4 rows", "8 rows", "16 rows"}) {
    EXPECT_FALSE(agreements.at(name).same()) << name;
    EXPECT_LT(agreements.at(name).exact_share().high, 1) << name;
  }
  for (const char* name : {"2 rows", "chunks of 16", "cached prefix"})
    EXPECT_TRUE(agreements.at(name).same()) << name;
}

TEST(BatchInvariance, ARunnerThatIsWrongInChunksIsFound) {
  BiasedRunner runner([](const StepPlan&, const PlanRow& row) {
    return row.generated == 0 && row.start > 0 && row.start % kPositions == 0;
  });
  const auto agreements = check(runner);
  EXPECT_FALSE(agreements.at("chunks of 16").same());
  EXPECT_TRUE(agreements.at("chunks of 64").exact >= 1);
  EXPECT_EQ(agreements.at("chunks of 16").first_token, 0);
  EXPECT_TRUE(agreements.at("16 rows").same());
}

TEST(BatchInvariance, OneRowThatIsWrongOnceIsFound) {
  BiasedRunner runner([](const StepPlan& plan, const PlanRow& row) {
    return plan.rows.size() > 12 && row.generated == 20 && plan.rows[0].sequence == row.sequence;
  });
  const Agreement agreement = check(runner).at("16 rows");
  EXPECT_FALSE(agreement.same());
  EXPECT_EQ(agreement.tokens - agreement.agreed, agreement.answers - agreement.exact);
  EXPECT_EQ(agreement.first_token, 20);
}

/// A deterministic scheduler keeps a runner right that is wrong beside others: that is its purpose.
TEST(BatchInvariance, DeterministicStepsKeepARunnerRight) {
  BiasedRunner runner([](const StepPlan& plan, const PlanRow& row) {
    // Beside others, where a prompt is not whole, or where an answer's tokens come in one step.
    const bool recomputes = row.generated > 0 && row.tokens.size() > 1;
    return plan.rows.size() > 1 || recomputes || (row.generated == 0 && row.start > 0);
  });
  BatchInvarianceOptions deterministic = options();
  deterministic.scheduler.deterministic = true;
  deterministic.scheduler.prefix_cache = false;
  deterministic.chunks = {};
  for (const auto& [name, agreement] : check(runner, deterministic)) {
    EXPECT_TRUE(agreement.same()) << name;
    EXPECT_EQ(agreement.note, "") << name;
  }
  EXPECT_FALSE(check(runner).at("16 rows").same());
}

TEST(BatchInvariance, AFailingRowIsAnError) {
  FakeRunner runner(options().scheduler);
  runner.fails = [](const PlanRow& row) { return row.generated == 3; };
  EXPECT_EQ(check_batch_invariance(runner, options(), prompts()).error().code, Code::kInternal);
}

}  // namespace
}  // namespace pippin::engine::testing
