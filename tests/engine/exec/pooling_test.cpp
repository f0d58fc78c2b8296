// Embeddings of real models behind the real runner, against the hidden states of the reference
// operations; and what a model does not take is refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/core/direct_run.h"
#include "engine/exec/pooler.h"
#include "engine/exec/row_inputs.h"
#include "engine/exec/runner.h"
#include "mlx/array.h"
#include "models/model.h"
#include "nn/backend/backend.h"
#include "store/checkpoint.h"

namespace pippin::engine {
namespace {

constexpr Pooling kAll[] = {Pooling::kLast, Pooling::kMean, Pooling::kFirst};
constexpr int kPromptTokens = 40;

store::Checkpoint checkpoint(const std::string& name) {
  return store::Checkpoint::open(PIPPIN_SOURCE_DIR "/tests/models/fixtures/" + name).value();
}

/// The hidden states behind the last layer of a prompt at once, by the reference operations, and
/// their norm by hand.
struct HiddenStates {
  int width = 0;
  std::vector<float> normed;  // [T, E]

  static HiddenStates of(const store::Checkpoint& file, const std::vector<Token>& tokens) {
    auto backend = nn::make_backend({.kind = nn::BackendKind::kReference}).value();
    auto model = models::load_model(file, *backend, {}).value();
    KvPlan plan;
    for (const KvGroupSpec& group : model->spec().kv_groups(nn::KvType::kF16)) plan.add(group, 8);
    auto kv = backend->make_kv_cache(model->spec().layers, plan, nn::KvType::kF16).value();
    nn::StepBatch batch;
    batch.tokens = tokens;
    const std::vector<int32_t> table = {0, 1, 2, 3, 4, 5, 6, 7};
    for (size_t g = 0; g < plan.groups.size(); ++g)
      batch.kv.emplace_back().rows.push_back({0, static_cast<int>(tokens.size()), 0, table.data()});
    for (int i = 0; i < static_cast<int>(tokens.size()); ++i) {
      batch.positions.push_back(i);
      batch.logit_tokens.push_back(i);
      for (nn::AttentionMetadata& group : batch.kv) group.slots.push_back(i);
    }
    const mlx::core::array hidden = nn::host_ready(model->forward(batch, *kv));
    std::vector<float> weight(static_cast<size_t>(hidden.shape(1)));
    store::dequantize(*file.tensor("output_norm.weight"), weight);
    HiddenStates states;
    states.width = hidden.shape(1);
    for (size_t t = 0; t < tokens.size(); ++t) {
      const float* row = hidden.data<float>() + t * weight.size();
      double squares = 0;
      for (size_t i = 0; i < weight.size(); ++i) squares += double{row[i]} * double{row[i]};
      const double scale = 1 / std::sqrt(squares / states.width + file.config()->norm_eps);
      for (size_t i = 0; i < weight.size(); ++i)
        states.normed.push_back(static_cast<float>(row[i] * scale * weight[i]));
    }
    return states;
  }

  std::vector<float> pooled(Pooling pooling) const {
    const auto e = static_cast<size_t>(width), tokens = normed.size() / e;
    std::vector<float> out(e);
    for (size_t i = 0; i < e; ++i) {
      if (pooling == Pooling::kFirst) out[i] = normed[i];
      if (pooling == Pooling::kLast) out[i] = normed[(tokens - 1) * e + i];
      double sum = 0;
      for (size_t t = 0; t < tokens; ++t) sum += double{normed[t * e + i]};
      if (pooling == Pooling::kMean) out[i] = static_cast<float>(sum / static_cast<double>(tokens));
    }
    return out;
  }
};

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = a.size() == b.size() && !a.empty() ? 0 : INFINITY;
  for (size_t i = 0; i < a.size() && std::isfinite(worst); ++i)
    worst = std::max(worst, std::abs(double{a[i]} - double{b[i]}));
  return worst;
}

std::vector<Token> prompt(int tokens, Token first = 3) {
  std::vector<Token> prompt;
  for (int i = 0; i < tokens; ++i) prompt.push_back(first + i * 7 % 50);
  return prompt;
}

Submission embedding_of(std::vector<Token> tokens, Pooling pooling) {
  Submission submission;
  submission.tokens = std::move(tokens);
  submission.pooling = pooling;
  return submission;
}

Submission answer_to(std::vector<Token> tokens, int max_tokens) {
  Submission submission;
  submission.tokens = std::move(tokens);
  submission.sampling.temperature = 0;
  submission.stop.max_tokens = max_tokens;
  return submission;
}

/// A runner ends what MLX keeps for its thread: the next one gets a thread of its own.
template <typename Work>
void on_device_thread(Work&& work) {
  std::thread(std::forward<Work>(work)).join();
}

class Embeddings : public testing::TestWithParam<const char*> {
 protected:
  SchedulerOptions options(int step_tokens) const {
    SchedulerOptions options;
    options.context_tokens_max = 64;
    const ModelInfo info = inspect_model(file).value();
    for (const KvGroupSpec& group : info.kv) options.kv.add(group, 40);
    options.inputs = info.inputs;
    options.rows_max = std::min(8, step_tokens);
    options.step_tokens_max = step_tokens;
    return options;
  }

  std::unique_ptr<Runner> runner(OpsPath ops, bool exact = true) const {
    RunnerOptions options;
    options.ops = ops;
    options.exact_activations = exact;
    options.threads = 2;
    options.kv = this->options(64).kv;
    return make_runner(file, options).value();
  }

  std::vector<DirectAnswer> run(Runner& runner, const SchedulerOptions& options,
                                const std::vector<Submission>& submissions) {
    const auto answers = DirectRun(runner, options, ids_).run(submissions, 1);
    if (!answers.ok()) ADD_FAILURE() << answers.error().message;
    return answers.ok() ? *answers : std::vector<DirectAnswer>(submissions.size());
  }

  const store::Checkpoint file = checkpoint(GetParam());
  uint64_t ids_ = 0;
};

TEST_P(Embeddings, FollowTheReferencesHiddenStates) {
  HiddenStates states;
  on_device_thread([&] { states = HiddenStates::of(file, prompt(kPromptTokens)); });
  const auto compare = [&](OpsPath ops) {
    const std::unique_ptr<Runner> device = runner(ops);
    for (const Pooling pooling : kAll) {
      const auto answers =
          run(*device, options(64), {embedding_of(prompt(kPromptTokens), pooling)});
      // The kernels keep K and V in f16.
      EXPECT_LT(largest_difference(answers[0].embedding, states.pooled(pooling)),
                ops == OpsPath::kReference ? 1e-4 : 1e-2);
      EXPECT_EQ(answers[0].finish.reason, FinishReason::kStop);
    }
  };
  for (const OpsPath ops : {OpsPath::kReference, OpsPath::kFast})
    on_device_thread([&] { compare(ops); });
}

TEST_P(Embeddings, AreBitEqualInChunksAndBesideOthersOnTheCpu) {
  const std::unique_ptr<Runner> device = runner(OpsPath::kFast, false);
  std::vector<Submission> three;
  for (const Pooling pooling : kAll) three.push_back(embedding_of(prompt(kPromptTokens), pooling));
  std::vector<std::vector<float>> alone;
  for (const Submission& one : three)
    alone.push_back(run(*device, options(64), {one})[0].embedding);
  EXPECT_GT(largest_difference(alone[0], alone[1]), 1e-3);
  EXPECT_GT(largest_difference(alone[1], alone[2]), 1e-3);
  const std::vector<Token> tokens = run(*device, options(64), {answer_to(prompt(9), 20)})[0].tokens;
  for (const int step_tokens : {5, 17, 64}) {
    const auto answers = run(*device, options(step_tokens),
                             {answer_to(prompt(9), 20), three[0], three[1], three[2]});
    EXPECT_EQ(answers[0].tokens, tokens);
    for (size_t i = 0; i < three.size(); ++i) EXPECT_EQ(answers[i + 1].embedding, alone[i]);
  }
}

TEST_P(Embeddings, AreTheSameAfterPreemption) {
  const std::unique_ptr<Runner> device = runner(OpsPath::kFast, false);
  SchedulerOptions narrow = options(16);
  narrow.rows_max = 1;
  Submission urgent = answer_to(prompt(5), 3);
  urgent.priority = Priority::kHigh;
  for (const Pooling pooling : kAll) {
    const Submission one = embedding_of(prompt(kPromptTokens), pooling);
    const std::vector<float> alone = run(*device, options(64), {one})[0].embedding;
    DirectRun preempted(*device, narrow, ids_);
    const auto answers = preempted.run({one, urgent}, 1);
    ASSERT_TRUE(answers.ok());
    EXPECT_GT(preempted.status().preemptions, 0u);
    EXPECT_EQ((*answers)[0].embedding, alone);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Embeddings, testing::Values("llama_tied.gguf", "qwen3.gguf"),
                         [](const auto& c) {
                           return std::string(c.param, std::strcspn(c.param, "."));
                         });

/// A scheduler that lets everything through, before a model that takes text alone.
TEST(Runner, RefusesByNameWhatTheModelDoesNotTake) {
  const store::Checkpoint file = checkpoint("llama_tied.gguf");
  SchedulerOptions options;
  options.context_tokens_max = 64;
  options.kv = KvPlan::full(16);
  options.inputs = ModelInputs::all(3);
  RunnerOptions runner_options;
  runner_options.threads = 1;
  runner_options.kv = options.kv;
  const std::unique_ptr<Runner> runner = make_runner(file, runner_options).value();
  Submission positions = answer_to(prompt(10), 4), media = positions, encoded = positions;
  positions.position_components = 3;
  positions.positions.assign(30, 1);
  media.media = {{2, 4, "cat", true}};
  const std::pair<Submission, const char*> refused[] = {{positions, "positions"}, {media, "media"}};
  uint64_t ids = 0;
  const Submission plain = answer_to(prompt(12), 6);
  const auto alone = DirectRun(*runner, options, ids).run({plain}, 0);
  for (const auto& [submission, name] : refused) {
    const auto answers = DirectRun(*runner, options, ids).run({submission}, 0);
    ASSERT_FALSE(answers.ok());
    EXPECT_EQ(answers.error().code, Code::kUnsupported);
    EXPECT_EQ(answers.error().param, name);
    // Its neighbours are served: their steps go on without it.
    Scheduler scheduler(options);
    const SequenceId bad{++ids}, good{++ids};
    ASSERT_TRUE(scheduler.submit(bad, submission).ok());
    ASSERT_TRUE(scheduler.submit(good, plain).ok());
    std::vector<Token> tokens;
    Error error;
    for (StepPlan plan = scheduler.next({}); plan.runs(); plan = scheduler.next({})) {
      for (const SequenceId id : plan.admitted) runner->admit(id, scheduler.submission(id));
      for (const SequenceEvent& event : scheduler.commit(plan, runner->run(plan), {})) {
        if (const auto* token = std::get_if<TokenEvent>(&event.event))
          tokens.push_back(token->token);
        if (const auto* end = std::get_if<FinishEvent>(&event.event); event.sequence == bad && end)
          error = end->error;
      }
    }
    EXPECT_EQ(error.code, Code::kUnsupported);
    EXPECT_EQ(tokens, (*alone)[0].tokens);
  }
  options.kv.add({KvKind::kCross}, 2);
  encoded.encoded = EncodedInput{"clip"};
  EXPECT_EQ(check_runnable(ModelInputs::all(1), encoded).error().param, "input");
  EXPECT_EQ(check_runnable(ModelInputs::all(1), media).error().param, "media");
  runner_options.kv.groups.clear();
  EXPECT_EQ(make_runner(file, runner_options).error().code, Code::kInvalidArgument);
}

TEST(RowInputs, AreCarriedByTheBatch) {
  Submission submission = answer_to(prompt(8), 1);
  submission.media = {{2, 4, "cat", true,
                       std::make_shared<const std::vector<float>>(
                           std::vector<float>{20, 21, 30, 31, 40, 41, 50, 51})}};
  nn::StepBatch batch;
  batch.position_components = 2;
  PlanRow text{.start = 5, .tokens = {7, 8}};
  add_positions(batch, text);
  EXPECT_EQ(batch.positions, (std::vector<int32_t>{5, 5, 6, 6}));
  add_media(batch, 0, text, answer_to(prompt(8), 1));
  EXPECT_TRUE(batch.spans.empty() && batch.embedded.empty());

  PlanRow row{
      .start = 3, .tokens = {1, 1, 1, 2}, .positions = {4, 5, 4, 6, 4, 7, 8, 8}, .spans = {{3, 3}}};
  add_positions(batch, row);
  EXPECT_EQ(batch.positions, (std::vector<int32_t>{5, 5, 6, 6, 4, 5, 4, 6, 4, 7, 8, 8}));
  add_media(batch, 2, row, submission);
  EXPECT_EQ(batch.spans, (std::vector<nn::TokenSpan>{{2, 3}}));
  EXPECT_EQ(batch.embedded, (std::vector<int32_t>{2, 3, 4}));
  EXPECT_EQ(batch.embeddings, (std::vector<float>{30, 31, 40, 41, 50, 51}));

  row.positions = {9, 10, 11, 12};
  batch.positions.clear();
  add_positions(batch, row);
  EXPECT_EQ(batch.positions, (std::vector<int32_t>{9, 9, 10, 10, 11, 11, 12, 12}));
}

TEST(Pooler, WithoutAllOfThePromptIsAnError) {
  Pooler pooler(Pooling::kMean);
  PlanRow row{.start = 4, .tokens = {1, 2}, .pool = true};
  pooler.add(row, std::vector<float>{1, 2});
  EXPECT_EQ(pooler.take(6).error().code, Code::kInternal);
}

}  // namespace
}  // namespace pippin::engine
