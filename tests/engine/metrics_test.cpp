// What the engine measures, what it tells of a prefix that was not there, and a device that throws.
#include "engine/metrics.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>

#include "engine/engine.h"
#include "engine/scheduler_harness.h"
#include "engine/step_stats.h"

namespace pippin::engine::testing {
namespace {

using std::chrono::seconds;

uint64_t total(const Histogram& histogram) {
  const std::vector<uint64_t> counts = histogram.counts();
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

/// Where a ThrowingRunner throws.
enum class Place { kNowhere, kAdmit, kRun };

struct Fault {
  std::atomic<Place> place = Place::kNowhere;
  std::atomic<bool> memory = true;                // bad_alloc; else another exception
  std::atomic<std::chrono::milliseconds> step{};  // how long each takes
};

/// A device that breaks its promise not to throw.
class ThrowingRunner final : public Runner {
 public:
  ThrowingRunner(const EngineOptions& options, std::shared_ptr<Fault> fault)
      : fault_(std::move(fault)), fake_(options) {}

  void admit(SequenceId id, const Submission& submission) override {
    throw_at(Place::kAdmit);
    fake_.admit(id, submission);
    known_.insert(id);
  }
  StepOutput run(const StepPlan& plan) override {
    if (!plan.rows.empty()) throw_at(Place::kRun);
    std::this_thread::sleep_for(fault_->step.load());
    StepPlan known = plan;
    std::erase_if(known.released, [this](SequenceId id) { return known_.erase(id) == 0; });
    return fake_.run(known);
  }

 private:
  void throw_at(Place place) {
    if (fault_->place != place) return;
    if (fault_->memory) throw std::bad_alloc();
    throw std::runtime_error("the device is gone");
  }

  std::shared_ptr<Fault> fault_;
  FakeRunner fake_;
  std::set<SequenceId> known_;  // to the fake, which insists on seeing them first
};

class Measured : public ::testing::Test {
 protected:
  Measured() {
    options_.context_tokens_max = 512;
    options_.kv = KvPlan::full(64);
    options_.rows_max = 4;
    options_.queue_max = 8;
    options_.step_tokens_max = 64;
    auto engine = Engine::start(options_, [this]() -> Result<std::unique_ptr<Runner>> {
      return std::unique_ptr<Runner>(std::make_unique<ThrowingRunner>(options_, fault_));
    });
    CHECK(engine.ok());
    engine_ = std::move(engine).value();
  }

  /// Runs one submission to its end.
  FinishEvent run(Submission submission) {
    const auto stream = engine_->submit(std::move(submission)).value();
    const TimePoint give_up = SystemClock().now() + seconds(20);
    std::vector<Event> events;
    while (SystemClock().now() < give_up) {
      stream->take(events);
      if (!events.empty() && std::holds_alternative<FinishEvent>(events.back()))
        return std::get<FinishEvent>(events.back());
      std::this_thread::yield();
    }
    ADD_FAILURE() << "no end";
    return {};
  }

  uint64_t finished(FinishReason reason) const {
    return engine_->metrics().finished[static_cast<size_t>(reason)];
  }

  EngineOptions options_;
  std::shared_ptr<Fault> fault_ = std::make_shared<Fault>();
  std::unique_ptr<Engine> engine_;
};

TEST(Histogram, CountsByUpperBound) {
  static constexpr double kBounds[] = {1, 2.5, 10};
  Histogram histogram(kBounds);
  for (const double value : {0.0, 1.0, 1.5, 2.5, 9.0, 10.5, 1e9}) histogram.observe(value);
  EXPECT_EQ(histogram.counts(), (std::vector<uint64_t>{2, 2, 1, 2}));
  EXPECT_DOUBLE_EQ(histogram.sum(), 1e9 + 24.5);
}

TEST_F(Measured, EachRequestIsCountedOnce) {
  for (int i = 0; i < 3; ++i) run(prompt_of(100, 5, 50 * i));
  const EngineMetrics& metrics = engine_->metrics();
  for (const Histogram* once :
       {&metrics.first_token_seconds, &metrics.request_seconds, &metrics.queue_seconds,
        &metrics.prefill_seconds, &metrics.decode_seconds, &metrics.per_token_seconds,
        &metrics.request_prompt_tokens, &metrics.request_generated_tokens}) {
    EXPECT_EQ(total(*once), 3u);
  }
  EXPECT_EQ(total(metrics.between_tokens_seconds), 3u * 4u);
  EXPECT_EQ(finished(FinishReason::kLength), 3u);
  EXPECT_EQ(metrics.request_prompt_tokens.sum(), 300);
  EXPECT_EQ(metrics.request_generated_tokens.sum(), 15);
  EXPECT_GE(metrics.request_seconds.sum(), metrics.first_token_seconds.sum());
  EXPECT_EQ(total(metrics.step_seconds), engine_->status().steps);
}

TEST_F(Measured, AStepThatThrowsIsTheEndOfItsRequestsOnly) {
  for (const Place place : {Place::kAdmit, Place::kRun}) {
    for (const bool memory : {true, false}) {
      fault_->memory = memory;
      fault_->place = place;
      const FinishEvent bad = run(prompt_of(40, 5));
      EXPECT_EQ(bad.reason, FinishReason::kError);
      EXPECT_EQ(bad.error.code, memory ? Code::kOutOfMemory : Code::kInternal);
      EXPECT_FALSE(bad.error.message.empty());
      fault_->place = Place::kNowhere;
      const Submission good = prompt_of(40, 5);
      const FinishEvent answered = run(good);
      EXPECT_EQ(answered.reason, FinishReason::kLength) << answered.error.message;
      EXPECT_EQ(engine_->status().blocks().leased, 0);
    }
  }
  EXPECT_EQ(finished(FinishReason::kError), 4u);
  EXPECT_EQ(finished(FinishReason::kLength), 4u);
}

TEST_F(Measured, WhatAFailedStepComputedIsNotCached) {
  fault_->place = Place::kRun;
  run(prompt_of(100, 5));
  fault_->place = Place::kNowhere;
  EXPECT_EQ(run(prompt_of(100, 5)).cached_tokens, 0);
}

TEST(StepStats, TellsHowLongTokensTakeAtTheSpeedOfNow) {
  EngineMetrics metrics;
  StepStats stats(metrics);
  EXPECT_EQ(stats.time_for(100), Duration::zero()) << "nothing is known yet";
  StepPlan plan;
  plan.rows.resize(1);
  plan.rows[0].tokens.resize(100);
  TimePoint now{};
  const auto steps = [&](int count, Duration each) {
    for (int i = 0; i < count; ++i, now += each) stats.ran(plan, now, now + each);
  };
  steps(5, seconds(1));
  EXPECT_EQ(stats.time_for(300), seconds(3));
  steps(40, seconds(2));  // slower now
  EXPECT_GT(stats.time_for(300), std::chrono::milliseconds(5900));
  EXPECT_LE(stats.time_for(300), seconds(6));
}

TEST_F(Measured, AFullQueueTellsWhenItIsWorkedOff) {
  fault_->step = std::chrono::milliseconds(10);
  run(prompt_of(20, 50));  // some 50 steps: at most 140 tokens a second
  std::vector<std::shared_ptr<EventStream>> streams;
  std::optional<Error> refused;
  for (int i = 0; i < 40 && !refused; ++i) {
    auto stream = engine_->submit(prompt_of(100, 50, 50 * i));
    if (stream.ok()) {
      streams.push_back(*std::move(stream));
    } else {
      refused = stream.error();
    }
  }
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code, Code::kOverloaded);
  EXPECT_GE(refused->retry_after_s, 5);  // 8 of 150 tokens
  EXPECT_LE(refused->retry_after_s, 60);
}

TEST_F(Measured, WhatADrainCutsOffIsToldWhy) {
  fault_->step = std::chrono::milliseconds(5);
  const auto stream = engine_->submit(prompt_of(20, 400)).value();
  engine_->drain(std::chrono::milliseconds(30));
  std::vector<Event> events;
  stream->take(events);
  ASSERT_FALSE(events.empty());
  const auto& finish = std::get<FinishEvent>(events.back());
  EXPECT_EQ(finish.reason, FinishReason::kCancelled);
  EXPECT_EQ(finish.error.code, Code::kUnavailable);
}

SchedulerOptions cause_options() {
  SchedulerOptions options = small_options();
  options.kv = KvPlan::full(16);
  return options;
}

/// Admits a prompt. Returns: what the status then tells of it.
SequenceStatus admitted(Harness& harness, Submission submission) {
  const SequenceId id = harness.submit(std::move(submission));
  harness.step();
  const SequenceStatus* status = harness.status_of(id);
  EXPECT_NE(status, nullptr);
  return status == nullptr ? SequenceStatus{} : *status;
}

TEST(MissCause, TellsNewFromKnown) {
  Harness harness(cause_options());
  const SequenceStatus cold = admitted(harness, prompt_of(40, 2));
  EXPECT_EQ(cold.miss, PrefixMiss::kNew);
  EXPECT_EQ(cold.first_difference, 0);
  harness.run_until_idle();
  const SequenceStatus same = admitted(harness, prompt_of(40, 4));
  EXPECT_EQ(same.miss, PrefixMiss::kNone);
  EXPECT_EQ(same.cached_tokens, 39);
}

TEST(MissCause, TellsAChangeFromAContinuation) {
  Harness harness(cause_options());
  harness.submit(prompt_of(40, 1));
  harness.run_until_idle();
  Submission changed = prompt_of(40, 4);
  changed.tokens[20] = 7;
  const SequenceStatus differs = admitted(harness, changed);
  EXPECT_EQ(differs.miss, PrefixMiss::kDiffers);
  EXPECT_EQ(differs.first_difference, 20);
  harness.run_until_idle();
  const SequenceStatus longer = admitted(harness, prompt_of(60, 4));
  EXPECT_EQ(longer.miss, PrefixMiss::kContinues);
  EXPECT_EQ(longer.first_difference, 40);
}

TEST(MissCause, TellsWhatWasEvicted) {
  Harness harness(cause_options());
  harness.submit(prompt_of(64, 1));
  harness.run_until_idle();
  harness.submit(prompt_of(250, 1, 1000));  // all of the pool
  harness.run_until_idle();
  const SequenceStatus again = admitted(harness, prompt_of(64, 4));
  EXPECT_EQ(again.miss, PrefixMiss::kEvicted);
  EXPECT_EQ(again.cached_tokens, 0);
}

TEST(MissCause, TellsAnotherSalt) {
  Harness harness(cause_options());
  harness.submit(prompt_of(40, 1));
  harness.run_until_idle();
  Submission other = prompt_of(40, 4);
  other.cache_salt = "another tenant";
  EXPECT_EQ(admitted(harness, other).miss, PrefixMiss::kOtherSalt);
}

TEST(MissCause, TellsWhatWasNotLookedUp) {
  Harness harness(cause_options());
  Submission scored = prompt_of(40, 4);
  scored.sampling.prompt_logprobs = 0;
  EXPECT_EQ(admitted(harness, scored).miss, PrefixMiss::kPromptLogprobs);
  SchedulerOptions off = cause_options();
  off.prefix_cache = false;
  Harness without(off);
  EXPECT_EQ(admitted(without, prompt_of(40, 4)).miss, PrefixMiss::kOff);
}

TEST(QueuePosition, IsTheOrderOfAdmission) {
  SchedulerOptions options = small_options();
  options.rows_max = 1;
  Harness harness(options);
  const SequenceId running = harness.submit(prompt_of(10, 5));
  harness.step();
  const SequenceId normal = harness.submit(prompt_of(10, 5, 200));
  Submission low = prompt_of(10, 5, 300);
  low.priority = Priority::kLow;
  const SequenceId last = harness.submit(low);
  const SequenceId next = harness.submit(prompt_of(10, 5, 400));
  EXPECT_EQ(harness.status_of(running)->queue_position, 0);
  EXPECT_EQ(harness.status_of(normal)->queue_position, 1);
  EXPECT_EQ(harness.status_of(next)->queue_position, 2);
  EXPECT_EQ(harness.status_of(last)->queue_position, 3);
}

}  // namespace
}  // namespace pippin::engine::testing
