// Layers with a window: what they hold, give back and find again. The fake runner sees to it that
// no row looks at a block that it does not hold.
#include <gtest/gtest.h>

#include "engine/core/attention_group.h"
#include "engine/engine.h"
#include "engine/scheduler_harness.h"

namespace pippin::engine::testing {
namespace {

constexpr int kWindow = 40;

SchedulerOptions windowed(int window_blocks) {
  SchedulerOptions options;
  options.context_tokens_max = 4096;
  options.kv = KvPlan::full(1024);
  KvGroupSpec sliding{KvKind::kSliding};
  sliding.window = kWindow;
  options.kv.add(sliding, window_blocks);
  options.rows_max = 32;
  options.step_tokens_max = 64;
  return options;
}

// A window and a step, and not a block more.
SchedulerOptions tight() { return windowed(Sight{KvKind::kSliding, kWindow, 16}.blocks_min(64)); }

/// Other prompts, one after the other, until each window block has been used again.
void wash(Harness& harness) {
  for (Token i = 1; i <= 20; ++i) {
    harness.submit(prompt_of(160, 1, 100000 * i));
    harness.run_until_idle();
  }
}

TEST(Sight, CountsBlocksWhereverAWindowBegins) {
  for (const int positions : {1, 4, 16}) {
    for (const int window : {1, 2, 15, 16, 17, 40}) {
      const Sight shape{KvKind::kSliding, window, positions};
      for (const int tokens : {1, 2, 16, 50}) {
        int most = 0;
        for (int start = 0; start < 200; ++start) {
          const int end = start + tokens;
          most = std::max(most, (end + positions - 1) / positions - shape.first_block(start));
        }
        EXPECT_EQ(shape.blocks_over(tokens), most)
            << "window " << window << ", tokens " << tokens << ", blocks of " << positions;
      }
    }
  }
}

TEST(Windows, AnAnswerHoldsNoMoreThanItsWindow) {
  Harness harness(windowed(64));
  const Submission submission = prompt_of(20, 300);
  const SequenceId id = harness.submit(submission);
  int most = 0;
  while (!harness.got[id].finish) {
    const StepPlan plan = harness.step();
    most = std::max(most, harness.scheduler.status().blocks(KvKind::kSliding).leased);
    if (plan.rows.empty() || plan.rows[0].start < 100) continue;
    EXPECT_EQ(plan.rows[0].kv[1].size(), plan.rows[0].kv[0].size());
    EXPECT_EQ(plan.rows[0].kv[1][0], -1);
  }
  EXPECT_EQ(harness.got[id].tokens, fake_answer(submission, 300));
  EXPECT_EQ(most, (Sight{KvKind::kSliding, kWindow, 16}.blocks_over(1)));
  EXPECT_EQ(harness.scheduler.status().blocks(KvKind::kSliding).leased, 0);
  EXPECT_GT(harness.scheduler.status().blocks(KvKind::kSliding).cached, most);
}

TEST(Windows, APromptLeasesItsBlocksChunkByChunk) {
  Harness harness(tight());
  const Submission submission = prompt_of(2000, 3);
  const SequenceId id = harness.submit(submission);
  const StepPlan first = harness.step();
  EXPECT_EQ(first.rows.at(0).tokens.size(), 64u);
  EXPECT_EQ(first.rows.at(0).kv[1].size(), 4u);
  EXPECT_EQ(harness.scheduler.sequences().at(0).blocks, 125);
  EXPECT_LE(harness.scheduler.status().blocks(KvKind::kSliding).leased, 4);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].tokens, fake_answer(submission, 3));
  EXPECT_EQ(harness.scheduler.status().steps, 2000u / 64 + 1 + 2);  // each chunk was whole
}

TEST(Windows, ASecondTurnGoesOnFromTheEndOfTheFirst) {
  Harness harness(windowed(64));
  Submission submission = prompt_of(500, 50);
  const SequenceId first = harness.submit(submission);
  harness.run_until_idle();
  const uint64_t cold = harness.runner.computed_tokens();
  const std::vector<Token>& answer = harness.got[first].tokens;
  submission.tokens.insert(submission.tokens.end(), answer.begin(), answer.end());
  for (Token token = 0; token < 30; ++token) submission.tokens.push_back(token);
  const SequenceId second = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[second].tokens, fake_answer(submission, 50));
  EXPECT_EQ(harness.got[second].finish->cached_tokens, 549);  // 34 blocks, and 5 positions by copy
  EXPECT_EQ(harness.runner.computed_tokens() - cold, 580u - 549 + 49);
}

TEST(Windows, APartlyFilledBlockIsCopiedInBothPools) {
  Harness harness(windowed(64));
  harness.submit(prompt_of(92, 1));
  harness.run_until_idle();
  Submission other = prompt_of(90, 4);
  other.tokens.insert(other.tokens.end(), {1, 2, 3});
  const SequenceId id = harness.submit(other);
  const StepPlan plan = harness.step();
  ASSERT_EQ(plan.copies.size(), 2u);
  for (const int group : {0, 1}) {
    EXPECT_EQ(plan.copies[static_cast<size_t>(group)].group, group);
    EXPECT_EQ(plan.copies[static_cast<size_t>(group)].positions, 10);
  }
  EXPECT_EQ(plan.rows.at(0).start, 90);
  EXPECT_EQ(plan.rows.at(0).kv[1].at(0), -1);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].tokens, fake_answer(other, 4));
}

TEST(Windows, APrefixWhoseWindowIsGoneIsComputedAgain) {
  Harness harness(tight());
  const Submission submission = prompt_of(160, 4);
  harness.submit(submission);
  harness.run_until_idle();
  wash(harness);
  const SequenceId again = harness.submit(submission);
  harness.step();
  EXPECT_EQ(harness.status_of(again)->miss, PrefixMiss::kEvicted);
  EXPECT_EQ(harness.status_of(again)->first_difference, 0);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[again].finish->cached_tokens, 0);
  EXPECT_EQ(harness.got[again].tokens, fake_answer(submission, 4));
  // What was computed a second time is there again.
  const SequenceId third = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[third].finish->cached_tokens, 159);
  EXPECT_EQ(harness.got[third].tokens, fake_answer(submission, 4));
}

TEST(Windows, APrefixCountsUpToWhereItsWindowIsThere) {
  Harness harness(tight());
  const Submission submission = prompt_of(160, 4);
  harness.submit(submission);
  harness.run_until_idle();
  wash(harness);
  // Brings the windows before position 96 back, and no later ones.
  const SequenceId shorter = harness.submit(prompt_of(96, 1));
  harness.run_until_idle();
  EXPECT_EQ(harness.got[shorter].finish->cached_tokens, 0);
  const SequenceId again = harness.submit(submission);
  harness.step();
  EXPECT_EQ(harness.status_of(again)->miss, PrefixMiss::kEvicted);
  EXPECT_EQ(harness.status_of(again)->first_difference, 96);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[again].finish->cached_tokens, 96);
  EXPECT_EQ(harness.got[again].tokens, fake_answer(submission, 4));
}

TEST(Windows, TwentyRequestsComputeTheirSystemPromptOnce) {
  for (const bool washed : {false, true}) {
    SchedulerOptions options = windowed(20 * 8);
    options.step_tokens_max = 128;
    Harness harness(options);
    if (washed) {  // the other pool still knows it, this one does not
      harness.submit(prompt_of(608, 1));
      harness.run_until_idle();
      wash(harness);
      wash(harness);
    }
    const uint64_t before = harness.runner.computed_tokens();
    std::vector<Submission> submissions;
    std::vector<SequenceId> ids;
    for (int i = 0; i < 20; ++i) {
      Submission submission = prompt_of(600, 5);
      for (Token token = 0; token < 40; ++token)
        submission.tokens.push_back(50000 + 100 * i + token);
      ids.push_back(harness.submit(submission));
      submissions.push_back(std::move(submission));
    }
    harness.run_until_idle();
    for (size_t i = 0; i < ids.size(); ++i)
      EXPECT_EQ(harness.got[ids[i]].tokens, fake_answer(submissions[i], 5));
    EXPECT_EQ(harness.runner.computed_tokens() - before, 600u + 20 * (40 + 4));
  }
}

TEST(Windows, AShortPoolServesManyInTurn) {
  Harness harness(tight());
  std::vector<Submission> submissions;
  std::vector<SequenceId> ids;
  for (int i = 0; i < 12; ++i) {
    submissions.push_back(prompt_of(3 + i, 80, 1000 * i));
    ids.push_back(harness.submit(submissions.back()));
  }
  harness.run_until_idle();
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(harness.got[ids[i]].tokens, fake_answer(submissions[i], 80));
  EXPECT_GT(harness.scheduler.status().preemptions, 0u);
}

/// Preemption and concurrent requests do not change where deterministic steps cut prompts.
TEST(Windows, DeterministicStepsAreNeverCutShort) {
  SchedulerOptions options = tight();
  options.deterministic = true;
  options.prefix_cache = false;
  Harness harness(options);
  std::vector<SequenceId> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(harness.submit(prompt_of(100 + i, 40, 1000 * i)));
  for (StepPlan plan = harness.step(); !plan.rows.empty(); plan = harness.step()) {
    ASSERT_EQ(plan.rows.size(), 1u);
    const PlanRow& row = plan.rows[0];
    const int prompt = harness.status_of(row.sequence) == nullptr
                           ? 0
                           : harness.status_of(row.sequence)->prompt_tokens;
    if (row.start + 1 >= prompt) continue;
    EXPECT_EQ(row.start % 64, 0);
    EXPECT_EQ(static_cast<int>(row.tokens.size()), std::min(64, prompt - row.start));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const Submission alone = prompt_of(100 + static_cast<int>(i), 40, 1000 * static_cast<int>(i));
    EXPECT_EQ(harness.got[ids[i]].tokens, fake_answer(alone, 40));
  }
}

TEST(Windows, APoolWithoutRoomForAStepIsRefused) {
  EngineOptions options;
  options.context_tokens_max = 512;
  options.kv =
      windowed(Sight{KvKind::kSliding, kWindow, 16}.blocks_min(options.step_tokens_max) - 1).kv;
  const auto engine = Engine::start(options, []() -> Result<std::unique_ptr<Runner>> {
    return fail(Code::kInternal, "a runner is made");
  });
  EXPECT_EQ(engine.error().code, Code::kInvalidArgument);
}

TEST(Windows, LogProbabilitiesOfAPromptNeedAllOfIt) {
  Harness harness(windowed(64));
  Submission submission = prompt_of(200, 4);
  harness.submit(submission);
  harness.run_until_idle();
  submission.sampling.prompt_logprobs = 0;
  const SequenceId id = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].finish->cached_tokens, 0);
  ASSERT_TRUE(harness.got[id].prompt_logprobs);
  EXPECT_EQ(harness.got[id].prompt_logprobs->entries.size(), 200u);
  EXPECT_EQ(harness.got[id].tokens, fake_answer(submission, 4));
}

TEST(Windows, AStepThatFollowsHasItsBlocks) {
  Harness harness(windowed(64));
  const Submission submission = prompt_of(60, 60);
  const SequenceId id = harness.submit(submission);
  harness.step();
  std::vector<Token> tokens = harness.got[id].tokens;
  while (tokens.size() < 50) {
    const StepPlan plan = harness.scheduler.next(harness.clock.now());
    const std::optional<StepPlan> next = harness.scheduler.next_async(plan, harness.clock.now());
    ASSERT_TRUE(next);
    StepOutput output = harness.runner.run(plan), after = harness.runner.run(*next);
    for (auto* done : {&output, &after}) {
      for (const SequenceEvent& event : harness.scheduler.commit(
               done == &output ? plan : *next, std::move(*done), harness.clock.now()))
        tokens.push_back(std::get<TokenEvent>(event.event).token);
      const Result<void> sound = harness.scheduler.check_integrity();
      ASSERT_TRUE(sound.ok()) << sound.error().message;
    }
    ASSERT_TRUE(harness.runner.faults().empty()) << harness.runner.faults().front();
  }
  const std::vector<Token> expected = fake_answer(submission, 60);
  EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), expected.begin()));
}

}  // namespace
}  // namespace pippin::engine::testing
