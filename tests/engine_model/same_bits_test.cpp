// Company never changes an answer: a real model behind the real engine gives the same tokens alone,
// together, in chunks of any size, from the prefix cache and after preemption. With SmolLM2 where
// PIPPIN_TEST_MODELS has it, else with a tiny checkpoint.
#include <gtest/gtest.h>

#include <bit>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <random>

#include "engine/engine.h"
#include "engine/exec/runner.h"
#include "store/gguf.h"

namespace pippin::engine {
namespace {

std::string model_path() {
  if (const char* folder = std::getenv("PIPPIN_TEST_MODELS")) {
    const std::string path = std::string(folder) + "/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (std::filesystem::exists(path)) return path;
  }
  return std::string(PIPPIN_SOURCE_DIR) + "/tests/models/fixtures/llama_tied.gguf";
}

struct Answer {
  std::vector<Token> tokens;
  FinishEvent finish;
};

class SameBits : public testing::Test {
 protected:
  store::GgufFile file = store::GgufFile::open(model_path()).value();
  ModelInfo info = inspect_model(file).value();

  EngineOptions options() const {
    EngineOptions o;
    o.context_tokens_max = 512;
    o.blocks = 800;
    o.step_target = {};
    return o;
  }

  std::unique_ptr<Engine> start(const EngineOptions& o) {
    RunnerOptions runner;
    runner.threads = 2;
    runner.blocks = o.blocks;
    return Engine::start(o, [this, runner] { return make_runner(file, runner); }).value();
  }

  Submission submission(uint32_t seed, int prompt, int generate) const {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> any(3, info.vocab - 1);
    Submission s;
    for (int i = 0; i < prompt; ++i) s.tokens.push_back(any(random));
    // Every other one draws at random; a draw shows differences of the logits that an argmax hides.
    s.sampling.temperature = seed % 2 == 0 ? 0.0f : 1.0f;
    s.sampling.seed = seed;
    s.stop.max_tokens = generate;
    s.stop.ignore_eos = true;
    s.sampling.logprobs = 0;
    return s;
  }

  std::vector<Submission> sixteen() const {
    std::vector<Submission> all;
    for (uint32_t i = 0; i < 16; ++i)
      all.push_back(submission(i + 1, 5 + static_cast<int>(i) * 9, 12 + static_cast<int>(i % 5)));
    return all;
  }

  // Submits all at once and waits for all ends.
  static std::vector<Answer> together(Engine& engine, const std::vector<Submission>& submissions) {
    struct Bell {
      std::mutex mutex;
      std::condition_variable woken;
      bool pending = false;
    };
    const auto bell = std::make_shared<Bell>();  // a callback under way may outlast this call
    std::vector<std::shared_ptr<EventStream>> streams;
    for (const Submission& s : submissions) {
      streams.push_back(engine.submit(s).value());
      streams.back()->set_notify([bell] {
        const std::lock_guard lock(bell->mutex);
        bell->pending = true;
        bell->woken.notify_one();
      });
    }
    std::vector<Answer> answers(submissions.size());
    size_t ended = 0;
    while (ended < streams.size()) {
      {
        std::unique_lock lock(bell->mutex);
        bell->woken.wait(lock, [&] { return bell->pending; });
        bell->pending = false;
      }
      for (size_t i = 0; i < streams.size(); ++i) {
        std::vector<Event> events;
        streams[i]->take(events);
        for (Event& event : events) {
          if (auto* token = std::get_if<TokenEvent>(&event)) {
            answers[i].tokens.push_back(token->token);
            // Not only the choice, but the number behind it.
            answers[i].tokens.push_back(std::bit_cast<Token>(token->logprob));
          }
          if (auto* finish = std::get_if<FinishEvent>(&event)) {
            answers[i].finish = *finish;
            ++ended;
          }
        }
      }
    }
    return answers;
  }

  static std::vector<Answer> one_by_one(Engine& engine,
                                        const std::vector<Submission>& submissions) {
    std::vector<Answer> answers;
    for (const Submission& s : submissions) answers.push_back(together(engine, {s})[0]);
    return answers;
  }

  static void expect_same(const std::vector<Answer>& got, const std::vector<Answer>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(want[i].finish.reason, FinishReason::kLength);
      EXPECT_EQ(got[i].tokens, want[i].tokens) << "request " << i;
    }
  }
};

TEST_F(SameBits, TogetherAndAlone) {
  EngineOptions o = options();
  o.prefix_cache = false;
  const auto engine = start(o);
  expect_same(together(*engine, sixteen()), one_by_one(*engine, sixteen()));
}

TEST_F(SameBits, ChunksOfAnySize) {
  EngineOptions o = options();
  o.prefix_cache = false;
  const std::vector<Submission> requests{submission(1, 300, 8), submission(2, 77, 8)};
  const std::vector<Answer> whole = together(*start(o), requests);
  for (int chunk : {16, 64}) {
    o.step_tokens_max = chunk;
    expect_same(together(*start(o), requests), whole);
  }
}

TEST_F(SameBits, CachedPrefixAndCold) {
  const auto engine = start(options());
  const std::vector<Submission> requests{submission(3, 200, 10), submission(4, 93, 10)};
  const std::vector<Answer> cold = one_by_one(*engine, requests),
                            cached = one_by_one(*engine, requests);
  expect_same(cached, cold);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(cold[i].finish.cached_tokens, 0);
    EXPECT_GE(cached[i].finish.cached_tokens, static_cast<int>(requests[i].tokens.size()) - 16);
  }
}

TEST_F(SameBits, PreemptedAndNot) {
  std::vector<Submission> requests;
  for (uint32_t i = 0; i < 6; ++i) requests.push_back(submission(20 + i, 40, 60));
  const std::vector<Answer> roomy = together(*start(options()), requests);
  EngineOptions tight = options();
  tight.blocks = 22;  // three whole answers at once
  tight.prefix_cache = false;
  const auto engine = start(tight);
  expect_same(together(*engine, requests), roomy);
  EXPECT_GT(engine->status().preemptions, 0u);
}

TEST_F(SameBits, SharedPromptWithSeedsOfTheirOwn) {
  std::vector<Submission> requests;
  for (uint64_t i = 0; i < 4; ++i) {
    requests.push_back(submission(31, 90, 15));
    requests.back().sampling.seed = 100 + i;
  }
  EngineOptions o = options();
  const std::vector<Answer> shared = together(*start(o), requests);
  o.prefix_cache = false;
  expect_same(shared, one_by_one(*start(o), requests));
  EXPECT_NE(shared[0].tokens, shared[1].tokens);
}

}  // namespace
}  // namespace pippin::engine
