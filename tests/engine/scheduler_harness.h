// A scheduler with a fake runner and a clock set by hand, driven step by step.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <utility>
#include <vector>

#include "engine/core/scheduler.h"
#include "engine/sim/fake_runner.h"

namespace pippin::engine::testing {

inline SchedulerOptions small_options() {
  SchedulerOptions options;
  options.context_tokens_max = 512;
  options.kv = KvPlan::full(64);
  options.rows_max = 8;
  options.queue_max = 64;
  options.step_tokens_max = 64;
  options.inputs = ModelInputs::all(2);
  return options;
}

inline Submission prompt_of(int tokens, int max_tokens, Token first = 100) {
  Submission submission;
  for (int i = 0; i < tokens; ++i) submission.tokens.push_back(first + i);
  submission.stop.max_tokens = max_tokens;
  return submission;
}

/// What one sequence's reader has got.
struct Got {
  std::vector<Token> tokens;
  std::optional<FinishEvent> finish;
  std::optional<PromptLogprobsEvent> prompt_logprobs;
  std::vector<float> embedding;
};

class Harness {
 public:
  explicit Harness(const SchedulerOptions& options) : scheduler(options), runner(options) {}

  SequenceId submit(Submission submission) {
    const SequenceId id{++ids_};
    const Result<void> submitted = scheduler.submit(id, std::move(submission));
    EXPECT_TRUE(submitted.ok());
    return id;
  }

  /// Plans, runs and commits one step, and checks everything that must hold after it.
  StepPlan step() {
    StepPlan plan = scheduler.next(clock.now());
    StepOutput output;
    if (plan.runs()) {
      for (const SequenceId id : plan.admitted) runner.admit(id, scheduler.submission(id));
      output = runner.run(plan);
    }
    clock.advance(std::chrono::milliseconds(10));
    for (SequenceEvent& event : scheduler.commit(plan, std::move(output), clock.now())) {
      take(event);
    }
    const Result<void> sound = scheduler.check_integrity();
    EXPECT_TRUE(sound.ok()) << sound.error().message;
    EXPECT_TRUE(runner.faults().empty()) << runner.faults().front();
    return plan;
  }

  /// Steps until nothing runs; fails after `steps_max`.
  void run_until_idle(int steps_max = 2000) {
    for (int i = 0; i < steps_max; ++i) {
      if (step().rows.empty()) return;
    }
    ADD_FAILURE() << "still busy after " << steps_max << " steps";
  }

  const SequenceStatus* status_of(SequenceId id) {
    statuses_ = scheduler.sequences();
    for (const SequenceStatus& status : statuses_) {
      if (status.id == id) return &status;
    }
    return nullptr;
  }

  ManualClock clock;
  Scheduler scheduler;
  FakeRunner runner;
  std::map<SequenceId, Got> got;

 private:
  void take(SequenceEvent& event) {
    Got& reader = got[event.sequence];
    EXPECT_FALSE(reader.finish.has_value()) << "an event after the last";
    if (auto* token = std::get_if<TokenEvent>(&event.event)) {
      EXPECT_EQ(token->index, static_cast<int>(reader.tokens.size()));
      reader.tokens.push_back(token->token);
    } else if (auto* logprobs = std::get_if<PromptLogprobsEvent>(&event.event)) {
      EXPECT_TRUE(reader.tokens.empty() && !reader.prompt_logprobs);
      reader.prompt_logprobs = std::move(*logprobs);
    } else if (auto* embedding = std::get_if<EmbeddingEvent>(&event.event)) {
      reader.embedding = std::move(embedding->values);
    } else {
      reader.finish = std::get<FinishEvent>(std::move(event.event));
    }
  }

  uint64_t ids_ = 0;
  std::vector<SequenceStatus> statuses_;
};

}  // namespace pippin::engine::testing
