// What is computed once: prefixes shared between sequences, turns and samples.
#include <gtest/gtest.h>

#include "engine/scheduler_harness.h"

namespace pippin::engine::testing {
namespace {

SchedulerOptions large_options() {
  SchedulerOptions options;
  options.context_tokens_max = 8192;
  options.kv = KvPlan::full(1024);
  options.rows_max = 32;
  options.step_tokens_max = 512;
  return options;
}

TEST(Sharing, ASecondTurnComputesOnlyWhatIsNew) {
  Harness harness(large_options());
  Submission first = prompt_of(2000, 50);
  const SequenceId first_id = harness.submit(first);
  harness.run_until_idle();
  const uint64_t cold = harness.runner.computed_tokens();

  Submission second = prompt_of(2000, 1);
  const std::vector<Token>& answer = harness.got[first_id].tokens;
  second.tokens.insert(second.tokens.end(), answer.begin(), answer.end());
  for (Token token = 0; token < 30; ++token) second.tokens.push_back(token);
  const SequenceId second_id = harness.submit(second);
  harness.run_until_idle();
  // All but the answer's last token, which was never computed: 2,049 positions, the last of them by
  // a copy.
  EXPECT_EQ(harness.got[second_id].finish->cached_tokens, 2049 - 2049 % 16);
  EXPECT_LE(harness.runner.computed_tokens() - cold, 48u);
}

TEST(Sharing, TwentyRequestsComputeTheirSystemPromptOnce) {
  Harness harness(large_options());
  std::vector<Submission> submissions;
  std::vector<SequenceId> ids;
  for (int i = 0; i < 20; ++i) {
    Submission submission = prompt_of(1500, 5);
    for (Token token = 0; token < 40; ++token) submission.tokens.push_back(10000 + 100 * i + token);
    ids.push_back(harness.submit(submission));
    submissions.push_back(std::move(submission));
  }
  harness.run_until_idle();
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(harness.got[ids[i]].tokens, fake_answer(submissions[i], 5));
    EXPECT_EQ(harness.got[ids[i]].finish->cached_tokens, i == 0 ? 0 : 1500);
  }
  EXPECT_EQ(harness.runner.computed_tokens(), 1500u + 20u * (40u + 4u));
}

TEST(Sharing, SamplesOfOnePromptShareItsBlocks) {
  Harness harness(large_options());
  std::vector<Submission> submissions;
  std::vector<SequenceId> ids;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Submission submission = prompt_of(320, 10);
    submission.sampling.seed = seed;
    ids.push_back(harness.submit(submission));
    submissions.push_back(std::move(submission));
  }
  for (int i = 0; i < 3; ++i) harness.step();
  EXPECT_EQ(harness.scheduler.status().running, 4);
  EXPECT_LE(harness.scheduler.status().blocks().leased, 20 + 4 * 2);
  harness.run_until_idle();
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(harness.got[ids[i]].tokens, fake_answer(submissions[i], 10));
  }
}

TEST(Sharing, APartlyFilledBlockIsCopied) {
  Harness harness(large_options());
  harness.submit(prompt_of(60, 1));
  harness.run_until_idle();
  Submission other = prompt_of(58, 4);
  other.tokens.insert(other.tokens.end(), {1, 2, 3});
  const SequenceId id = harness.submit(other);
  const StepPlan plan = harness.step();
  ASSERT_EQ(plan.copies.size(), 1u);
  EXPECT_EQ(plan.copies[0].positions, 10);  // 48 in full blocks, then 10 of 12
  EXPECT_EQ(plan.rows.front().start, 58);
  EXPECT_EQ(plan.rows.front().tokens.size(), 3u);
  EXPECT_EQ(harness.status_of(id)->first_difference, 58);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].tokens, fake_answer(other, 4));
}

TEST(Sharing, AnotherSaltSharesNothing) {
  Harness harness(large_options());
  harness.submit(prompt_of(100, 1));
  harness.run_until_idle();
  Submission other = prompt_of(100, 4);
  other.cache_salt = "another tenant";
  const SequenceId id = harness.submit(other);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].finish->cached_tokens, 0);
  EXPECT_EQ(harness.got[id].tokens, fake_answer(other, 4));
}

TEST(Sharing, CanBeSwitchedOff) {
  SchedulerOptions options = large_options();
  options.prefix_cache = false;
  Harness harness(options);
  harness.submit(prompt_of(100, 1));
  harness.run_until_idle();
  const SequenceId id = harness.submit(prompt_of(100, 4));
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].finish->cached_tokens, 0);
  EXPECT_EQ(harness.scheduler.status().blocks().cached, 0);
  EXPECT_EQ(harness.scheduler.status().prefix_queries, 0u);
}

TEST(Sharing, TheStatusCountsQueriesAndHits) {
  Harness harness(large_options());
  harness.submit(prompt_of(110, 1));
  harness.run_until_idle();
  harness.submit(prompt_of(110, 1));
  harness.run_until_idle();
  const SchedulerStatus status = harness.scheduler.status();
  EXPECT_EQ(status.prefix_queries, 220u);
  EXPECT_EQ(status.prefix_hits, 109u);
  EXPECT_EQ(status.prompt_tokens, 220u);
  EXPECT_EQ(status.generated_tokens, 2u);
}

TEST(Sharing, ACopyDoesNotTakeTheLastBlockOfATightPool) {
  SchedulerOptions options = large_options();
  options.kv = KvPlan::full(4);
  Harness harness(options);
  harness.submit(prompt_of(62, 1));
  harness.run_until_idle();
  Submission same = prompt_of(61, 2);
  const SequenceId id = harness.submit(same);
  harness.run_until_idle(100);
  EXPECT_EQ(harness.got[id].tokens, fake_answer(same, 2));
}

}  // namespace
}  // namespace pippin::engine::testing
