// Whose turn it is: budget, priorities, preemption.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/scheduler_harness.h"

namespace pippin::engine::testing {
namespace {

SchedulerOptions large_options() {
  SchedulerOptions options;
  options.context_tokens_max = 16384;
  options.kv = KvPlan::full(4096);
  options.rows_max = 32;
  options.step_tokens_max = 256;
  return options;
}

/// A prompt that shares no block with another `salt`.
Submission own_prompt(int tokens, int max_tokens, Token salt) {
  Submission submission = prompt_of(tokens, max_tokens);
  submission.tokens.front() = 100000 + salt;
  return submission;
}

int tokens_of(const StepPlan& plan, SequenceId id) {
  for (const PlanRow& row : plan.rows) {
    if (row.sequence == id) return static_cast<int>(row.tokens.size());
  }
  return 0;
}

TEST(Fairness, AShortPromptBesideLongOnesHasItsFirstTokenWithinTwoChunks) {
  for (const int long_ones : {1, 4}) {
    Harness harness(large_options());
    const SequenceId stream = harness.submit(own_prompt(20, 1000, 0));
    harness.step();
    for (int i = 1; i <= long_ones; ++i) harness.submit(own_prompt(8000, 10, i));
    for (int i = 0; i < 3; ++i) harness.step();
    const SequenceId brief = harness.submit(own_prompt(20, 10, 9));
    harness.step();
    harness.step();
    EXPECT_GE(harness.got[brief].tokens.size(), 1u) << long_ones << " long prompts";
    EXPECT_EQ(harness.got[stream].tokens.size(), 6u);  // one in every step
  }
}

TEST(Fairness, OnADeviceThatMissesTheTargetPromptsAloneGoInLargerChunks) {
  SchedulerOptions options = large_options();
  options.step_target = std::chrono::milliseconds(1);  // a step of the harness takes 10
  Harness harness(options);
  const SequenceId prompt = harness.submit(own_prompt(8000, 10, 0));
  for (int i = 0; i < 40; ++i) harness.step();
  EXPECT_EQ(tokens_of(harness.step(), prompt), 64);
  const SequenceId stream = harness.submit(own_prompt(20, 1000, 1));
  while (harness.got[stream].tokens.empty()) harness.step();
  EXPECT_EQ(tokens_of(harness.step(), prompt), 16);  // now a stream waits for its next token
}

TEST(Fairness, ALongPromptIsNotStarvedByShortOnes) {
  Harness harness(large_options());
  const SequenceId large = harness.submit(own_prompt(8000, 10, 0));
  int steps = 0;
  for (; harness.got[large].tokens.empty() && steps < 200; ++steps) {
    harness.submit(own_prompt(200, 1, 1 + steps));
    harness.step();
  }
  EXPECT_LE(steps, 8000 / 128 + 2);  // half of the budget is its own
}

TEST(Fairness, EqualPromptsGoInOrder) {
  Harness harness(large_options());
  std::vector<SequenceId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(harness.submit(own_prompt(1000, 50, i)));
  std::vector<int> first_token_at(4, 0);
  for (int step = 1; step <= 20; ++step) {
    harness.step();
    for (size_t i = 0; i < 4; ++i) {
      if (first_token_at[i] == 0 && !harness.got[ids[i]].tokens.empty()) first_token_at[i] = step;
    }
  }
  EXPECT_TRUE(std::is_sorted(first_token_at.begin(), first_token_at.end()));
  EXPECT_EQ(first_token_at[0], 4);  // 1,000 tokens at 256 a step, as if alone
}

TEST(Fairness, TheBudgetHoldsAndDecodesGoFirst) {
  SchedulerOptions options = large_options();
  options.step_tokens_max = 40;
  Harness harness(options);
  std::vector<SequenceId> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(harness.submit(own_prompt(5, 100, i)));
  harness.step();
  const SequenceId large = harness.submit(own_prompt(2000, 5, 99));
  for (int i = 0; i < 10; ++i) {
    const StepPlan plan = harness.step();
    EXPECT_EQ(plan.tokens(), 40);
    EXPECT_EQ(tokens_of(plan, large), 32);
    for (const SequenceId id : streams) EXPECT_EQ(tokens_of(plan, id), 1);
  }
}

TEST(Fairness, MoreRowsThanTokensStillMoveEveryRow) {
  SchedulerOptions options = large_options();
  options.step_tokens_max = 4;
  Harness harness(options);
  for (int i = 0; i < 12; ++i) harness.submit(own_prompt(30, 6, i));
  harness.run_until_idle(2000);
  for (const auto& [id, got] : harness.got) EXPECT_EQ(got.tokens.size(), 6u);
}

TEST(Priority, AHigherOneIsAdmittedFirst) {
  SchedulerOptions options = large_options();
  options.rows_max = 1;
  Harness harness(options);
  Submission low = own_prompt(10, 3, 1);
  low.priority = Priority::kLow;
  Submission high = own_prompt(10, 3, 2);
  high.priority = Priority::kHigh;
  const SequenceId low_id = harness.submit(low);
  const SequenceId normal_id = harness.submit(own_prompt(10, 3, 3));
  const SequenceId high_id = harness.submit(high);
  std::vector<SequenceId> order;
  for (int i = 0; i < 9; ++i) order.push_back(harness.step().rows.front().sequence);
  EXPECT_EQ(order, (std::vector<SequenceId>{high_id, high_id, high_id, normal_id, normal_id,
                                            normal_id, low_id, low_id, low_id}));
}

TEST(Priority, AHigherOnePreemptsALowerOne) {
  SchedulerOptions options = large_options();
  options.rows_max = 2;
  Harness harness(options);
  Submission low = own_prompt(50, 30, 1);
  low.priority = Priority::kLow;
  const SequenceId older = harness.submit(low);
  low.tokens.front() = 7;
  const SequenceId younger = harness.submit(low);
  for (int i = 0; i < 5; ++i) harness.step();
  Submission high = own_prompt(50, 3, 2);
  high.priority = Priority::kHigh;
  const SequenceId urgent = harness.submit(high);
  const StepPlan plan = harness.step();
  EXPECT_GT(tokens_of(plan, urgent), 0);
  EXPECT_EQ(tokens_of(plan, older), 1);
  EXPECT_EQ(tokens_of(plan, younger), 0);
  EXPECT_EQ(harness.status_of(younger)->phase, Phase::kWaiting);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[younger].tokens, fake_answer(low, 30));
  EXPECT_EQ(harness.scheduler.status().preemptions, 1u);
}

TEST(Preemption, TheYoungestMakesRoomAndLosesNothing) {
  for (const bool prefix_cache : {true, false}) {
    SchedulerOptions options = small_options();
    options.kv = KvPlan::full(10);
    options.prefix_cache = prefix_cache;
    Harness harness(options);
    std::vector<Submission> submissions;
    std::vector<SequenceId> ids;
    for (int i = 0; i < 3; ++i) {
      submissions.push_back(own_prompt(30, 60, i));
      ids.push_back(harness.submit(submissions.back()));
    }
    harness.run_until_idle();
    EXPECT_GT(harness.scheduler.status().preemptions, 0u);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(harness.got[ids[i]].tokens, fake_answer(submissions[i], 60));
      EXPECT_EQ(harness.got[ids[i]].finish->cached_tokens, 0);  // its own blocks are no hit
    }
  }
}

TEST(Preemption, TheOldestIsNeverTheVictim) {
  SchedulerOptions options = small_options();
  options.kv = KvPlan::full(8);
  Harness harness(options);
  const SequenceId oldest = harness.submit(own_prompt(30, 80, 0));
  for (int i = 1; i < 6; ++i) harness.submit(own_prompt(30, 40, i));
  int steps = 0;
  for (; !harness.got[oldest].finish && steps < 200; ++steps) {
    harness.step();
    const SequenceStatus* status = harness.status_of(oldest);
    EXPECT_TRUE(status == nullptr || status->preemptions == 0);
  }
  EXPECT_LE(steps, 81);
}

TEST(Preemption, PausedReadersGiveWayWhenNothingElseRuns) {
  SchedulerOptions options = small_options();
  options.kv = KvPlan::full(6);
  Harness harness(options);
  const Submission first = own_prompt(60, 20, 0);
  const SequenceId slow = harness.submit(first);
  harness.step();
  harness.scheduler.pause(slow, harness.clock.now());
  const SequenceId next = harness.submit(own_prompt(60, 5, 1));
  harness.run_until_idle();
  EXPECT_EQ(harness.got[next].tokens.size(), 5u);
  harness.scheduler.resume(slow);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[slow].tokens, fake_answer(first, 20));
}

}  // namespace
}  // namespace pippin::engine::testing
