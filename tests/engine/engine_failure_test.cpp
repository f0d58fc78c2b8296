// What is thrown on the device thread: an error of the start, of a step, or of all that lives;
// never the end of the process.
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/no_more_threads.h"
#include "engine/engine.h"
#include "engine/sim/fake_runner.h"

namespace pippin::engine::testing {
namespace {

constexpr Duration kLong = std::chrono::seconds(20);

/// Where a runner throws, and what.
struct Faults {
  std::mutex mutex;
  std::string where;  // "run", "admit", "can_enqueue_async"
  std::function<void()> raise = [] { throw std::runtime_error("the device is on fire"); };

  void set(std::string place) {
    const std::lock_guard lock(mutex);
    where = std::move(place);
  }
  void pass(std::string_view place) {
    const std::lock_guard lock(mutex);
    if (where == place) raise();
  }
};

class ThrowingRunner final : public Runner {
 public:
  ThrowingRunner(const EngineOptions& options, std::shared_ptr<Faults> faults)
      : faults_(std::move(faults)), fake_(options) {}

  void admit(SequenceId id, const Submission& submission) override {
    fake_.admit(id, submission);
    faults_->pass("admit");
  }
  StepOutput run(const StepPlan& plan) override {
    if (!plan.rows.empty()) faults_->pass("run");
    return fake_.run(plan);
  }
  bool can_enqueue_async(const StepPlan& plan) const override {
    if (!plan.rows.empty()) faults_->pass("can_enqueue_async");
    return false;
  }

 private:
  const std::shared_ptr<Faults> faults_;
  FakeRunner fake_;
};

class EngineFailureTest : public ::testing::Test {
 protected:
  EngineFailureTest() {
    options_.context_tokens_max = 256;
    options_.kv = KvPlan::full(32);
    options_.rows_max = 4;
  }

  void start() {
    auto engine = Engine::start(options_, [this]() -> Result<std::unique_ptr<Runner>> {
      return std::unique_ptr<Runner>(std::make_unique<ThrowingRunner>(options_, faults_));
    });
    ASSERT_TRUE(engine.ok());
    engine_ = std::move(engine).value();
  }

  std::shared_ptr<EventStream> submit(int max_tokens) {
    Submission submission;
    submission.tokens = {1, 2, 3};
    submission.stop.max_tokens = max_tokens;
    return *engine_->submit(std::move(submission));
  }

  /// Waits for a stream's end.
  static FinishEvent end_of(EventStream& stream) {
    struct Waiting {
      std::mutex mutex;
      std::condition_variable changed;
      bool events = false;
    };
    const auto waiting = std::make_shared<Waiting>();
    stream.set_notify([waiting] {
      const std::lock_guard lock(waiting->mutex);
      waiting->events = true;
      waiting->changed.notify_all();
    });
    while (true) {
      {
        std::unique_lock lock(waiting->mutex);
        if (!waiting->changed.wait_for(lock, kLong, [&] { return waiting->events; })) {
          ADD_FAILURE() << "the stream never ends";
          return {};
        }
        waiting->events = false;
      }
      std::vector<Event> events;
      stream.take(events);
      for (const Event& event : events)
        if (const auto* last = std::get_if<FinishEvent>(&event)) return *last;
    }
  }

  EngineOptions options_;
  std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineFailureTest, WhatTheMakerThrowsIsTheStartsError) {
  const auto started = [this](const std::function<void()>& raise) {
    return Engine::start(options_, [&]() -> Result<std::unique_ptr<Runner>> {
      raise();
      return fail(Code::kNotFound, "not reached");
    });
  };
  const auto failed = started([] { throw std::runtime_error("no device"); });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, Code::kInternal);
  EXPECT_NE(failed.error().message.find("no device"), std::string::npos);
  EXPECT_EQ(started([] { throw std::bad_alloc(); }).error().code, Code::kOutOfMemory);
  EXPECT_EQ(started([] { throw 7; }).error().code, Code::kInternal);
}

TEST_F(EngineFailureTest, WithoutAThreadThereIsNoEngine) {
  if (!pippin::testing::NoMoreThreads::possible()) GTEST_SKIP() << "not to be had on this system";
  const pippin::testing::NoMoreThreads none;
  const auto engine = Engine::start(options_, nullptr);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code, Code::kUnavailable);
}

TEST_F(EngineFailureTest, WhatAStepThrowsIsItsRowsError) {
  start();
  for (const char* where : {"run", "admit"}) {
    for (const bool typed : {true, false}) {
      faults_->raise = [typed] { typed ? throw std::runtime_error("a step") : throw 7; };
      faults_->set(where);
      const FinishEvent last = end_of(*submit(5));
      EXPECT_EQ(last.reason, FinishReason::kError);
      EXPECT_EQ(last.error.code, Code::kInternal);
      faults_->set("");
      EXPECT_EQ(end_of(*submit(5)).reason, FinishReason::kLength) << "the engine lives on";
    }
  }
  EXPECT_FALSE(engine_->has_failed());
}

TEST_F(EngineFailureTest, WhatTheLoopThrowsEndsAllThatLives) {
  start();
  std::shared_ptr<EventStream> first, second;
  {
    // The loop waits in its first step until both are there.
    const std::lock_guard lock(faults_->mutex);
    faults_->where = "can_enqueue_async";
    first = submit(200);
    second = submit(200);
  }
  for (EventStream* stream : {first.get(), second.get()}) {
    const FinishEvent last = end_of(*stream);
    EXPECT_EQ(last.reason, FinishReason::kError);
    EXPECT_NE(last.error.message.find("the device is on fire"), std::string::npos);
  }
  EXPECT_TRUE(engine_->has_failed());
  faults_->set("");
  Submission late;
  late.tokens = {1};
  late.stop.max_tokens = 5;
  const auto refused = engine_->submit(late);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInternal);
  EXPECT_TRUE(engine_->sequences().empty());
  EXPECT_EQ(engine_->status().running, 0);
  EXPECT_FALSE(engine_->resize_kv({16}));
  engine_->make_deterministic();
  const TimePoint before = SystemClock().now();
  engine_->drain(kLong);
  EXPECT_LT(SystemClock().now() - before, kLong / 2) << "nothing lives";
}

}  // namespace
}  // namespace pippin::engine::testing
