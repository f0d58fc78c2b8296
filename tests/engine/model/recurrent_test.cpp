// Recurrent models and hybrids behind the scheduler: states follow their sequences through batches,
// prefix hits, preemption and rejected drafts, and no answer changes by a bit. With the tiny
// checkpoints of their families.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/direct_run.h"
#include "engine/core/state_group.h"
#include "engine/exec/runner.h"
#include "engine/model/random_submission.h"
#include "store/checkpoint.h"

namespace pippin::engine {
namespace {

// Counts the tokens that a runner computes.
class CountingRunner final : public Runner {
 public:
  explicit CountingRunner(std::unique_ptr<Runner> of) : runner_(std::move(of)) {}
  void admit(SequenceId id, const Submission& submission) override {
    runner_->admit(id, submission);
  }
  StepOutput run(const StepPlan& plan) override {
    enqueue(plan);
    return collect();
  }
  bool can_enqueue_async(const StepPlan& plan) const override {
    return runner_->can_enqueue_async(plan);
  }
  void enqueue(const StepPlan& plan) override {
    for (const PlanRow& row : plan.rows) tokens += static_cast<int>(row.tokens.size());
    runner_->enqueue(plan);
  }
  StepOutput collect() override { return runner_->collect(); }

  int tokens = 0;

 private:
  const std::unique_ptr<Runner> runner_;
};

// Guesses from an answer that is known, of which some are wrong.
class KnownDrafter final : public Drafter {
 public:
  KnownDrafter(size_t prompt, std::vector<Token> answer)
      : prompt_(prompt), answer_(std::move(answer)) {}
  std::vector<Token> propose(std::span<const Token> tokens, int at_most) override {
    const size_t at = tokens.size() - prompt_;
    std::vector<Token> guesses;
    for (size_t i = at; i < answer_.size() && static_cast<int>(guesses.size()) < at_most; ++i)
      guesses.push_back(i % 7 == 3 || i % 5 == 4 ? (answer_[i] + 1) % 100 : answer_[i]);
    return guesses;
  }

 private:
  const size_t prompt_;
  const std::vector<Token> answer_;
};

class Recurrent : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    file.emplace(store::Checkpoint::open(std::string(PIPPIN_SOURCE_DIR) +
                                         "/tests/models/fixtures/families/" + GetParam() +
                                         "/model.gguf")
                     .value());
    info = inspect_model(*file).value();
    options.context_tokens_max = 1024;
    options.step_tokens_max = 300;
    for (const KvGroupSpec& group : info.kv)
      options.kv.add(group, group.kind == KvKind::kState ? 30 : 800);
    RunnerOptions given;
    given.threads = 2;
    given.kv = options.kv;
    runner.emplace(make_runner(*file, given).value());
  }

  Submission submission(uint32_t seed, int prompt, int generate) const {
    return random_submission(info.vocab, seed, prompt, generate);
  }

  std::vector<Submission> twelve() const {
    std::vector<Submission> all;
    for (uint32_t i = 0; i < 12; ++i)
      all.push_back(submission(i + 1, 3 + static_cast<int>(i * i) * 4, 12 + static_cast<int>(i)));
    return all;
  }

  // Each with nothing beside it and nothing cached.
  std::vector<std::vector<Token>> alone(const std::vector<Submission>& submissions) {
    std::vector<std::vector<Token>> answers;
    SchedulerOptions cold = options;
    cold.prefix_cache = false;
    for (const Submission& one : submissions) {
      DirectRun run(*runner, cold, ids);
      answers.push_back(run.run({one}, 0).value()[0].tokens);
    }
    return answers;
  }

  void expect_same(const std::vector<DirectAnswer>& got, const std::vector<Submission>& of) {
    const std::vector<std::vector<Token>> want = alone(of);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].tokens, want[i]) << "request " << i;
  }

  bool has_positions() const { return options.kv.group(KvKind::kFull) != nullptr; }

  std::optional<store::Checkpoint> file;
  ModelInfo info;
  SchedulerOptions options;
  std::optional<CountingRunner> runner;
  uint64_t ids = 0;
};

TEST_P(Recurrent, RaggedBatchesAndAlone) {
  for (const int stagger : {0, 1}) {
    options.prefix_cache = stagger > 0;
    DirectRun run(*runner, options, ids);
    expect_same(run.run(twelve(), stagger).value(), twelve());
  }
}

TEST_P(Recurrent, ChunksOfAnySize) {
  for (const int chunk : {16, 50, 512}) {
    options.step_tokens_max = chunk;
    DirectRun run(*runner, options, ids);
    expect_same(run.run({submission(3, 700, 10)}, 0).value(), {submission(3, 700, 10)});
  }
}

// Prompts leave a state at each multiple of 512 positions.
TEST_P(Recurrent, APrefixHitAndCold) {
  DirectRun run(*runner, options, ids);
  Submission first = submission(5, 600, 4), second = submission(6, 700, 10);
  std::copy_n(first.tokens.begin(), 580, second.tokens.begin());
  ASSERT_TRUE(run.run({first}, 0).ok());
  runner->tokens = 0;
  const std::vector<DirectAnswer> answers = run.run({second}, 0).value();
  EXPECT_EQ(answers[0].finish.cached_tokens, 512);
  EXPECT_EQ(runner->tokens, 700 - 512 + 9);
  expect_same(answers, {second});
}

// A conversation's next turn goes on from the state that its answer left.
TEST_P(Recurrent, ASecondTurnComputesOnlyTheNewTokens) {
  DirectRun run(*runner, options, ids);
  Submission turn = submission(7, 960, 40);
  const std::vector<Token> answer = run.run({turn}, 0).value()[0].tokens;
  turn.tokens.insert(turn.tokens.end(), answer.begin(), answer.end());
  ASSERT_EQ(turn.tokens.size(), 1000u);
  for (Token token = 0; token < 16; ++token) turn.tokens.push_back(100 + token);
  turn.stop.max_tokens = 8;
  runner->tokens = 0;
  const std::vector<DirectAnswer> answers = run.run({turn}, 0).value();
  // The answer's last token was never computed; neither is this one's.
  EXPECT_EQ(answers[0].finish.cached_tokens, 999);
  EXPECT_EQ(runner->tokens, 1 + 16 + 7);
  expect_same(answers, {turn});
}

TEST_P(Recurrent, PreemptedAndNot) {
  if (!has_positions()) GTEST_SKIP() << "a state never grows: nothing is preempted";
  std::vector<Submission> requests;
  for (uint32_t i = 0; i < 6; ++i) requests.push_back(submission(20 + i, 40, 60));
  options.kv.group(KvKind::kFull)->blocks = 22;  // three whole answers at once
  for (const bool prefix_cache : {false, true}) {
    options.prefix_cache = prefix_cache;
    DirectRun run(*runner, options, ids);
    expect_same(run.run(requests, 0).value(), requests);
    EXPECT_GT(run.status().preemptions, 0u);
  }
}

TEST_P(Recurrent, FewStatesMakeSequencesWait) {
  options.kv.group(KvKind::kState)->blocks = StateGroup::kBlocksMin;
  DirectRun run(*runner, options, ids);
  expect_same(run.run(twelve(), 0).value(), twelve());
}

TEST_P(Recurrent, RejectedDraftsLeaveNoTrace) {
  std::vector<Submission> requests;
  for (uint32_t i = 0; i < 5; ++i) requests.push_back(submission(41 + i, 20 + 30 * i, 40));
  const std::vector<std::vector<Token>> plain = alone(requests);
  std::vector<Submission> drafted = requests;
  for (size_t i = 0; i < drafted.size(); ++i)
    drafted[i].drafter = std::make_shared<KnownDrafter>(drafted[i].tokens.size(), plain[i]);
  for (const bool prefix_cache : {false, true}) {
    options.prefix_cache = prefix_cache;
    DirectRun run(*runner, options, ids);
    const std::vector<DirectAnswer> answers = run.run(drafted, 1).value();
    for (size_t i = 0; i < answers.size(); ++i)
      EXPECT_EQ(answers[i].tokens, plain[i]) << "request " << i;
    EXPECT_GT(run.status().accepted, 0u);
    EXPECT_GT(run.status().drafted, run.status().accepted);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Recurrent, testing::Values("lfm2", "qwen35", "mamba2_tied"),
                         [](const auto& c) { return c.param; });

}  // namespace
}  // namespace pippin::engine
