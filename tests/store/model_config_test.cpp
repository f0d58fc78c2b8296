#include "store/model_config.h"

#include <gtest/gtest.h>

#include <cmath>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "store/checkpoint.h"
#include "store/gguf_builder.h"

namespace pippin::store {
namespace {

// The keys that every model needs, minus those named, so that a test can put its own in their
// place.
GgufBuilder small_model(const std::vector<std::string>& without = {}) {
  GgufBuilder builder;
  const auto keep = [&](std::string_view key) {
    return std::ranges::find(without, key) == without.end();
  };
  if (keep("general.architecture")) builder.add("general.architecture", "llama");
  const std::pair<const char*, uint32_t> sizes[] = {
      {"llama.block_count", 3},          {"llama.embedding_length", 64},
      {"llama.context_length", 128},     {"llama.feed_forward_length", 96},
      {"llama.attention.head_count", 4}, {"llama.attention.head_count_kv", 2},
      {"llama.vocab_size", 10},
  };
  for (const auto& [key, value] : sizes) {
    if (keep(key)) builder.add(key, value);
  }
  if (keep("llama.attention.layer_norm_rms_epsilon"))
    builder.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  return builder;
}

Result<ModelConfig> config_of(const GgufBuilder& builder) {
  const auto bytes = builder.bytes();
  const auto file = GgufFile::parse(bytes, "m.gguf");
  if (!file.ok()) return file.error();
  return read_model_config(*file);
}

// One key replaced by a wrong value: the error names it and says what was found.
template <typename T>
void expect_refused(const std::string& key, const T& value, const std::string& part,
                    Code code = Code::kInvalidFile) {
  SCOPED_TRACE(key);
  const auto config = config_of(small_model({key}).add(key, value));
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().code, code);
  EXPECT_EQ(config.error().param, key);
  EXPECT_TRUE(config.error().message.starts_with("[gguf] m.gguf: key '" + key + "': "))
      << config.error().message;
  EXPECT_NE(config.error().message.find(part), std::string::npos) << config.error().message;
}

TEST(ModelConfig, ReadsTheSizesAndFillsTheDefaults) {
  const auto config = config_of(small_model());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->architecture, "llama");
  EXPECT_EQ(config->name, "");
  EXPECT_EQ(config->vocab_size, 10);
  EXPECT_EQ(config->context_length, 128);
  EXPECT_EQ(config->embedding_length, 64);
  EXPECT_EQ(config->layers, 3);
  EXPECT_EQ(config->feed_forward, (std::vector<int>{96, 96, 96}));
  EXPECT_EQ(config->heads, (std::vector<int>{4, 4, 4}));
  EXPECT_EQ(config->kv_heads, (std::vector<int>{2, 2, 2}));
  EXPECT_EQ(config->head_dim_k, 16);
  EXPECT_EQ(config->head_dim_v, 16);
  EXPECT_EQ(config->norm, NormKind::kRms);
  EXPECT_EQ(config->norm_eps, 1e-5f);
  EXPECT_EQ(config->rope.dims, 16);
  EXPECT_EQ(config->rope.freq_base, 10000);
  EXPECT_EQ(config->rope.freq_base_window, 0);
  EXPECT_EQ(config->rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(config->rope.factor, 1);
  EXPECT_EQ(config->rope.original_context, 128);
  EXPECT_EQ(config->rope.attention_factor, 1);
  EXPECT_FALSE(config->rope.finetuned);
  EXPECT_EQ(config->sliding_window, 0);
  EXPECT_EQ(config->window_period, 0);
  EXPECT_TRUE(config->windowed_layers.empty());
  EXPECT_EQ(config->attention_scale, 0);
  EXPECT_EQ(config->attention_soft_cap, 0);
  EXPECT_EQ(config->logit_soft_cap, 0);
  EXPECT_EQ(config->experts.count, 0);
  EXPECT_TRUE(config->tied_output);
}

TEST(ModelConfig, ReadsWhatTheFileSays) {
  const auto config = config_of(small_model({"llama.vocab_size"})
                                    .add("general.name", "Größe 1")
                                    .add("llama.attention.key_length", uint32_t{32})
                                    .add("llama.attention.value_length", uint16_t{24})
                                    .add("llama.rope.dimension_count", uint32_t{8})
                                    .add("llama.rope.freq_base", 1e6f)
                                    .add("llama.rope.freq_base_swa", 20000.0f)
                                    .add("llama.rope.scaling.type", "yarn")
                                    .add("llama.rope.scaling.factor", 4.0f)
                                    .add("llama.rope.scaling.original_context_length", uint32_t{32})
                                    .add("llama.rope.scaling.attn_factor", 0.5f)
                                    .add("llama.rope.scaling.finetuned", true)
                                    .add("llama.attention.sliding_window", uint32_t{16})
                                    .add("llama.attention.sliding_window_pattern", uint32_t{6})
                                    .add("llama.attention.scale", 0.125f)
                                    .add("llama.attn_logit_softcapping", 50.0f)
                                    .add("llama.final_logit_softcapping", 30.0f)
                                    .add("llama.logit_scale", 0.25f)
                                    .add("llama.expert_count", uint32_t{8})
                                    .add("llama.expert_used_count", uint32_t{2})
                                    .add("llama.expert_shared_count", uint32_t{1})
                                    .add("llama.expert_feed_forward_length", uint32_t{48})
                                    .add("llama.leading_dense_block_count", uint32_t{1})
                                    .add("llama.expert_group_count", uint32_t{4})
                                    .add("llama.expert_group_used_count", uint32_t{2})
                                    .add("llama.expert_gating_func", uint32_t{2})
                                    .add("llama.expert_weights_norm", true)
                                    .add("llama.expert_weights_scale", 2.5f)
                                    .zeros("token_embd.weight", TensorType::kF32, {12, 64})
                                    .zeros("output.weight", TensorType::kF32, {12, 64}));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->name, "Größe 1");
  EXPECT_EQ(config->vocab_size, 12);
  EXPECT_EQ(config->head_dim_k, 32);
  EXPECT_EQ(config->head_dim_v, 24);
  EXPECT_EQ(config->rope.dims, 8);
  EXPECT_EQ(config->rope.freq_base, 1e6);
  EXPECT_EQ(config->rope.freq_base_window, 20000);
  EXPECT_EQ(config->rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(config->rope.factor, 4);
  EXPECT_EQ(config->rope.original_context, 32);
  EXPECT_NEAR(config->rope.attention_factor, 0.5 * (0.1 * std::log(4) + 1), 1e-12);
  EXPECT_TRUE(config->rope.finetuned);
  EXPECT_EQ(config->sliding_window, 16);
  EXPECT_EQ(config->window_period, 6);
  EXPECT_EQ(config->attention_scale, 0.125f);
  EXPECT_EQ(config->attention_soft_cap, 50);
  EXPECT_EQ(config->logit_soft_cap, 30);
  EXPECT_EQ(config->logit_scale, 0.25f);
  EXPECT_EQ(config->experts.count, 8);
  EXPECT_EQ(config->experts.used, 2);
  EXPECT_EQ(config->experts.shared, 1);
  EXPECT_EQ(config->experts.feed_forward, 48);
  EXPECT_EQ(config->experts.leading_dense_layers, 1);
  EXPECT_EQ(config->experts.groups, 4);
  EXPECT_EQ(config->experts.groups_used, 2);
  EXPECT_EQ(config->experts.gating, ExpertGating::kSigmoid);
  EXPECT_EQ(config->experts.normalise, true);
  EXPECT_EQ(config->experts.scale, 2.5f);
  EXPECT_FALSE(config->tied_output);
}

TEST(ModelConfig, ReadsSizesPerLayer) {
  auto builder = small_model({"llama.attention.head_count", "llama.attention.head_count_kv",
                              "llama.feed_forward_length"})
                     .add_array<int32_t>("llama.attention.head_count", {4, 8, 4})
                     .add_array<int32_t>("llama.attention.head_count_kv", {4, 2, 1})
                     .add_array<uint32_t>("llama.feed_forward_length", {32, 64, 96})
                     .add_array<bool>("llama.attention.sliding_window_pattern", {true, false, true})
                     .add_array<bool>("llama.attention.rope_pattern", {true, true, false});
  const auto config = config_of(builder);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->heads, (std::vector<int>{4, 8, 4}));
  EXPECT_EQ(config->kv_heads, (std::vector<int>{4, 2, 1}));
  EXPECT_EQ(config->feed_forward, (std::vector<int>{32, 64, 96}));
  EXPECT_EQ(config->windowed_layers, (std::vector<bool>{true, false, true}));
  EXPECT_EQ(config->rope.layers, (std::vector<bool>{true, true, false}));
  EXPECT_EQ(config->head_dim_k, 16);
}

// A hybrid: layers without heads of keys are recurrent, unless the file says otherwise.
TEST(ModelConfig, RecurrentLayersAreThoseWithoutAttention) {
  const auto hybrid = [] {
    return small_model({"llama.attention.head_count_kv"})
        .add_array<uint32_t>("llama.attention.head_count_kv", {0, 2, 0})
        .add("llama.ssm.conv_kernel", uint32_t{4})
        .add("llama.ssm.inner_size", uint32_t{128})
        .add("llama.ssm.state_size", uint32_t{16})
        .add("llama.ssm.group_count", uint32_t{2})
        .add("llama.ssm.time_step_rank", uint32_t{8});
  };
  const auto config = config_of(hybrid());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->recurrent.layers, (std::vector<bool>{true, false, true}));
  EXPECT_EQ(config->recurrent.conv_taps, 4);
  EXPECT_EQ(config->recurrent.inner, 128);
  EXPECT_EQ(config->recurrent.state, 16);
  EXPECT_EQ(config->recurrent.groups, 2);
  EXPECT_EQ(config->recurrent.time_step_rank, 8);
  EXPECT_EQ(config_of(hybrid().add("llama.full_attention_interval", uint32_t{3}))->recurrent.layers,
            (std::vector<bool>{true, true, false}));
  EXPECT_EQ(
      config_of(hybrid().add_array<bool>("llama.attention.recurrent_layers", {false, true, true}))
          ->recurrent.layers,
      (std::vector<bool>{false, true, true}));
  // Without a recurrence, layers without attention make no sense.
  EXPECT_FALSE(config_of(small_model({"llama.attention.head_count_kv"})
                             .add_array<uint32_t>("llama.attention.head_count_kv", {0, 2, 0}))
                   .ok());
}

// Arrays have an element for each block, and the last of these predict further tokens.
TEST(ModelConfig, LayersThatPredictFurtherTokensAreNotTheModels) {
  const auto config = config_of(small_model({"llama.feed_forward_length"})
                                    .add_array<uint32_t>("llama.feed_forward_length", {90, 91, 92})
                                    .add("llama.nextn_predict_layers", uint32_t{1}));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->layers, 2);
  EXPECT_EQ(config->feed_forward, (std::vector<int>{90, 91}));
  EXPECT_EQ(config->heads.size(), 2u);
}

TEST(ModelConfig, KvHeadsAreTheHeadsWhereAbsent) {
  const auto config = config_of(small_model({"llama.attention.head_count_kv"}));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->kv_heads, (std::vector<int>{4, 4, 4}));
}

TEST(ModelConfig, VocabularyFromTheTokenListWhereNothingElseSaysIt) {
  const auto config = config_of(
      small_model({"llama.vocab_size"}).add_strings("tokenizer.ggml.tokens", {"a", "b", "c"}));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->vocab_size, 3);
}

TEST(ModelConfig, AScaleThatIsAskedForMultipliesTheFilesOwn) {
  const auto scaled = [](const GgufBuilder& builder, double factor) {
    const auto bytes = builder.bytes();
    auto file = GgufFile::parse(bytes, "m.gguf");
    Checkpoint checkpoint(std::move(*file));
    checkpoint.scale_rope(factor);
    return checkpoint.config();
  };
  const auto plain = scaled(small_model(), 4);
  EXPECT_EQ(plain->rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(plain->rope.factor, 4);
  EXPECT_EQ(plain->context_length, 512);
  const auto linear = scaled(small_model().add("llama.rope.scaling.factor", 8.0f), 2);
  EXPECT_EQ(linear->rope.factor, 16);
  EXPECT_EQ(linear->context_length, 256);
  EXPECT_EQ(scaled(small_model(), 1)->rope.scaling, RopeScaling::kNone);
  const auto yarn = scaled(
      small_model().add("llama.rope.scaling.type", "yarn").add("llama.rope.scaling.factor", 4.0f),
      2);
  ASSERT_FALSE(yarn.ok());
  EXPECT_EQ(yarn.error().code, Code::kUnsupported);
}

TEST(ModelConfig, RopeScalingForms) {
  const auto linear = config_of(small_model().add("llama.rope.scaling.factor", 8.0f));
  EXPECT_EQ(linear->rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(linear->rope.factor, 8);
  const auto older = config_of(small_model().add("llama.rope.scale_linear", 2.0f));
  EXPECT_EQ(older->rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(older->rope.factor, 2);
  const auto zero = config_of(small_model().add("llama.rope.scaling.factor", 0.0f));
  EXPECT_EQ(zero->rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(zero->rope.factor, 1);
  const auto none = config_of(
      small_model().add("llama.rope.scaling.type", "none").add("llama.rope.scaling.factor", 8.0f));
  EXPECT_EQ(none->rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(none->rope.factor, 1);
  expect_refused("llama.rope.scaling.type", "spiral", "'spiral'", Code::kUnsupported);
}

TEST(ModelConfig, LayerNormWhereOnlyItsEpsilonIsThere) {
  const auto config = config_of(small_model({"llama.attention.layer_norm_rms_epsilon"})
                                    .add("llama.attention.layer_norm_epsilon", 1e-6f));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->norm, NormKind::kLayer);
  EXPECT_EQ(config->norm_eps, 1e-6f);
}

TEST(ModelConfig, FeedForwardMayBeExpertsOnly) {
  const auto config = config_of(small_model({"llama.feed_forward_length"})
                                    .add("llama.expert_count", uint32_t{4})
                                    .add("llama.expert_used_count", uint32_t{4}));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->feed_forward, (std::vector<int>{0, 0, 0}));
}

TEST(ModelConfig, NamesThatDoNotPrintAreDropped) {
  for (const char* name : {"bell\a", "cut \xc3", "\xff\xfe", "over\xc0\x80long", "\xed\xa0\x80",
                           "esc\x1b[2J", "c1\xc2\x9b"}) {
    const auto config = config_of(small_model().add("general.name", name));
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->name, "");
  }
  EXPECT_EQ(config_of(small_model().add("general.name", "模型 🦜"))->name, "模型 🦜");
}

TEST(ModelConfigErrors, EveryRequiredKeyIsNamedWhenAbsent) {
  for (const std::string key :
       {"general.architecture", "llama.block_count", "llama.embedding_length",
        "llama.context_length", "llama.feed_forward_length", "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon", "llama.vocab_size"}) {
    const auto config = config_of(small_model({key}));
    ASSERT_FALSE(config.ok()) << key;
    EXPECT_EQ(config.error().code, Code::kInvalidFile);
    EXPECT_EQ(config.error().param, key);
    EXPECT_NE(config.error().message.find("it is absent"), std::string::npos)
        << config.error().message;
  }
}

TEST(ModelConfigErrors, Bounds) {
  for (const std::string key :
       {"llama.block_count", "llama.embedding_length", "llama.context_length",
        "llama.feed_forward_length", "llama.attention.head_count", "llama.attention.head_count_kv",
        "llama.vocab_size", "llama.attention.key_length"}) {
    expect_refused(key, uint32_t{0}, "found 0");
    expect_refused(key, int32_t{-4}, "found -4");
    expect_refused(key, uint32_t{0xffffffff}, "found 4294967295");
    expect_refused(key, int64_t{1} << 40, "found 1099511627776");
    expect_refused(key, 4.0f, "expected an integer");
    expect_refused(key, "4", "expected an integer");
  }
  expect_refused("llama.rope.dimension_count", uint32_t{17}, "0 to 16");
  expect_refused("llama.rope.dimension_count", uint32_t{7}, "even");
  expect_refused("llama.attention.sliding_window", int32_t{-1}, "found -1");
  expect_refused("llama.attention.sliding_window_pattern", "x", "expected an integer");
  expect_refused("llama.expert_count", int32_t{-1}, "found -1");
  expect_refused("llama.expert_gating_func", uint32_t{4}, "kind 4", Code::kUnsupported);
  expect_refused("llama.expert_group_used_count", uint32_t{1}, "found 1");
  expect_refused("llama.leading_dense_block_count", uint32_t{4}, "0 to 3");
  expect_refused("general.architecture", "../x", "'../x'");
  expect_refused("general.architecture", "", "''");
  expect_refused("split.count", uint16_t{3}, "split model", Code::kUnsupported);
}

TEST(ModelConfigErrors, FloatsAreFiniteAndInBounds) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (const std::string key :
       {"llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base",
        "llama.rope.freq_base_swa", "llama.rope.scaling.factor", "llama.rope.scaling.attn_factor",
        "llama.attention.scale", "llama.attn_logit_softcapping", "llama.final_logit_softcapping",
        "llama.logit_scale"}) {
    expect_refused(key, nan, "nan");
    expect_refused(key, infinity, "inf");
    expect_refused(key, -1.0f, "found -1");
    expect_refused(key, 1e30f, "found 1");
    expect_refused(key, "1", "expected a number");
  }
  expect_refused("llama.rope.freq_base", 0.0f, "found 0");
}

TEST(ModelConfigErrors, SizesThatDoNotFitEachOther) {
  expect_refused("llama.attention.head_count_kv", uint32_t{3}, "divisor of the 4 heads");
  expect_refused("llama.attention.head_count", uint32_t{6}, "divisor of the embedding length 64");
  const auto array = [](const char* key, const std::vector<int32_t>& values) {
    return config_of(small_model({key}).add_array(key, values));
  };
  EXPECT_NE(array("llama.attention.head_count", {4, 4}).error().message.find("expected 3 elements"),
            std::string::npos);
  EXPECT_NE(array("llama.attention.head_count_kv", {2, 2, 0}).error().message.find("found 0"),
            std::string::npos);
  EXPECT_NE(array("llama.attention.sliding_window_pattern", {1})
                .error()
                .message.find("expected 3 elements"),
            std::string::npos);
  const auto experts = config_of(small_model()
                                     .add("llama.expert_count", uint32_t{4})
                                     .add("llama.expert_used_count", uint32_t{5}));
  ASSERT_FALSE(experts.ok());
  EXPECT_EQ(experts.error().param, "llama.expert_used_count");
  const auto sizes = [](const std::vector<int32_t>& each) {
    return config_of(small_model().add_array("llama.expert_feed_forward_length", each));
  };
  EXPECT_EQ(sizes({0, 32, 32})->experts.feed_forward, 32);
  EXPECT_EQ(sizes({16, 32, 32}).error().code, Code::kUnsupported);
  const auto flat = config_of(small_model().zeros("token_embd.weight", TensorType::kF32, {64}));
  ASSERT_FALSE(flat.ok());
  EXPECT_NE(flat.error().message.find("token_embd.weight"), std::string::npos);
}

// With PIPPIN_TEST_MODELS naming a folder that has them.
TEST(ModelConfig, OfRealFiles) {
  struct Row {
    const char *file, *architecture;
    int vocab, layers, width, feed_forward, heads, kv_heads, head_dim, window;
    double rope_base;
    bool tied;
  };
  constexpr Row kRows[] = {
      {"SmolLM2-135M-Instruct.Q4_1.gguf", "llama", 49152, 30, 576, 1536, 9, 3, 64, 0, 1e5, true},
      {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "qwen2", 151936, 28, 1536, 8960, 12, 2, 128, 0,
       1e6, false},
      {"gemma-3-270m-q4_k_m.gguf", "gemma3", 262144, 18, 640, 2048, 4, 1, 256, 512, 1e6, true},
  };
  const char* folder = std::getenv("PIPPIN_TEST_MODELS");
  int found = 0;
  for (const Row& row : kRows) {
    const std::string path = std::string(folder ? folder : "") + "/" + row.file;
    if (!std::filesystem::exists(path)) continue;
    ++found;
    const auto file = GgufFile::open(path);
    ASSERT_TRUE(file.ok()) << file.error().message;
    const auto config = read_model_config(*file);
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->architecture, row.architecture);
    EXPECT_EQ(config->vocab_size, row.vocab);
    EXPECT_EQ(config->layers, row.layers);
    EXPECT_EQ(config->embedding_length, row.width);
    EXPECT_EQ(config->feed_forward.back(), row.feed_forward);
    EXPECT_EQ(config->heads.back(), row.heads);
    EXPECT_EQ(config->kv_heads.back(), row.kv_heads);
    EXPECT_EQ(config->head_dim_k, row.head_dim);
    EXPECT_EQ(config->rope.dims, row.head_dim);
    EXPECT_EQ(config->rope.freq_base, row.rope_base);
    EXPECT_EQ(config->sliding_window, row.window);
    EXPECT_EQ(config->tied_output, row.tied);
  }
  if (found == 0) GTEST_SKIP() << "PIPPIN_TEST_MODELS names no folder with a known model";
}

}  // namespace
}  // namespace pippin::store
