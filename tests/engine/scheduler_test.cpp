// What a single sequence gets: its answer, its end, its errors. Concurrent requests and blocks are
// in scheduler_sharing_test.cpp and scheduler_fairness_test.cpp.
#include "engine/core/scheduler.h"

#include <gtest/gtest.h>

#include "engine/scheduler_harness.h"

namespace pippin::engine::testing {
namespace {

using std::chrono::milliseconds;

TEST(Scheduler, AnswersOneRequest) {
  Harness harness(small_options());
  const Submission submission = prompt_of(100, 20);
  const SequenceId id = harness.submit(submission);
  harness.run_until_idle();
  const Got& got = harness.got[id];
  ASSERT_TRUE(got.finish.has_value());
  EXPECT_EQ(got.finish->reason, FinishReason::kLength);
  EXPECT_EQ(got.finish->prompt_tokens, 100);
  EXPECT_EQ(got.finish->completion_tokens, 20);
  EXPECT_EQ(got.finish->cached_tokens, 0);
  EXPECT_EQ(got.tokens, fake_answer(submission, 20));
  EXPECT_EQ(harness.scheduler.status().blocks().leased, 0);
  EXPECT_EQ(harness.runner.states(), 0u);
}

TEST(Scheduler, ChunksAreTheWhole) {
  std::vector<Token> whole;
  for (const int budget : {1, 7, 16, 64, 512}) {
    SchedulerOptions options = small_options();
    options.step_tokens_max = budget;
    Harness harness(options);
    const SequenceId id = harness.submit(prompt_of(200, 10));
    harness.run_until_idle();
    if (whole.empty()) whole = harness.got[id].tokens;
    EXPECT_EQ(harness.got[id].tokens, whole) << "budget " << budget;
  }
  EXPECT_EQ(whole.size(), 10u);
}

TEST(Scheduler, RefusesWhatCanNeverBeServed) {
  SchedulerOptions options = small_options();  // a context of 512, and blocks for 1,024
  const auto code_of = [&](const Submission& submission) {
    const Result<void> checked = Scheduler::check(options, submission);
    return checked.ok() ? std::nullopt : std::optional(checked.error());
  };
  EXPECT_EQ(code_of(prompt_of(0, 10))->code, Code::kInvalidArgument);
  EXPECT_EQ(code_of(prompt_of(10, 0))->param, "max_tokens");
  EXPECT_FALSE(code_of(prompt_of(511, 1)).has_value());
  const auto too_long = code_of(prompt_of(512, 1));
  EXPECT_EQ(too_long->code, Code::kContextLength);
  EXPECT_NE(too_long->message.find("512"), std::string::npos);
  options.context_tokens_max = 4096;
  const auto too_large = code_of(prompt_of(1024, 1));
  EXPECT_EQ(too_large->code, Code::kContextLength);
  EXPECT_NE(too_large->message.find("1024"), std::string::npos);
  EXPECT_FALSE(code_of(prompt_of(1023, 1)).has_value());
}

TEST(Scheduler, TheQueueIsBounded) {
  SchedulerOptions options = small_options();
  options.queue_max = 3;
  Harness harness(options);
  for (int i = 0; i < 3; ++i) harness.submit(prompt_of(10, 5));
  const Result<void> fourth = harness.scheduler.submit(SequenceId{99}, prompt_of(10, 5));
  ASSERT_FALSE(fourth.ok());
  EXPECT_EQ(fourth.error().code, Code::kOverloaded);
  harness.step();  // admits all
  EXPECT_TRUE(harness.scheduler.submit(SequenceId{99}, prompt_of(10, 5)).ok());
}

TEST(Scheduler, AnAnswerEndsWhereTheContextEnds) {
  Harness harness(small_options());
  const SequenceId id = harness.submit(prompt_of(500, 1000));
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].tokens.size(), 12u);
  EXPECT_EQ(harness.got[id].finish->reason, FinishReason::kLength);
}

TEST(Scheduler, AnAnswerEndsWhereTheMemoryEnds) {
  SchedulerOptions options = small_options();
  options.kv = KvPlan::full(4);
  Harness harness(options);
  const SequenceId id = harness.submit(prompt_of(50, 1000));
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].tokens.size(), 14u);
  EXPECT_EQ(harness.got[id].finish->reason, FinishReason::kLength);
}

/// A submission whose fourth token is its only stop token.
Submission stopping() {
  Submission submission = prompt_of(30, 20);
  submission.stop.stop_tokens = {fake_answer(submission, 4).back()};
  return submission;
}

TEST(Scheduler, AStopTokenIsCountedAndNotDelivered) {
  Harness harness(small_options());
  const Submission submission = stopping();
  const std::vector<Token> answer = fake_answer(submission, 20);
  ASSERT_EQ(answer.size(), 4u);
  const SequenceId id = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].tokens, std::vector<Token>(answer.begin(), answer.end() - 1));
  EXPECT_EQ(harness.got[id].finish->reason, FinishReason::kStop);
  EXPECT_EQ(harness.got[id].finish->completion_tokens, 4);
}

TEST(Scheduler, MinTokensAndIgnoreEosPassAStopToken) {
  Harness harness(small_options());
  Submission later = stopping();
  later.stop.min_tokens = 4;  // the stop token is the fourth: three came before it
  Submission never = stopping();
  never.stop.ignore_eos = true;
  Submission in_time = stopping();
  in_time.stop.min_tokens = 3;
  const SequenceId later_id = harness.submit(later);
  const SequenceId never_id = harness.submit(never);
  const SequenceId in_time_id = harness.submit(in_time);
  harness.run_until_idle();
  EXPECT_GT(harness.got[later_id].finish->completion_tokens, 4);
  EXPECT_EQ(harness.got[never_id].finish->reason, FinishReason::kLength);
  EXPECT_EQ(harness.got[never_id].tokens.size(), 20u);
  EXPECT_EQ(harness.got[in_time_id].finish->completion_tokens, 4);
}

TEST(Scheduler, ADeadlineEndsAWaitingAndARunningSequence) {
  SchedulerOptions options = small_options();
  options.rows_max = 1;
  Harness harness(options);
  Submission running = prompt_of(10, 400);
  running.deadline = harness.clock.now() + milliseconds(50);
  Submission waiting = prompt_of(10, 400, 300);
  waiting.deadline = harness.clock.now() + milliseconds(30);
  const SequenceId running_id = harness.submit(running);
  const SequenceId waiting_id = harness.submit(waiting);
  EXPECT_EQ(harness.scheduler.next_timer(), waiting.deadline);
  for (int i = 0; i < 4; ++i) harness.step();  // at 0, 10, 20, 30 ms
  EXPECT_EQ(harness.got[waiting_id].finish->reason, FinishReason::kTimeout);
  EXPECT_FALSE(harness.got[running_id].finish.has_value());
  for (int i = 0; i < 2; ++i) harness.step();
  EXPECT_EQ(harness.got[running_id].finish->reason, FinishReason::kTimeout);
  EXPECT_EQ(harness.got[running_id].finish->completion_tokens, 5);
  EXPECT_EQ(harness.scheduler.status().blocks().leased, 0);
  EXPECT_FALSE(harness.scheduler.next_timer().has_value());
}

TEST(Scheduler, CancellationFreesBlocksAtOnce) {
  Harness harness(small_options());
  const SequenceId id = harness.submit(prompt_of(100, 400));
  for (int i = 0; i < 4; ++i) harness.step();
  EXPECT_GT(harness.scheduler.status().blocks().leased, 0);
  harness.scheduler.cancel(id, FinishReason::kStop);
  EXPECT_EQ(harness.scheduler.status().blocks().leased, 0);
  harness.scheduler.cancel(id, FinishReason::kCancelled);  // too late to matter
  harness.step();
  EXPECT_EQ(harness.got[id].finish->reason, FinishReason::kStop);
  EXPECT_EQ(harness.runner.states(), 0u);
}

TEST(Scheduler, AFailedRowEndsItsSequenceAlone) {
  Harness harness(small_options());
  const SequenceId bad = harness.submit(prompt_of(10, 20));
  const Submission submission = prompt_of(10, 20, 300);
  const SequenceId good = harness.submit(submission);
  harness.runner.fails = [bad](const PlanRow& row) {
    return row.sequence == bad && row.generated == 3;
  };
  harness.run_until_idle();
  EXPECT_EQ(harness.got[bad].finish->reason, FinishReason::kError);
  EXPECT_EQ(harness.got[bad].finish->error.code, Code::kInternal);
  EXPECT_EQ(harness.got[bad].tokens.size(), 3u);
  EXPECT_EQ(harness.got[good].tokens, fake_answer(submission, 20));
}

TEST(Scheduler, PromptLogprobsComeOnceAndWhole) {
  SchedulerOptions options = small_options();
  options.step_tokens_max = 16;
  Harness harness(options);
  harness.submit(prompt_of(100, 2));
  harness.run_until_idle();  // so that the prompt is cached
  Submission submission = prompt_of(100, 3);
  submission.sampling.prompt_logprobs = 0;
  const SequenceId id = harness.submit(submission);
  harness.run_until_idle();
  const Got& got = harness.got[id];
  ASSERT_TRUE(got.prompt_logprobs.has_value());
  ASSERT_EQ(got.prompt_logprobs->entries.size(), 100u);
  for (size_t i = 1; i < 100; ++i) {
    EXPECT_EQ(got.prompt_logprobs->entries[i].chosen.token, submission.tokens[i]);
    EXPECT_EQ(got.prompt_logprobs->entries[i].chosen.logprob, -static_cast<float>(i));
  }
  EXPECT_EQ(got.finish->cached_tokens, 0);  // its logits had to be computed
  EXPECT_EQ(got.tokens.size(), 3u);
}

TEST(Scheduler, ASlowReaderIsPausedAndThenCancelled) {
  SchedulerOptions options = small_options();
  options.slow_reader_max = milliseconds(100);
  Harness harness(options);
  const SequenceId slow = harness.submit(prompt_of(10, 300));
  const SequenceId quick = harness.submit(prompt_of(10, 300, 300));
  harness.step();
  harness.scheduler.pause(slow, harness.clock.now());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(harness.step().rows.size(), 1u);
  EXPECT_EQ(harness.got[slow].tokens.size(), 1u);
  EXPECT_EQ(harness.got[quick].tokens.size(), 6u);

  harness.scheduler.resume(slow);
  EXPECT_EQ(harness.step().rows.size(), 2u);
  harness.scheduler.pause(slow, harness.clock.now());
  for (int i = 0; i < 11; ++i) harness.step();
  ASSERT_TRUE(harness.got[slow].finish.has_value());
  EXPECT_EQ(harness.got[slow].finish->reason, FinishReason::kSlowReader);
  EXPECT_EQ(harness.got[slow].tokens.size(), 2u);
  EXPECT_FALSE(harness.got[quick].finish.has_value());
}

}  // namespace
}  // namespace pippin::engine::testing
