// Memory that runs out within a step, wherever that is: an error of the step's requests, and the
// next request is answered as if nothing had been. With a tiny checkpoint; every allocation that
// the device thread makes in a step fails once.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/exec/runner.h"
#include "store/checkpoint.h"

namespace {

// Allocations of this thread until one fails; below 0: none does.
thread_local long allocations_left = -1;

void* allocate(std::size_t size, std::size_t alignment) {
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  const std::size_t room = (size + alignment) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, room);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Inlined, they look to the compiler like memory of one kind freed as another.
[[gnu::noinline]] void* operator new(std::size_t size) {
  return allocate(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
[[gnu::noinline]] void* operator new[](std::size_t size) {
  return allocate(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace pippin::engine {
namespace {

struct Shortage {
  std::atomic<int> step{-1};   // the step of a run, from 0, in which memory runs out; -1: in none
  std::atomic<long> after{0};  // allocations
  std::atomic<bool> came{false};
};

/// Lets memory run out within its scope, however that is left.
class Short {
 public:
  explicit Short(Shortage& shortage) : shortage_(shortage) { allocations_left = shortage.after; }
  ~Short() {
    shortage_.came = allocations_left < 0;
    allocations_left = -1;
  }

 private:
  Shortage& shortage_;
};

/// The real runner, short of memory.
class ShortRunner final : public Runner {
 public:
  ShortRunner(std::unique_ptr<Runner> runner, std::shared_ptr<Shortage> shortage)
      : runner_(std::move(runner)), shortage_(std::move(shortage)) {}

  void admit(SequenceId id, const Submission& submission) override {
    steps_ = 0;
    runner_->admit(id, submission);
  }
  StepOutput run(const StepPlan& plan) override {
    const bool hit = !plan.rows.empty() && steps_++ == shortage_->step;
    if (!hit) return runner_->run(plan);
    const Short within(*shortage_);
    return runner_->run(plan);
  }

 private:
  std::unique_ptr<Runner> runner_;
  std::shared_ptr<Shortage> shortage_;
  int steps_ = 0;
};

struct Answer {
  std::vector<Token> tokens;
  FinishEvent finish;
};

class OutOfMemory : public testing::Test {
 protected:
  OutOfMemory() : file_(store::Checkpoint::open(kFile).value()) {
    EngineOptions options;
    options.context_tokens_max = 64;
    options.kv = KvPlan::full(16);
    options.prefix_cache = false;
    RunnerOptions runner;
    runner.threads = 1;
    runner.kv = options.kv;
    engine_ =
        Engine::start(options, [&]() -> Result<std::unique_ptr<Runner>> {
          ASSIGN_OR_RETURN(std::unique_ptr<Runner> made, make_runner(file_, runner));
          return std::unique_ptr<Runner>(std::make_unique<ShortRunner>(std::move(made), shortage_));
        }).value();
  }

  Answer ask() {
    Submission submission;
    submission.tokens = {3, 4, 5, 6, 7};
    submission.sampling.temperature = 0.8f;
    submission.sampling.top_p = 0.9f;
    submission.sampling.seed = 7;
    submission.sampling.logprobs = 2;
    submission.stop.max_tokens = 4;
    submission.stop.ignore_eos = true;
    const auto stream = engine_->submit(std::move(submission)).value();
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    Answer answer;
    std::vector<Event> events;
    while (events.empty() || !std::holds_alternative<FinishEvent>(events.back())) {
      if (std::chrono::steady_clock::now() > end) throw std::runtime_error("no end");
      stream->take(events);
      std::this_thread::yield();
    }
    for (const Event& event : events)
      if (const auto* token = std::get_if<TokenEvent>(&event))
        answer.tokens.push_back(token->token);
    answer.finish = std::get<FinishEvent>(events.back());
    return answer;
  }

  static constexpr const char* kFile = PIPPIN_SOURCE_DIR "/tests/models/fixtures/llama_tied.gguf";
  const store::Checkpoint file_;
  const std::shared_ptr<Shortage> shortage_ = std::make_shared<Shortage>();
  std::unique_ptr<Engine> engine_;
};

TEST_F(OutOfMemory, AnywhereInAStepIsAnErrorOfItsRequests) {
  const Answer right = ask();
  ASSERT_EQ(right.finish.reason, FinishReason::kLength);
  for (const int step : {0, 2}) {  // the prompt's, and one of the answer
    long after = 0;
    for (bool came = true; came; ++after) {
      ASSERT_LT(after, 100'000);
      shortage_->after = after;
      shortage_->came = false;
      shortage_->step = step;
      const Answer answer = ask();
      came = shortage_->came;
      shortage_->step = -1;
      if (!came) {
        EXPECT_EQ(answer.tokens, right.tokens);
        break;
      }
      // Memory for a mere convenience may be done without; then the answer is whole and right.
      if (answer.finish.reason == FinishReason::kLength) {
        EXPECT_EQ(answer.tokens, right.tokens) << "allocation " << after;
      } else {
        EXPECT_EQ(answer.finish.reason, FinishReason::kError);
        EXPECT_EQ(answer.finish.error.code, Code::kOutOfMemory) << answer.finish.error.message;
      }
      EXPECT_EQ(ask().tokens, right.tokens) << "after allocation " << after << " of step " << step;
      EXPECT_EQ(engine_->status().blocks().leased, 0);
    }
    EXPECT_GT(after, 5) << "the step allocates, or this test tests nothing";
  }
}

}  // namespace
}  // namespace pippin::engine
