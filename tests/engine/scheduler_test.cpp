#include "engine/core/scheduler.h"

#include <gtest/gtest.h>

#include "engine/scheduler_harness.h"

namespace pippin::engine::testing {
namespace {

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
  EXPECT_EQ(got.tokens, fake_answer(submission, 20));
  EXPECT_EQ(harness.scheduler.status().blocks_leased, 0);
}

}  // namespace
}  // namespace pippin::engine::testing
