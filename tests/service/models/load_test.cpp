#include "service/models/load.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "service/chat/choice.h"
#include "store/gguf_builder.h"

namespace pippin::service {
namespace {

using store::GgufBuilder;

/// A file that goes with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const GgufBuilder& builder)
      : path_(std::filesystem::temp_directory_path() /
              ("pippin_load_" + std::to_string(getpid()) + ".gguf")) {
    EXPECT_TRUE(builder.write(path_.string()));
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

const std::vector<std::string> kTokens = {
    "a", "b", "ab", "<s>", "</s>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|eom_id|>"};

GgufBuilder tiny_llama() {
  GgufBuilder builder;
  builder.add("general.architecture", "llama");
  builder.add("llama.block_count", uint32_t{2}).add("llama.context_length", uint32_t{512});
  builder.add("llama.embedding_length", uint32_t{64});
  builder.add("llama.feed_forward_length", uint32_t{128});
  builder.add("llama.attention.head_count", uint32_t{4});
  builder.add("llama.attention.head_count_kv", uint32_t{2});
  builder.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  builder.add("llama.vocab_size", static_cast<uint32_t>(kTokens.size()));
  builder.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "gpt-2");
  builder.add_strings("tokenizer.ggml.tokens", kTokens);
  builder.add_array("tokenizer.ggml.token_type",
                    std::vector<int32_t>{1, 1, 1, 3, 3, 3, 3, 3, 3, 3});
  builder.add_strings("tokenizer.ggml.merges", {"a b"});
  builder.add("tokenizer.ggml.bos_token_id", uint32_t{3});
  builder.add("tokenizer.ggml.eos_token_id", uint32_t{4});
  return builder;
}

class IdleRunner final : public engine::Runner {
 public:
  void admit(engine::SequenceId, const engine::Submission&) override {}
  engine::StepOutput run(const engine::StepPlan& plan) override {
    engine::StepOutput out;
    out.step = plan.step;
    out.rows.resize(plan.rows.size());
    for (engine::RowOutput& row : out.rows) row.sampled = true;
    return out;
  }
};

Result<std::unique_ptr<engine::Runner>> idle_runner(const store::Checkpoint&, const MemoryPlan&) {
  return std::unique_ptr<engine::Runner>(std::make_unique<IdleRunner>());
}

Result<std::unique_ptr<Model>> load(const GgufBuilder& builder, LoadOptions options = {}) {
  const TemporaryFile file(builder);
  options.path = file.path();
  return load_model(options, idle_runner);
}

/// The text of an answer is never empty because something else came.
TEST(Choice, AnEmbeddingThatItDidNotAskForIsAnError) {
  const auto model = load(tiny_llama());
  ASSERT_TRUE(model.ok()) << model.error().message;
  engine::Submission submission;
  submission.tokens = {0, 1};
  submission.pooling = engine::Pooling::kMean;
  auto stream = (*model)->engine->submit(submission);
  ASSERT_TRUE(stream.ok()) << stream.error().message;
  const Request request;
  const Choice::Terms terms{
      .request = request, .tokenizer = (*model)->tokenizer, .prompt = submission.tokens};
  Choice choice(0, terms, *stream, nullptr);
  std::vector<Delta> deltas;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!choice.finished() && std::chrono::steady_clock::now() < end) {
    choice.poll(deltas);
    std::this_thread::yield();
  }
  ASSERT_EQ(deltas.size(), 1u);
  const auto* finish = std::get_if<Finish>(&deltas[0].body);
  ASSERT_NE(finish, nullptr);
  EXPECT_EQ(finish->reason, FinishReason::kError);
  EXPECT_EQ(finish->error.code, Code::kInternal);
}

TEST(Load, AModelHasWhatTheFileSays) {
  GgufBuilder builder = tiny_llama();
  builder.add("tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}");
  builder.add("general.sampling.temp", 0.5f).add("general.sampling.top_k", int32_t{40});
  builder.add("general.sampling.top_p", 7.0f);  // makes no sense
  LoadOptions options;
  options.id = "tiny";
  options.memory.memory_bytes_max = uint64_t{1} << 30;
  const auto model = load(builder, options);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const Model& tiny = **model;
  EXPECT_EQ(tiny.id, "tiny");
  EXPECT_EQ(tiny.architecture, "llama");
  EXPECT_EQ(tiny.bos_text, "<s>");
  EXPECT_EQ(tiny.eos_text, "</s>");
  EXPECT_NE(tiny.chat_template, nullptr);
  EXPECT_EQ(tiny.context_tokens_max, 512);
  EXPECT_FLOAT_EQ(tiny.default_sampling.temperature, 0.5f);
  EXPECT_EQ(tiny.default_sampling.top_k, 40);
  EXPECT_FLOAT_EQ(tiny.default_sampling.top_p, 0.95f);
  EXPECT_FLOAT_EQ(tiny.default_sampling.min_p, 0.05f);
  EXPECT_EQ(tiny.engine->status().blocks().total, tiny.plan.kv.blocks());
  EXPECT_TRUE(tiny.fingerprint.starts_with("fp_"));
}

// What a file advises holds also where it turns a sampler off.
TEST(Load, NeutralAdviceIsAdvice) {
  GgufBuilder builder = tiny_llama();
  builder.add("general.sampling.temp", 1.0f).add("general.sampling.top_k", int32_t{0});
  builder.add("general.sampling.top_p", 1.0f).add("general.sampling.min_p", 0.0f);
  builder.add("general.sampling.penalty_repeat", 1.0f);
  const auto model = load(builder);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const engine::SamplingParams& sampling = (*model)->default_sampling;
  EXPECT_FLOAT_EQ(sampling.temperature, 1.0f);
  EXPECT_EQ(sampling.top_k, 0);
  EXPECT_FLOAT_EQ(sampling.top_p, 1.0f);
  EXPECT_FLOAT_EQ(sampling.min_p, 0.0f);
  EXPECT_TRUE((*model)->penalty_in_file);
  EXPECT_FALSE((*load(tiny_llama()))->penalty_in_file);
}

TEST(Load, ATokenizerLargerThanItsModelIsRefused) {
  GgufBuilder builder = tiny_llama();
  builder.tensor("token_embd.weight", {static_cast<int64_t>(kTokens.size()) - 1, 64},
                 std::vector<float>((kTokens.size() - 1) * 64));
  const auto model = load(builder);
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().message.find("10 tokens, the model 9"), std::string::npos);
}

// The same small model as a folder, whose tokenizer.json has its tokens.
TEST(Load, AFolderHasWhatItsFilesSay) {
  LoadOptions options;
  options.path = PIPPIN_SOURCE_DIR "/tests/models/fixtures/hf/llama_tied";
  const auto loaded = load_model(options, idle_runner);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const Model& model = **loaded;
  EXPECT_EQ(model.id, "llama_tied");
  EXPECT_EQ(model.bos_text, "<s>");
  EXPECT_EQ(model.eos_text, "</s>");
  EXPECT_EQ(model.stop_tokens, (std::vector<engine::Token>{1}));
  EXPECT_EQ(model.tokenizer->vocab_size(), 160);
  EXPECT_FALSE(model.tokenizer->adds_bos());
  EXPECT_NE(model.chat_template, nullptr);
  EXPECT_FLOAT_EQ(model.default_sampling.temperature, 0.5f);
  EXPECT_EQ(model.default_sampling.top_k, 40);
  EXPECT_EQ(model.facts.quantization, "F32");
  EXPECT_EQ(model.facts.architecture, "llama");
  EXPECT_GT(model.facts.parameters, 30'000u);
  EXPECT_NE(model.facts.metadata_json.find("\"llama.context_length\":1024"), std::string::npos);
  options.path = PIPPIN_SOURCE_DIR "/tests/models/fixtures/mlx/llama_untied";
  EXPECT_EQ(describe_model(options)->facts.quantization, "4-bit");
}

TEST(Load, LimitsReachTheEngine) {
  LoadOptions options;
  options.memory.rows_max = 3;
  options.memory.step_tokens_max = 77;
  options.queue_max = 5;
  options.output_tokens_max = 9;
  options.prefix_cache = false;
  options.step_target = std::chrono::milliseconds(50);
  options.slow_reader_max = std::chrono::seconds(7);
  options.record_path = (std::filesystem::temp_directory_path() /
                         ("pippin_load_" + std::to_string(getpid()) + ".jsonl"))
                            .string();
  const auto model = load(tiny_llama(), options);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const engine::EngineOptions& engine = (*model)->engine->options();
  EXPECT_EQ(engine.rows_max, 3);
  EXPECT_EQ(engine.step_tokens_max, 77);
  EXPECT_EQ(engine.queue_max, 5);
  EXPECT_EQ(engine.kv, (*model)->plan.kv);
  EXPECT_FALSE(engine.prefix_cache);
  EXPECT_EQ(engine.step_target, std::chrono::milliseconds(50));
  EXPECT_EQ(engine.slow_reader_max, std::chrono::seconds(7));
  EXPECT_EQ((*model)->output_tokens_max, 9);
  EXPECT_TRUE(std::filesystem::remove(options.record_path)) << "the run is recorded";
}

TEST(Load, TheEndsOfAnAnswerAreFoundByKeyAndByText) {
  const auto model = load(tiny_llama());
  ASSERT_TRUE(model.ok()) << model.error().message;
  // </s> by its key; by their texts im_end, return, call, eom, but not <|end|>, which in harmony
  // only ends a message.
  std::vector<engine::Token> ends = (*model)->stop_tokens;
  std::ranges::sort(ends);
  EXPECT_EQ(ends, (std::vector<engine::Token>{4, 5, 7, 8, 9}));
}

TEST(Load, AnotherContextGivesAnotherFingerprint) {
  LoadOptions shorter;
  shorter.memory.context_tokens = 100;
  const auto one = load(tiny_llama()), same = load(tiny_llama()),
             other = load(tiny_llama(), shorter);
  ASSERT_TRUE(one.ok() && same.ok() && other.ok());
  EXPECT_EQ((*one)->fingerprint, (*same)->fingerprint);
  EXPECT_NE((*one)->fingerprint, (*other)->fingerprint);
}

TEST(Load, ATemplateThatDoesNotCompileLeavesAModelWithoutChat) {
  GgufBuilder builder = tiny_llama();
  builder.add("tokenizer.chat_template", "{% if %}");
  const auto model = load(builder);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ((*model)->chat_template, nullptr);
}

TEST(Load, WrongKindsAreErrorsAndAbsurdIdsAreNone) {
  GgufBuilder wrong = tiny_llama();
  wrong.add("tokenizer.chat_template", uint32_t{7});
  const auto refused = load(wrong);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalidFile);

  GgufBuilder absurd = tiny_llama();
  absurd.add("tokenizer.ggml.eot_token_id", uint32_t{0xFFFFFFFF});
  absurd.add("tokenizer.ggml.unknown_token_id", int32_t{-1});
  EXPECT_TRUE(load(absurd).ok());
}

TEST(Load, TheRunnersErrorIsTheLoadsError) {
  const TemporaryFile file(tiny_llama());
  LoadOptions options;
  options.path = file.path();
  const auto model =
      load_model(options, [](const auto&, const auto&) -> Result<std::unique_ptr<engine::Runner>> {
        return fail(Code::kOutOfMemory, "no room");
      });
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().message, "no room");
}

TEST(Load, NamesComeFromFiles) {
  EXPECT_EQ(model_id_of("/models/SmolLM2-135M.Q4_1.gguf"), "SmolLM2-135M.Q4_1");
  EXPECT_EQ(model_id_of("plain"), "plain");
  EXPECT_EQ(model_id_of(".gguf"), "model");
}

TEST(SamplingDefaults, AreThoseOfLocalServersUnlessOpenAisAreAskedFor) {
  const engine::SamplingParams local = sampling_defaults(false), openai = sampling_defaults(true);
  EXPECT_FLOAT_EQ(local.temperature, 0.8f);
  EXPECT_EQ(local.top_k, 40);
  EXPECT_FLOAT_EQ(local.top_p, 0.95f);
  EXPECT_FLOAT_EQ(local.min_p, 0.05f);
  EXPECT_FLOAT_EQ(openai.temperature, 1.0f);
  EXPECT_EQ(openai.top_k, 0);
  EXPECT_FLOAT_EQ(openai.top_p, 1.0f);
  EXPECT_FLOAT_EQ(openai.min_p, 0.0f);
}

}  // namespace
}  // namespace pippin::service
