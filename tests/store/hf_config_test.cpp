// config.json of each family to the configuration that models are built from.
#include "store/hf_config.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <limits>
#include <string>

namespace pippin::store {
namespace {

namespace json = boost::json;

json::object llama() {
  return json::parse(R"({"model_type": "llama", "vocab_size": 100, "hidden_size": 64,
    "num_hidden_layers": 3, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
    "rope_theta": 50000.0, "hidden_act": "silu", "tie_word_embeddings": true})")
      .get_object();
}

/// `base` with the fields of `other`.
json::object with(json::object base, const std::string& other) {
  const json::value changes = json::parse(other);
  for (const auto& [key, value] : changes.get_object()) base[key] = value;
  return base;
}

Result<HfConfig> read(const json::object& object) {
  return read_hf_config(json::serialize(object), "m/config.json");
}

HfConfig config_of(const json::object& object) {
  const auto config = read(object);
  EXPECT_TRUE(config.ok()) << config.error().message;
  return config.ok() ? *config : HfConfig();
}

TEST(HfConfig, ALlamaHasWhatTheFileSays) {
  const HfConfig config = config_of(llama());
  const ModelConfig& model = config.model;
  EXPECT_EQ(model.architecture, "llama");
  EXPECT_EQ(model.layout, WeightLayout::kHuggingFace);
  EXPECT_EQ(model.vocab_size, 100);
  EXPECT_EQ(model.context_length, 512);
  EXPECT_EQ(model.feed_forward, (std::vector<int>{128, 128, 128}));
  EXPECT_EQ(model.heads, (std::vector<int>{4, 4, 4}));
  EXPECT_EQ(model.kv_heads, (std::vector<int>{2, 2, 2}));
  EXPECT_EQ(model.head_dim_k, 16);
  EXPECT_EQ(model.rope.dims, 16);
  EXPECT_FLOAT_EQ(model.norm_eps, 1e-5f);
  EXPECT_DOUBLE_EQ(model.rope.freq_base, 50000);
  EXPECT_EQ(config.tied_output, true);
  EXPECT_FALSE(config.quantisation.mlx);
  EXPECT_EQ(config_of(with(llama(), R"({"model_type": "mistral"})")).model.architecture, "llama");
  EXPECT_EQ(config_of(with(llama(), R"({"head_dim": 32})")).model.head_dim_k, 32);
  EXPECT_EQ(config_of(with(llama(), R"({"head_dim": null})")).model.head_dim_k, 16);
}

json::object mamba2() {
  return json::parse(R"({"model_type": "mamba2", "vocab_size": 100, "hidden_size": 64,
    "num_hidden_layers": 2, "num_heads": 4, "head_dim": 32, "state_size": 24, "n_groups": 2,
    "layer_norm_epsilon": 1e-5})")
      .get_object();
}

TEST(HfConfig, AMambaHasNoAttention) {
  const ModelConfig model = config_of(mamba2()).model;
  EXPECT_EQ(model.heads, (std::vector<int>{0, 0}));
  EXPECT_EQ(model.feed_forward, (std::vector<int>{0, 0}));
  EXPECT_EQ(model.recurrent.layers, (std::vector<bool>{true, true}));
  EXPECT_EQ(model.recurrent.inner, 128);
  EXPECT_EQ(model.recurrent.time_step_rank, 4);
  EXPECT_EQ(model.recurrent.time_step_max, std::numeric_limits<float>::infinity());
}

// Python writes a number that JSON has not; in a text it means nothing.
TEST(HfConfig, InfinityIsReadInBothForms) {
  for (const char* infinity : {"Infinity", R"({"__float__": "Infinity"})"}) {
    std::string text = json::serialize(mamba2());
    text.insert(1, std::string(R"("name": "an \"Infinity\"", "time_step_limit": [0.5, )") +
                       infinity + "],");
    const auto config = read_hf_config(text, "m/config.json");
    ASSERT_TRUE(config.ok()) << config.error().message;
    EXPECT_EQ(config->model.recurrent.time_step_min, 0.5f);
    EXPECT_EQ(config->model.recurrent.time_step_max, std::numeric_limits<float>::infinity());
  }
  EXPECT_FALSE(read(with(mamba2(), R"({"time_step_limit": [0.5]})")).ok());
}

TEST(HfConfig, LayersOfAHybridAreToldApart) {
  const json::object lfm2 =
      with(llama(), R"({"model_type": "lfm2", "norm_eps": 1e-5, "intermediate_size": 120,
        "block_multiple_of": 32, "layer_types": ["conv", "full_attention", "conv"]})");
  const ModelConfig model = config_of(lfm2).model;
  EXPECT_EQ(model.recurrent.layers, (std::vector<bool>{true, false, true}));
  EXPECT_EQ(model.feed_forward, (std::vector<int>{96, 96, 96})) << "80, in multiples of 32";
  const auto refused = read(with(lfm2, R"({"layer_types": ["conv", "other", "conv"]})"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  EXPECT_EQ(refused.error().param, "layer_types");
}

json::object cohere2_moe(const std::string& changes) {
  return with(with(llama(), R"({"model_type": "cohere2_moe", "num_hidden_layers": 7,
    "num_experts": 4, "num_experts_per_tok": 2, "sliding_window": 32,
    "first_k_dense_replace": 2})"),
              changes);
}

TEST(HfConfig, DenseLayersOfCohere2MoeCountTheirOwnWindows) {
  const ModelConfig model = config_of(cohere2_moe("{}")).model;
  EXPECT_EQ(model.windowed_layers, (std::vector<bool>{0, 0, 1, 1, 1, 0, 1}));
  EXPECT_EQ(model.rope.layers, (std::vector<bool>{1, 1, 1, 1, 1, 0, 1}));
  EXPECT_EQ(model.experts.leading_dense_layers, 2);
  EXPECT_FLOAT_EQ(model.logit_scale, 0.0625f);
  const ModelConfig other =
      config_of(cohere2_moe(R"({"prefix_dense_sliding_window_pattern": 2})")).model;
  EXPECT_EQ(other.windowed_layers, (std::vector<bool>{1, 0, 1, 1, 1, 0, 1}));
  EXPECT_EQ(other.rope.layers, other.windowed_layers);
  const ModelConfig only_dense = config_of(cohere2_moe(R"({"sliding_window_pattern": 1,
    "prefix_dense_sliding_window_pattern": 2})"))
                                     .model;
  EXPECT_EQ(only_dense.windowed_layers, (std::vector<bool>{1, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(only_dense.sliding_window, 32);
}

json::object granite_swa(const std::string& changes) {
  return with(with(llama(), R"({"model_type": "granite_swa", "num_hidden_layers": 5,
    "sliding_window": 32})"),
              changes);
}

TEST(HfConfig, LayersOfGraniteSwashHaveBasesOfTheirOwn) {
  const ModelConfig usual = config_of(granite_swa("{}")).model;
  EXPECT_EQ(usual.windowed_layers, (std::vector<bool>{0, 1, 1, 1, 0}));
  EXPECT_TRUE(usual.rope.layers.empty());
  const ModelConfig model =
      config_of(granite_swa(R"({"layer_rope_theta": [0, 500, 500, 500, 2000]})")).model;
  EXPECT_EQ(model.rope.layers, (std::vector<bool>{0, 1, 1, 1, 1}));
  EXPECT_EQ(model.rope.freq_base, 2000);
  EXPECT_EQ(model.rope.freq_base_window, 500);
  const auto refused = read(granite_swa(R"({"layer_rope_theta": [0, 500, 600, 500, 0]})"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().param, "layer_rope_theta");
}

TEST(HfConfig, Gpt2MayLeaveScoresUnscaled) {
  const auto gpt2 = [](const std::string& changes) {
    return config_of(with(json::parse(R"({"model_type": "gpt2", "n_embd": 64, "n_layer": 2,
      "n_head": 4, "n_positions": 32, "vocab_size": 40,
      "activation_function": "gelu_new"})")
                              .as_object(),
                          changes))
        .model;
  };
  EXPECT_EQ(gpt2("{}").attention_scale, 0);
  EXPECT_EQ(gpt2(R"({"scale_attn_weights": false})").attention_scale, 1);
}

TEST(HfConfig, NormsOfCohere2MoeAreOfTheKindWhoseEpsilonIsThere) {
  EXPECT_EQ(config_of(cohere2_moe("{}")).model.norm, NormKind::kRms);
  const ModelConfig layer =
      config_of(cohere2_moe(R"({"rms_norm_eps": null, "layer_norm_eps": 1e-4})")).model;
  EXPECT_EQ(layer.norm, NormKind::kLayer);
  EXPECT_FLOAT_EQ(layer.norm_eps, 1e-4f);
}

TEST(HfConfig, WhatCohere2MoeCannotFollowIsRefusedByName) {
  for (const auto& [changes, field] :
       {std::pair(R"({"mlp_layer_types": ["sparse", "dense", "sparse", "sparse", "sparse", "sparse",
          "sparse"]})",
                  "mlp_layer_types"),
        {R"({"expert_selection_fn": "relu"})", "expert_selection_fn"},
        {R"({"shared_expert_combination_strategy": "max"})",
         "shared_expert_combination_strategy"}}) {
    const auto refused = read(cohere2_moe(changes));
    ASSERT_FALSE(refused.ok()) << field;
    EXPECT_EQ(refused.error().code, Code::kUnsupported) << field;
    EXPECT_EQ(refused.error().param, field);
  }
}

TEST(HfConfig, RopeIsReadInBothForms) {
  const char* kScaling = R"("rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192)";
  const auto older =
      config_of(with(llama(), std::string(R"({"rope_scaling": {)") + kScaling + "}}"));
  json::object bare = llama();
  bare.erase("rope_theta");
  const auto newer = config_of(
      with(bare, std::string(R"({"rope_parameters": {"rope_theta": 50000.0, )") + kScaling + "}}"));
  ASSERT_EQ(older.model.rope.divisors.size(), 8u);
  EXPECT_EQ(older.model.rope.divisors, newer.model.rope.divisors);
  EXPECT_FLOAT_EQ(older.model.rope.divisors.front(), 1);
  EXPECT_FLOAT_EQ(older.model.rope.divisors.back(), 8);
  EXPECT_DOUBLE_EQ(newer.model.rope.freq_base, 50000);

  const auto linear =
      config_of(with(llama(), R"({"rope_scaling": {"type": "linear", "factor": 2.0}})"));
  EXPECT_EQ(linear.model.rope.scaling, RopeScaling::kLinear);
  EXPECT_DOUBLE_EQ(linear.model.rope.factor, 2);
}

TEST(HfConfig, KeysThatChangeNothingAreLeftAlone) {
  const auto config = read(with(llama(), R"({"residual_multiplier": 1.0, "use_qk_norm": false,
    "embedding_scale": null, "initializer_range": 0.02, "author": "somebody",
    "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "linear", "factor": 2.0}})"));
  EXPECT_TRUE(config.ok()) << config.error().message;
}

TEST(HfConfig, QwensWindowIsUsedOnlyWhereItIsSaid) {
  const json::object qwen = with(llama(), R"({"model_type": "qwen2", "sliding_window": 32,
    "use_sliding_window": false, "max_window_layers": 1})");
  EXPECT_EQ(config_of(qwen).model.sliding_window, 0);
  EXPECT_TRUE(config_of(qwen).qkv_bias);
  const auto used = config_of(with(qwen, R"({"use_sliding_window": true})"));
  EXPECT_EQ(used.model.sliding_window, 32);
  EXPECT_EQ(used.model.windowed_layers, (std::vector<bool>{false, true, true}));
}

TEST(HfConfig, GemmaHasDefaultsAndAPeriod) {
  const auto plain = config_of(json::parse(R"({"model_type": "gemma3_text"})").get_object());
  EXPECT_EQ(plain.model.layers, 26);
  EXPECT_EQ(plain.model.architecture, "gemma3");
  EXPECT_EQ(plain.model.head_dim_k, 256);
  EXPECT_FLOAT_EQ(plain.model.attention_scale, 1.0f / 16);
  EXPECT_EQ(plain.model.windowed_layers[4], true);
  EXPECT_EQ(plain.model.windowed_layers[5], false);
  EXPECT_DOUBLE_EQ(plain.model.rope.freq_base, 1e6);
  EXPECT_DOUBLE_EQ(plain.model.rope.freq_base_window, 1e4);
  const auto part =
      config_of(json::parse(R"({"model_type": "gemma3", "text_config": {"num_hidden_layers": 7,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention",
                        "full_attention", "full_attention", "full_attention"]}})")
                    .get_object());
  EXPECT_TRUE(part.is_part);
  EXPECT_EQ(part.model.layers, 7);
  EXPECT_EQ(part.model.windowed_layers[1], true);
  EXPECT_EQ(part.model.windowed_layers[6], false);
  EXPECT_DOUBLE_EQ(part.model.rope.factor, 8);
}

TEST(HfConfig, MlxQuantisationHasExceptions) {
  const HfQuantisation read =
      config_of(with(llama(), R"({"quantization": {"group_size": 64, "bits": 4, "lm_head": false,
        "model.layers.0.mlp.down_proj": {"group_size": 32, "bits": 6},
        "model.layers.1.mlp.down_proj": {"group_size": 32, "bits": 8, "mode": "mxfp8"}}})"))
          .quantisation;
  ASSERT_TRUE(read.mlx);
  EXPECT_EQ(read.mlx->type, TensorType::kAffine4);
  EXPECT_EQ(read.mlx->group, 64);
  EXPECT_FALSE(read.exceptions.at("lm_head"));
  EXPECT_EQ(read.exceptions.at("model.layers.0.mlp.down_proj")->type, TensorType::kAffine6);
  EXPECT_EQ(read.exceptions.at("model.layers.1.mlp.down_proj")->packing, Packing::kMxFp8);
}

HfQuantisation quantisation_of(const std::string& fields) {
  return config_of(with(llama(), R"({"quantization_config": )" + fields + "}")).quantisation;
}

TEST(HfConfig, OtherToolsQuantisationIsRead) {
  const auto gptq =
      quantisation_of(R"({"quant_method": "gptq", "bits": 4, "group_size": -1})").other;
  ASSERT_TRUE(gptq);
  EXPECT_EQ(gptq->method, QuantMethod::kGptq);
  EXPECT_EQ(gptq->group, 0);
  EXPECT_TRUE(gptq->zeros_less_one);
  const auto second = quantisation_of(R"({"quant_method": "gptq", "bits": 3, "group_size": 128,
                                          "checkpoint_format": "gptq_v2"})")
                          .other;
  EXPECT_EQ(second->bits, 3);
  EXPECT_EQ(second->group, 128);
  EXPECT_FALSE(second->zeros_less_one);
  const auto awq = quantisation_of(R"({"quant_method": "awq", "bits": 4, "group_size": 64,
                                       "version": "GEMM"})")
                       .other;
  EXPECT_EQ(awq->method, QuantMethod::kAwq);
  const auto fp8 =
      quantisation_of(R"({"quant_method": "fp8", "weight_block_size": [64, 32]})").other;
  EXPECT_EQ(fp8->method, QuantMethod::kFp8);
  EXPECT_EQ(fp8->block_rows, 64);
  EXPECT_EQ(fp8->block_columns, 32);
  const auto compressed = quantisation_of(
      R"({"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups":
          {"group_0": {"weights": {"num_bits": 8, "block_structure": [16, 48]}}}})");
  EXPECT_EQ(compressed.other->method, QuantMethod::kCompressedTensors);
  EXPECT_EQ(compressed.other->block_columns, 48);
}

struct Refused {
  std::string fields, param;
  Code code;
};

void expect_refused(const std::vector<Refused>& cases) {
  for (const Refused& refused : cases) {
    const auto config = read(with(llama(), refused.fields));
    ASSERT_FALSE(config.ok()) << refused.fields;
    EXPECT_EQ(config.error().code, refused.code) << refused.fields;
    EXPECT_EQ(config.error().param, refused.param) << refused.fields;
    EXPECT_NE(config.error().message.find("m/config.json"), std::string::npos);
  }
}

TEST(HfConfig, WhatCannotBeFollowedIsRefusedByName) {
  const std::vector<Refused> cases = {
      {R"({"model_type": "pegasus"})", "model_type", Code::kUnsupported},
      {R"({"model_type": 3})", "model_type", Code::kInvalidFile},
      {R"({"hidden_size": 0})", "hidden_size", Code::kInvalidFile},
      {R"({"hidden_size": "64"})", "hidden_size", Code::kInvalidFile},
      {R"({"hidden_size": null})", "hidden_size", Code::kInvalidFile},
      {R"({"vocab_size": 99999999999})", "vocab_size", Code::kInvalidFile},
      {R"({"num_key_value_heads": 3})", "num_key_value_heads", Code::kInvalidFile},
      {R"({"hidden_size": 65})", "head_dim", Code::kInvalidFile},
      {R"({"rms_norm_eps": -1})", "rms_norm_eps", Code::kInvalidFile},
      {R"({"hidden_act": "relu"})", "hidden_act", Code::kUnsupported},
      {R"({"partial_rotary_factor": 1.5})", "partial_rotary_factor", Code::kInvalidFile},
      {R"({"rope_scaling": 7})", "rope_scaling", Code::kInvalidFile},
      {R"({"rope_scaling": {"type": "spiral", "factor": 4}})", "rope_scaling.type",
       Code::kUnsupported},
      {R"({"rope_scaling": {"type": "yarn"}})", "rope_scaling.factor", Code::kInvalidFile},
      {R"({"rope_scaling": {"type": "longrope", "short_factor": [1]}})",
       "rope_scaling.short_factor", Code::kInvalidFile},
      {R"({"rope_scaling": {"rope_type": "linear"}})", "rope_scaling.factor", Code::kInvalidFile},
      {R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4,
           "high_freq_factor": 2, "original_max_position_embeddings": 64}})",
       "rope_scaling.high_freq_factor", Code::kInvalidFile},
      {R"({"rope_scaling": {"rope_type": "linear", "factor": 2},
           "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}})",
       "rope_scaling.rope_type", Code::kInvalidFile},
      {R"({"residual_multiplier": 0.22})", "residual_multiplier", Code::kUnsupported},
      {R"({"query_clipping": 8})", "query_clipping", Code::kUnsupported},
      {R"({"sliding_window": 32, "layer_types": ["full_attention"]})", "layer_types",
       Code::kInvalidFile},
      {R"({"model_type": "deepseek_v3", "index_topk": 2048})", "index_topk", Code::kUnsupported},
      {R"({"model_type": "deepseek_v3", "rope_interleave": false})", "rope_interleave",
       Code::kUnsupported},
      {R"({"alibi": true})", "alibi", Code::kUnsupported},
      {R"({"model_type": "falcon", "hidden_act": "gelu", "alibi": true})", "alibi",
       Code::kUnsupported},
      {R"({"model_type": "deepseek_v32", "index_n_heads": 4, "index_head_dim": 32})", "index_topk",
       Code::kInvalidFile},
      {R"({"model_type": "glm_moe_dsa", "indexer_types": ["full"]})", "indexer_types",
       Code::kInvalidFile},
      {R"({"model_type": "glm_moe_dsa", "index_topk_pattern": "FS"})", "index_topk_pattern",
       Code::kUnsupported},
      {R"({"model_type": "glm_moe_dsa", "indexer_rope_interleave": false})",
       "indexer_rope_interleave", Code::kUnsupported},
      {R"({"model_type": "bailing_moe", "norm_head": true})", "norm_head", Code::kUnsupported},
      {R"({"model_type": "minicpm", "sparse_config": {}})", "sparse_config", Code::kUnsupported},
      {R"({"model_type": "llama4_text", "layer_types": []})", "layer_types", Code::kInvalidFile},
      {R"({"use_bidirectional_attention": true})", "use_bidirectional_attention",
       Code::kUnsupported},
  };
  expect_refused(cases);
  EXPECT_FALSE(read_hf_config("[1]", "m/config.json").ok());
  EXPECT_FALSE(read_hf_config("{\"a\":", "m/config.json").ok());
}

TEST(HfConfig, QuantisationThatCannotBeReadIsRefusedByName) {
  expect_refused({
      {R"({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}})",
       "quantization_config.quant_method", Code::kUnsupported},
      {R"({"quantization_config": {"quant_method": "gptq", "bits": 5, "group_size": 128}})",
       "quantization_config.bits", Code::kUnsupported},
      {R"({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 0}})",
       "quantization_config.group_size", Code::kInvalidFile},
      {R"({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128,
           "checkpoint_format": "marlin"}})",
       "quantization_config.checkpoint_format", Code::kUnsupported},
      {R"({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128,
           "dynamic": {"+:.*down.*": {"bits": 8}}}})",
       "quantization_config.dynamic", Code::kUnsupported},
      {R"({"quantization_config": {"quant_method": "awq", "bits": 8, "group_size": 128}})",
       "quantization_config.bits", Code::kUnsupported},
      {R"({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128,
           "version": "gemv"}})",
       "quantization_config.version", Code::kUnsupported},
      {R"({"quantization_config": {"quant_method": "compressed-tensors", "format": "marlin-24"}})",
       "quantization_config.format", Code::kUnsupported},
      {R"({"quantization_config": {"quant_method": "fp8", "fmt": "e5m2"}})",
       "quantization_config.fmt", Code::kUnsupported},
      {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 0]}})",
       "quantization_config.weight_block_size", Code::kInvalidFile},
      {R"({"quantization": {"mode": "fp3", "bits": 4, "group_size": 16}})", "quantization.mode",
       Code::kUnsupported},
      {R"({"quantization": {"mode": "nvfp4", "bits": 4, "group_size": 32}})",
       "quantization.group_size", Code::kInvalidFile},
      {R"({"quantization": {"mode": "mxfp8", "bits": 4, "group_size": 32}})", "quantization.bits",
       Code::kInvalidFile},
      {R"({"quantization": {"bits": 7, "group_size": 64}})", "quantization.bits",
       Code::kInvalidFile},
      {R"({"quantization": {"bits": 4, "group_size": 48}})", "quantization.group_size",
       Code::kInvalidFile},
  });
}

}  // namespace
}  // namespace pippin::store
