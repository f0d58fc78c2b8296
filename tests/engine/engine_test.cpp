// The device thread, the mailbox and the streams, with a fake device that can be held still.
#include "engine/engine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <random>
#include <thread>

#include "engine/core/recorder.h"
#include "engine/sim/fake_runner.h"

namespace pippin::engine::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kLong = seconds(20);  // a limit for what happens at once, unless it never does

/// Lets steps through one by one, or all.
class Gate {
 public:
  void open() { allow(1 << 30); }
  void allow(int steps) {
    const std::lock_guard lock(mutex_);
    allowed_ += steps;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return allowed_ > 0; });
    --allowed_;
  }
  bool wait_for_arrivals(int steps) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLong, [&] { return arrived_ >= steps; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int allowed_ = 0;
  int arrived_ = 0;
};

/// What the test and the device thread share about the fake device.
struct Device {
  Gate gate;
  std::atomic<size_t> states = 0;
  std::atomic<bool> fails = false;
  std::atomic<int> in_service = -1;  // blocks, when some were given back
  std::mutex mutex;
  std::vector<std::string> faults;  // guarded by mutex
};

class GatedRunner final : public Runner {
 public:
  GatedRunner(const EngineOptions& options, std::shared_ptr<Device> device)
      : device_(std::move(device)), fake_(options) {
    fake_.fails = [device = device_](const PlanRow&) { return device->fails.load(); };
  }

  void admit(SequenceId id, const Submission& submission) override { fake_.admit(id, submission); }

  bool can_give_back() const override { return true; }
  void give_back(std::span<const int> in_service) override {
    device_->in_service = in_service.front();
  }

  StepOutput run(const StepPlan& plan) override {
    if (!plan.rows.empty()) device_->gate.pass();
    StepOutput output = fake_.run(plan);
    device_->states = fake_.states();
    const std::lock_guard lock(device_->mutex);
    device_->faults = fake_.faults();
    return output;
  }

 private:
  std::shared_ptr<Device> device_;
  FakeRunner fake_;
};

/// Reads a stream on the test's thread.
class Reader {
 public:
  explicit Reader(std::shared_ptr<EventStream> stream) : stream_(std::move(stream)) {
    stream_->set_notify([waiting = waiting_] {
      const std::lock_guard lock(waiting->mutex);
      waiting->events = true;
      waiting->changed.notify_all();
    });
  }

  /// Reads until the stream has ended or the tokens wanted are there.
  /// Returns: false if nothing
  /// came for too long.
  bool read(size_t tokens_wanted = SIZE_MAX) {
    while (!finish && tokens.size() < tokens_wanted) {
      {
        std::unique_lock lock(waiting_->mutex);
        if (!waiting_->changed.wait_for(lock, kLong, [this] { return waiting_->events; }))
          return false;
        waiting_->events = false;
      }
      take();
    }
    return true;
  }

  void take() {
    events_.clear();
    stream_->take(events_);
    for (Event& event : events_) {
      EXPECT_FALSE(finish.has_value()) << "an event after the last";
      if (const auto* token = std::get_if<TokenEvent>(&event)) {
        EXPECT_EQ(token->index, static_cast<int>(tokens.size()));
        tokens.push_back(token->token);
      } else if (auto* last = std::get_if<FinishEvent>(&event)) {
        finish = std::move(*last);
      }
    }
  }

  EventStream& stream() { return *stream_; }

  std::vector<Token> tokens;
  std::optional<FinishEvent> finish;

 private:
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    bool events = false;
  };
  std::shared_ptr<Waiting> waiting_ = std::make_shared<Waiting>();
  std::shared_ptr<EventStream> stream_;
  std::vector<Event> events_;
};

Submission prompt_of(int tokens, int max_tokens, Token first = 100) {
  Submission submission;
  for (int i = 0; i < tokens; ++i) submission.tokens.push_back(first + i);
  submission.stop.max_tokens = max_tokens;
  return submission;
}

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    options_.context_tokens_max = 1024;
    options_.kv = KvPlan::full(128);
    options_.rows_max = 16;
    options_.step_tokens_max = 64;
  }

  void start() {
    auto engine = Engine::start(options_, [this]() -> Result<std::unique_ptr<Runner>> {
      return std::unique_ptr<Runner>(std::make_unique<GatedRunner>(options_, device_));
    });
    ASSERT_TRUE(engine.ok());
    engine_ = std::move(engine).value();
  }

  Reader submit(Submission submission) {
    auto stream = engine_->submit(std::move(submission));
    CHECK(stream.ok());
    return Reader(std::move(stream).value());
  }

  /// Waits for a condition that the device thread will make true.
  template <typename Condition>
  static bool eventually(Condition&& holds) {
    const TimePoint give_up = SystemClock().now() + kLong;
    while (!holds()) {
      if (SystemClock().now() > give_up) return false;
      std::this_thread::yield();
    }
    return true;
  }

  /// Lets the device take steps, not faster than another thread gets to speak, until that thread is
  /// done.
  void step_until_ready(std::future<void>& done) {
    ASSERT_TRUE(eventually([&] {
      device_->gate.allow(1);
      return done.wait_for(milliseconds(1)) == std::future_status::ready;
    }));
  }

  void TearDown() override {
    device_->gate.open();
    engine_.reset();
    EXPECT_TRUE(device_->faults.empty()) << device_->faults.front();
  }

  EngineOptions options_;
  std::shared_ptr<Device> device_ = std::make_shared<Device>();
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, ReturnsTheRunnersError) {
  const auto engine = Engine::start(options_, []() -> Result<std::unique_ptr<Runner>> {
    return fail(Code::kInvalidFile, "no such model");
  });
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code, Code::kInvalidFile);
  options_.kv = KvPlan::full(0);
  EXPECT_EQ(Engine::start(options_, nullptr).error().code, Code::kInvalidArgument);
}

TEST_F(EngineTest, ManyTogetherAnswerAsEachAlone) {
  start();
  device_->gate.open();
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([this, client] {
      for (int i = 0; i < 8; ++i) {
        Submission submission = prompt_of(20 + 7 * i, 30, 10 * client);
        submission.sampling.seed = static_cast<uint64_t>(client);
        Reader reader = submit(submission);
        ASSERT_TRUE(reader.read());
        EXPECT_EQ(reader.tokens, fake_answer(submission, 30));
        EXPECT_EQ(reader.finish->reason, FinishReason::kLength);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(engine_->status().generated_tokens, 4u * 8u * 30u);
}

TEST_F(EngineTest, RefusesAtSubmit) {
  start();
  EXPECT_EQ(engine_->submit(prompt_of(0, 5)).error().code, Code::kInvalidArgument);
  EXPECT_EQ(engine_->submit(prompt_of(1024, 5)).error().code, Code::kContextLength);
}

TEST_F(EngineTest, AFullQueueIsOverloaded) {
  options_.queue_max = 3;
  options_.rows_max = 1;
  start();
  std::vector<Reader> readers;
  readers.push_back(submit(prompt_of(10, 3)));
  ASSERT_TRUE(device_->gate.wait_for_arrivals(1));  // the first one is admitted
  ASSERT_TRUE(eventually([&] { return engine_->status().running == 1; }));
  device_->gate.allow(1);
  ASSERT_TRUE(device_->gate.wait_for_arrivals(2));
  for (int i = 0; i < 3; ++i) readers.push_back(submit(prompt_of(10, 3)));
  EXPECT_EQ(engine_->submit(prompt_of(10, 3)).error().code, Code::kOverloaded);
  device_->gate.open();
  for (Reader& reader : readers) {
    ASSERT_TRUE(reader.read());
    EXPECT_EQ(reader.tokens.size(), 3u);
  }
  EXPECT_TRUE(eventually([&] { return engine_->submit(prompt_of(10, 3)).ok(); }));
}

TEST_F(EngineTest, CancellationTakesEffectWithinOneStep) {
  start();
  Reader reader = submit(prompt_of(10, 500));
  device_->gate.allow(3);
  ASSERT_TRUE(device_->gate.wait_for_arrivals(4));  // three are done, the fourth is under way
  reader.stream().cancel(FinishReason::kStop);
  reader.stream().cancel(FinishReason::kTimeout);  // the first reason counts
  device_->gate.allow(1);
  ASSERT_TRUE(reader.read());
  EXPECT_EQ(reader.finish->reason, FinishReason::kStop);
  EXPECT_EQ(reader.tokens.size(), 4u);
  EXPECT_EQ(engine_->status().blocks().leased, 0);
  EXPECT_EQ(engine_->status().steps, 4u);
  EXPECT_TRUE(eventually([&] { return device_->states == 0; }));
}

TEST_F(EngineTest, DroppingTheLastHandleCancels) {
  start();
  device_->gate.allow(3);
  {
    Reader reader = submit(prompt_of(10, 900));
    ASSERT_TRUE(reader.read(3));
    ASSERT_TRUE(device_->gate.wait_for_arrivals(4));
  }
  device_->gate.open();
  EXPECT_TRUE(eventually([&] { return engine_->sequences().empty(); }));
  EXPECT_EQ(engine_->status().generated_tokens, 4u);
  EXPECT_EQ(engine_->status().blocks().leased, 0);
}

TEST_F(EngineTest, NotifiesAtOnceWhenEventsWait) {
  start();
  device_->gate.open();
  auto stream = engine_->submit(prompt_of(10, 3)).value();
  ASSERT_TRUE(eventually([&] { return engine_->status().generated_tokens == 3; }));
  ASSERT_TRUE(eventually([&] { return engine_->status().running == 0; }));
  std::vector<Event> events;
  ASSERT_TRUE(eventually([&] {
    stream->take(events);
    return events.size() == 4;
  }));
  int calls = 0;
  stream->set_notify([&calls] { ++calls; });
  EXPECT_EQ(calls, 0);

  auto second = engine_->submit(prompt_of(10, 3)).value();
  engine_->drain(kLong);  // all its events are there
  second->set_notify([&calls] { ++calls; });
  EXPECT_EQ(calls, 1);
  second->set_notify(nullptr);
}

TEST_F(EngineTest, ASlowReaderLosesNothing) {
  options_.event_queue_max = 4;
  start();
  device_->gate.open();
  const Submission slow_submission = prompt_of(10, 50);
  Reader slow = submit(slow_submission);
  ASSERT_TRUE(eventually([&] { return engine_->status().paused == 1; }));
  EXPECT_EQ(engine_->status().generated_tokens, 4u);
  Reader quick = submit(prompt_of(10, 20, 300));
  ASSERT_TRUE(quick.read());
  EXPECT_EQ(quick.tokens.size(), 20u);
  ASSERT_TRUE(slow.read());
  EXPECT_EQ(slow.tokens, fake_answer(slow_submission, 50));
  EXPECT_EQ(slow.finish->reason, FinishReason::kLength);
}

TEST_F(EngineTest, ATooSlowReaderIsCancelledWhileTheEngineIdles) {
  options_.event_queue_max = 4;
  options_.slow_reader_max = milliseconds(50);
  start();
  device_->gate.open();
  Reader reader = submit(prompt_of(10, 50));
  ASSERT_TRUE(eventually([&] { return engine_->status().paused == 1; }));
  ASSERT_TRUE(eventually([&] { return engine_->sequences().empty(); }));
  ASSERT_TRUE(reader.read());
  EXPECT_EQ(reader.finish->reason, FinishReason::kSlowReader);
  EXPECT_EQ(reader.tokens.size(), 4u);
}

TEST_F(EngineTest, ADeadlineEndsASequenceWhileTheEngineIdles) {
  options_.event_queue_max = 1;
  start();
  device_->gate.open();
  Submission submission = prompt_of(10, 50);
  submission.deadline = SystemClock().now() + milliseconds(50);
  Reader reader = submit(submission);
  ASSERT_TRUE(eventually([&] { return engine_->status().paused == 1; }));
  ASSERT_TRUE(eventually([&] { return engine_->sequences().empty(); }));
  ASSERT_TRUE(reader.read());
  EXPECT_EQ(reader.finish->reason, FinishReason::kTimeout);
}

TEST_F(EngineTest, AFailedStepIsTheEndOfItsSequencesOnly) {
  start();
  device_->gate.open();
  device_->fails = true;
  Reader bad = submit(prompt_of(10, 5));
  ASSERT_TRUE(bad.read());
  EXPECT_EQ(bad.finish->reason, FinishReason::kError);
  EXPECT_EQ(bad.finish->error.code, Code::kInternal);
  device_->fails = false;
  Reader good = submit(prompt_of(10, 5));
  ASSERT_TRUE(good.read());
  EXPECT_EQ(good.tokens.size(), 5u);
}

TEST_F(EngineTest, DrainLetsThemEndAndRefusesNewOnes) {
  start();
  Reader reader = submit(prompt_of(10, 20));
  auto drained = std::async(std::launch::async, [this] { engine_->drain(kLong); });
  ASSERT_TRUE(eventually([&] {
    const auto refused = engine_->submit(prompt_of(10, 5));
    return !refused.ok() && refused.error().code == Code::kUnavailable;
  }));
  device_->gate.open();
  drained.get();
  reader.take();
  ASSERT_TRUE(reader.finish.has_value());
  EXPECT_EQ(reader.finish->reason, FinishReason::kLength);
  EXPECT_EQ(reader.tokens.size(), 20u);
}

TEST_F(EngineTest, DrainCancelsWhenTheTimeIsOver) {
  start();
  Reader reader = submit(prompt_of(10, 900));
  ASSERT_TRUE(device_->gate.wait_for_arrivals(1));
  auto drained = std::async(std::launch::async, [this] { engine_->drain(Duration::zero()); });
  step_until_ready(drained);
  reader.take();
  ASSERT_TRUE(reader.finish.has_value());
  EXPECT_EQ(reader.finish->reason, FinishReason::kCancelled);
}

TEST_F(EngineTest, TheEngineEndsEveryStream) {
  options_.rows_max = 1;
  start();
  std::vector<Reader> readers;
  for (int i = 0; i < 3; ++i) readers.push_back(submit(prompt_of(10, 900, 100 * i)));
  device_->gate.allow(2);
  ASSERT_TRUE(readers[0].read(2));
  auto gone = std::async(std::launch::async, [this] { engine_.reset(); });
  step_until_ready(gone);
  for (Reader& reader : readers) {
    ASSERT_TRUE(reader.read());
    EXPECT_EQ(reader.finish->reason, FinishReason::kCancelled);
    reader.stream().cancel(FinishReason::kStop);  // the handle outlives the engine
  }
}

TEST_F(EngineTest, TheStatusShowsEverySequence) {
  start();
  Reader reader = submit(prompt_of(100, 500));
  device_->gate.allow(3);
  ASSERT_TRUE(device_->gate.wait_for_arrivals(4));
  const std::vector<SequenceStatus> sequences = engine_->sequences();
  ASSERT_EQ(sequences.size(), 1u);
  EXPECT_EQ(sequences[0].id, reader.stream().id());
  EXPECT_EQ(sequences[0].phase, Phase::kActive);
  EXPECT_EQ(sequences[0].prompt_tokens, 100);
  EXPECT_EQ(sequences[0].generated_tokens, 2);  // 64 of the prompt, 36 and a token, a token
  EXPECT_EQ(engine_->status().running, 1);
}

TEST_F(EngineTest, ARecordedRunReplays) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / fmt::format("pippin-recording-{}.jsonl", getpid());
  std::ofstream(path).put('x');  // of an earlier run, readable by others
  options_.record_path = path.string();
  start();
  device_->gate.open();
  std::vector<Reader> readers;
  for (int i = 0; i < 6; ++i) readers.push_back(submit(prompt_of(100, 20, 50 * i)));
  for (Reader& reader : readers) ASSERT_TRUE(reader.read());
  const int blocks = options_.kv.blocks();
  ASSERT_TRUE(engine_->resize_kv({blocks - 1}));
  Reader later = submit(prompt_of(100, 20));
  ASSERT_TRUE(later.read());
  engine_.reset();
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::ifstream recording(path);
  const Result<int> plans = replay(recording);
  ASSERT_TRUE(plans.ok()) << plans.error().message;
  EXPECT_GE(*plans, 20);
  std::filesystem::remove(path);
  options_.record_path = "/nowhere/recording";
  EXPECT_EQ(Engine::start(options_, nullptr).error().code, Code::kPermissionDenied);
}

TEST_F(EngineTest, GivesBlocksBackWhileNobodyUsesThem) {
  options_.kv = KvPlan::full(40);
  options_.context_tokens_max = 256;
  start();
  {
    Reader reader = submit(prompt_of(100, 150));
    ASSERT_TRUE(device_->gate.wait_for_arrivals(1));
    std::future<bool> in_use =
        std::async(std::launch::async, [this] { return engine_->resize_kv({20}); });
    // A step at a time, so that the sequence lives until the command has arrived.
    while (in_use.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready)
      device_->gate.allow(1);
    device_->gate.open();
    EXPECT_FALSE(in_use.get()) << "a sequence lives";
    EXPECT_EQ(device_->in_service, -1);
    ASSERT_TRUE(reader.read());
  }
  EXPECT_FALSE(engine_->resize_kv({15})) << "the longest request would not fit";
  EXPECT_FALSE(engine_->resize_kv({41})) << "there never were so many";
  EXPECT_FALSE(engine_->resize_kv({20, 20})) << "there is no second group";
  EXPECT_TRUE(engine_->resize_kv({20}));
  EXPECT_EQ(device_->in_service, 20);
  EXPECT_EQ(engine_->status().blocks().total, 20);
  Reader longest = submit(prompt_of(200, 50));
  ASSERT_TRUE(longest.read());
  EXPECT_TRUE(engine_->resize_kv({40}));
  EXPECT_EQ(engine_->status().blocks().total, 40);
}

TEST_F(EngineTest, ManyThreadsComeAndGo) {
  options_.kv = KvPlan::full(24);
  options_.context_tokens_max = 256;
  options_.event_queue_max = 6;
  options_.rows_max = 6;
  start();
  device_->gate.open();
  std::vector<std::thread> clients;
  std::atomic<int> whole = 0;
  for (uint64_t client = 0; client < 4; ++client) {
    clients.emplace_back([this, client, &whole] {
      std::mt19937_64 random(client);
      for (int i = 0; i < 60; ++i) {
        Submission submission = prompt_of(static_cast<int>(1 + random() % 100), 30);
        submission.sampling.seed = random();
        Reader reader = submit(submission);
        switch (random() % 4) {
          case 0:
            break;  // leaves at once
          case 1:
            reader.read(random() % 10);
            break;  // leaves in the middle
          case 2:
            reader.read(random() % 10);
            reader.stream().cancel(FinishReason::kStop);
            EXPECT_TRUE(reader.read());
            break;
          default:
            EXPECT_TRUE(reader.read());
            EXPECT_EQ(reader.tokens, fake_answer(submission, 30));
            ++whole;
        }
        engine_->status();
        engine_->sequences();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_GT(whole, 0);
  EXPECT_TRUE(eventually([&] { return engine_->sequences().empty(); }));
  EXPECT_EQ(engine_->status().blocks().leased, 0);
}

}  // namespace
}  // namespace pippin::engine::testing
