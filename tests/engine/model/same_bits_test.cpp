// Concurrent requests never change an answer: a real model behind the real engine gives the same
// tokens by itself, together, in chunks of any size, from the prefix cache and after preemption,
// with either type of KV. With SmolLM2 and, for its sliding windows, Gemma 3, where
// PIPPIN_TEST_MODELS has them; without them with tiny checkpoints, whose window is of 8 positions.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <optional>

#include "engine/core/attention_group.h"
#include "engine/engine.h"
#include "engine/exec/runner.h"
#include "engine/model/random_submission.h"
#include "store/checkpoint.h"

namespace pippin::engine {
namespace {

constexpr const char* kSmol = "SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr const char* kGemma = "gemma-3-270m-q4_k_m.gguf";

/// Returns the path of a model, or of the tiny one of its family.
std::string model_path(const std::string& name) {
  const std::string fixtures = std::string(PIPPIN_SOURCE_DIR) + "/tests/models/fixtures/";
  if (name.starts_with("families/")) return fixtures + name;
  if (const char* folder = std::getenv("PIPPIN_TEST_MODELS")) {
    std::string path = std::string(folder) + "/" + name;
    if (std::filesystem::exists(path)) return path;
  }
  return fixtures + (name == kSmol ? "llama_tied.gguf" : "gemma3.gguf");
}

struct Case {
  const char* label;
  const char* model;
  KvType kv_type = KvType::kF16;
};

struct Answer {
  std::vector<Token> tokens;
  FinishEvent finish;
};

class SameBits : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    file.emplace(store::Checkpoint::open(model_path(GetParam().model)).value());
    info = inspect_model(*file).value();
  }

  std::optional<store::Checkpoint> file;
  ModelInfo info;

  int window() const { return info.kv.back().window; }  // 0 without windowed layers

  /// Returns a plan with so many blocks, and apart from them for windows, unless that is 0.
  KvPlan plan(int blocks, int window_blocks) const {
    KvPlan plan;
    plan.add(info.kv.front(), blocks);
    if (window() > 0 && window_blocks > 0) plan.add(info.kv.back(), window_blocks);
    return plan;
  }

  int window_blocks_min(int step_tokens_max) const {
    return Sight{info.kv.back().kind, window(), 16}.blocks_min(step_tokens_max);
  }

  EngineOptions options() const {
    EngineOptions o;
    o.context_tokens_max = std::min(info.context_tokens_max, 1024);
    o.kv = plan(800, 300);
    o.step_target = {};
    return o;
  }

  std::unique_ptr<Engine> start(const EngineOptions& o) {
    RunnerOptions runner;
    runner.kv_type = GetParam().kv_type;
    runner.threads = 2;
    runner.kv = o.kv;
    return Engine::start(o, [this, runner] { return make_runner(*file, runner); }).value();
  }

  Submission submission(uint32_t seed, int prompt, int generate) const {
    Submission s = random_submission(info.vocab, seed, prompt, generate);
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
    struct Wakeup {
      std::mutex mutex;
      std::condition_variable woken;
      bool pending = false;
    };
    const auto wakeup = std::make_shared<Wakeup>();  // a callback under way may outlast this call
    std::vector<std::shared_ptr<EventStream>> streams;
    for (const Submission& s : submissions) {
      streams.push_back(engine.submit(s).value());
      streams.back()->set_notify([wakeup] {
        const std::lock_guard lock(wakeup->mutex);
        wakeup->pending = true;
        wakeup->woken.notify_one();
      });
    }
    std::vector<Answer> answers(submissions.size());
    size_t ended = 0;
    while (ended < streams.size()) {
      {
        std::unique_lock lock(wakeup->mutex);
        wakeup->woken.wait(lock, [&] { return wakeup->pending; });
        wakeup->pending = false;
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

TEST_P(SameBits, TogetherAndAlone) {
  EngineOptions o = options();
  o.prefix_cache = false;
  const auto engine = start(o);
  expect_same(together(*engine, sixteen()), one_by_one(*engine, sixteen()));
}

TEST_P(SameBits, ChunksOfAnySize) {
  EngineOptions o = options();
  o.prefix_cache = false;
  // Longer than the largest chunk and than Gemma's window, where the context allows.
  const int longest = std::min(700, o.context_tokens_max - 16);
  const std::vector<Submission> requests{submission(1, longest, 8), submission(2, 77, 8)};
  o.step_tokens_max = 1024;
  const std::vector<Answer> whole = together(*start(o), requests);
  for (int chunk : {16, 64, 512}) {
    o.step_tokens_max = chunk;
    expect_same(together(*start(o), requests), whole);
  }
}

TEST_P(SameBits, CachedPrefixAndCold) {
  const auto engine = start(options());
  const int longest = std::min(620, options().context_tokens_max - 16);
  const std::vector<Submission> requests{submission(3, longest, 10), submission(4, 93, 10)};
  const std::vector<Answer> cold = one_by_one(*engine, requests),
                            cached = one_by_one(*engine, requests);
  expect_same(cached, cold);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(cold[i].finish.cached_tokens, 0);
    EXPECT_GE(cached[i].finish.cached_tokens, static_cast<int>(requests[i].tokens.size()) - 16);
  }
}

TEST_P(SameBits, PreemptedAndNot) {
  std::vector<Submission> requests;
  for (uint32_t i = 0; i < 6; ++i) requests.push_back(submission(20 + i, 40, 60));
  const std::vector<Answer> roomy = together(*start(options()), requests);
  EngineOptions tight = options();
  tight.kv.groups.front().blocks = 22;  // three whole answers at once
  tight.prefix_cache = false;
  const auto engine = start(tight);
  expect_same(together(*engine, requests), roomy);
  EXPECT_GT(engine->status().preemptions, 0u);
}

// A chat's second turn, from where the first one ended: behind the window, where there is one.
TEST_P(SameBits, SecondTurnAndCold) {
  const auto engine = start(options());
  Submission turn = submission(6, std::min(560, options().context_tokens_max - 80), 24);
  const Answer first = together(*engine, {turn})[0];
  for (size_t i = 0; i < first.tokens.size(); i += 2) turn.tokens.push_back(first.tokens[i]);
  const int known = static_cast<int>(turn.tokens.size()) - 1;  // the last was never computed
  for (Token token = 0; token < 20; ++token) turn.tokens.push_back(100 + token);
  const std::vector<Answer> second = together(*engine, {turn});
  EXPECT_GE(second[0].finish.cached_tokens, known / 16 * 16);
  EngineOptions o = options();
  o.prefix_cache = false;
  expect_same(second, together(*start(o), {turn}));
}

// Layers with a window give the same whether they keep everything or only what they see, with
// prompts and answers longer than the window.
TEST_P(SameBits, WindowedAndWhole) {
  if (window() == 0) GTEST_SKIP() << "no layer has a window";
  EngineOptions o = options();
  const int context = o.context_tokens_max;
  const std::vector<Submission> requests{
      submission(7, std::min(700, context - 40), 20),                  // begins behind it
      submission(8, std::clamp(window() - 10, 1, context - 100), 40),  // crosses it
      submission(9, 20, std::min(window() + 40, context - 40)),        // its answer fills it
      submission(10, std::min(window() + 1, context - 100), 30)};
  o.kv = plan(800, 0);
  const std::vector<Answer> whole = together(*start(o), requests);
  o.step_tokens_max = 48;
  // Two of them at once.
  o.kv = plan(800, 2 * window_blocks_min(o.step_tokens_max));
  const auto engine = start(o);
  expect_same(together(*engine, requests), whole);
  const KvKind kind = info.kv.back().kind;
  EXPECT_EQ(engine->status().blocks(kind).leased, 0);
  EXPECT_EQ(engine->status().blocks(kind).total, o.kv.blocks(kind));
}

TEST_P(SameBits, PreemptedForWindowsAndNot) {
  if (window() == 0) GTEST_SKIP() << "no layer has a window";
  std::vector<Submission> requests;
  // Short prompts: many are admitted, and grow into each other's way.
  for (uint32_t i = 0; i < 10; ++i) requests.push_back(submission(40 + i, 10, 60));
  const std::vector<Answer> roomy = together(*start(options()), requests);
  for (const bool prefix_cache : {false, true}) {
    EngineOptions tight = options();
    tight.step_tokens_max = 16;
    tight.kv = plan(800, window_blocks_min(16));
    tight.prefix_cache = prefix_cache;
    const auto engine = start(tight);
    expect_same(together(*engine, requests), roomy);
    EXPECT_GT(engine->status().preemptions, 0u);
  }
}

TEST_P(SameBits, SharedPromptWithSeedsOfTheirOwn) {
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

// A deterministic engine gives the same answers as well, one row a step.
TEST_P(SameBits, DeterministicAndNot) {
  EngineOptions o = options();
  std::vector<Submission> requests = sixteen();
  requests.resize(5);
  const std::vector<Answer> together_all = together(*start(o), requests);
  o.deterministic = true;
  expect_same(together(*start(o), requests), together_all);
}

// Tiny ones have chunks, keys that layers share, and heads that differ.
INSTANTIATE_TEST_SUITE_P(Models, SameBits,
                         testing::Values(Case{"SmolLM2", kSmol}, Case{"Gemma3", kGemma},
                                         Case{"SmolLM2Int8", kSmol, KvType::kInt8},
                                         Case{"Gemma3Int8", kGemma, KvType::kInt8},
                                         Case{"Llama4", "families/llama4_chunks"},
                                         Case{"Gemma3n", "families/gemma3n"},
                                         Case{"Gemma4", "families/gemma4"},
                                         Case{"Gemma4Int8", "families/gemma4", KvType::kInt8}),
                         [](const testing::TestParamInfo<Case>& c) { return c.param.label; });

TEST(KvTypes, Int8TakesAboutHalf) {
  const store::Checkpoint file = store::Checkpoint::open(model_path(kGemma)).value();
  const ModelInfo halves = inspect_model(file).value();
  const ModelInfo codes = inspect_model(file, DeviceKind::kCpu, KvType::kInt8).value();
  // Of 32 dims: codes and a scale in place of 16-bit numbers. Tiny heads are filled up to 32.
  const double least = 34.0 / 64, most = std::max(least, 34.0 / 32);
  for (size_t g = 0; g < codes.kv.size(); ++g) {
    const int64_t code = codes.kv[g].bytes, half = halves.kv[g].bytes;
    EXPECT_GE(static_cast<double>(code), least * static_cast<double>(half));
    EXPECT_LE(static_cast<double>(code), most * static_cast<double>(half));
  }
  EXPECT_EQ(halves.kv_type, "f16");
  EXPECT_EQ(codes.kv_type, "int8");
}

TEST(KvTypes, WhatHasNoInt8YetSaysSo) {
  const store::Checkpoint file = store::Checkpoint::open(model_path(kSmol)).value();
  const auto expect_refused = [](const auto& result, const char* what) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, Code::kUnsupported);
    EXPECT_EQ(result.error().param, "--kv-type");
    EXPECT_NE(result.error().message.find(what), std::string::npos) << result.error().message;
  };
  RunnerOptions options;
  options.kv = KvPlan::full(4);
  options.kv_type = KvType::kInt8;
  options.ops = OpsPath::kReference;
  expect_refused(make_runner(file, options), "the reference backend");
  options.ops = OpsPath::kFast;
  options.device = DeviceKind::kCuda;
  expect_refused(make_runner(file, options), "cuda");
  expect_refused(inspect_model(file, DeviceKind::kCuda, KvType::kInt8), "cuda");
}

}  // namespace
}  // namespace pippin::engine
