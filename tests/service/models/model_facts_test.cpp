#include "service/models/model_facts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "service/models/load.h"
#include "service/models/memory_facts.h"
#include "store/gguf_builder.h"

namespace pippin::service {
namespace {

namespace fs = std::filesystem;

const std::string kFixtures = PIPPIN_SOURCE_DIR "/tests/models/fixtures/";

ModelDescription describe(const std::string& fixture) {
  LoadOptions options;
  options.path = kFixtures + fixture;
  options.memory.memory_bytes_max = uint64_t{1} << 30;
  return describe_files(options);
}

ModelFacts facts(const std::string& fixture) { return describe(fixture).info.facts; }

std::vector<KvGroupFacts> groups(const std::string& fixture) {
  const ModelDescription described = describe(fixture);
  EXPECT_TRUE(described.sizing) << described.unserved;
  return described.sizing ? kv_group_facts(described.sizing->needs) : std::vector<KvGroupFacts>();
}

/// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(fs::temp_directory_path() / ("pippin_facts_" + std::to_string(getpid()))) {
    fs::create_directories(path_);
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  std::string path() const { return path_.string(); }
  void copy(const std::string& fixture) {
    fs::copy(kFixtures + fixture, path_,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }

 private:
  fs::path path_;
};

TEST(ModelFacts, OfADenseFile) {
  const ModelFacts llama = facts("llama_tied.gguf");
  EXPECT_EQ(llama.architecture, "llama");
  EXPECT_EQ(llama.format, "gguf");
  EXPECT_EQ(llama.active_parameters, llama.parameters);
  EXPECT_EQ(llama.experts, 0);
  EXPECT_EQ(llama.context.tokens, 1024);
  EXPECT_EQ(llama.context.trained_tokens, 1024);
  EXPECT_EQ(llama.context.rope_scaling, "");
  EXPECT_EQ(llama.vocab, 160);
  EXPECT_EQ(facts("hf/llama_tied").format, "safetensors");
  EXPECT_DOUBLE_EQ(facts("hf/llama_tied").bits_per_weight(), 32);
}

// Two layers of four experts, each of three matrices [48, 32]; a token passes two of them.
TEST(ModelFacts, ATokenPassesSomeExperts) {
  for (const char* fixture : {"families/mixtral", "families/mixtral/model.gguf"}) {
    const ModelFacts mixtral = facts(fixture);
    EXPECT_EQ(mixtral.experts, 4) << fixture;
    EXPECT_EQ(mixtral.experts_used, 2) << fixture;
    EXPECT_EQ(mixtral.parameters - mixtral.active_parameters, 2u * 2 * 3 * 48 * 32) << fixture;
  }
}

TEST(ModelFacts, ExpertsBesideEachOtherCountToo) {
  store::GgufBuilder builder;
  builder.add("general.architecture", "llama");
  builder.add("llama.block_count", uint32_t{1}).add("llama.context_length", uint32_t{64});
  builder.add("llama.embedding_length", uint32_t{32}).add("llama.vocab_size", uint32_t{8});
  builder.add("llama.feed_forward_length", uint32_t{32});
  builder.add("llama.attention.head_count", uint32_t{2});
  builder.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  builder.add("llama.expert_count", uint32_t{4}).add("llama.expert_used_count", uint32_t{1});
  builder.add("general.license", "other").add("general.license.name", "tiny-license");
  for (int e = 0; e < 4; ++e)
    builder.tensor("blk.0.ffn_up." + std::to_string(e) + ".weight", {32, 32},
                   std::vector<float>(32 * 32));
  builder.tensor("token_embd.weight", {8, 32}, std::vector<float>(8 * 32));
  TemporaryFolder folder;
  const std::string path = folder.path() + "/experts.gguf";
  ASSERT_TRUE(builder.write(path));
  LoadOptions options;
  options.path = path;
  const ModelFacts told = describe_files(options).info.facts;
  EXPECT_EQ(told.parameters, 4u * 32 * 32 + 8 * 32);
  EXPECT_EQ(told.active_parameters, 32u * 32 + 8 * 32);
  EXPECT_EQ(told.license, "tiny-license");
}

TEST(ModelFacts, AContextIsExtendedByRopeScaling) {
  const ContextFacts llama3 = facts("hf/llama_rope_freqs").context;
  EXPECT_EQ(llama3.trained_tokens, 512);
  EXPECT_EQ(llama3.tokens, 1024);
  EXPECT_EQ(llama3.rope_scaling, "llama3");
  EXPECT_NEAR(llama3.rope_factor, 8, 1e-4);
  const ContextFacts yarn = facts("families/llama_yarn").context;
  EXPECT_EQ(yarn.trained_tokens, 32);
  EXPECT_EQ(yarn.rope_scaling, "yarn");
  EXPECT_DOUBLE_EQ(yarn.rope_factor, 4);
  const ContextFacts linear = facts("families/llama_linear").context;
  EXPECT_EQ(linear.trained_tokens, 341);
  EXPECT_EQ(linear.rope_scaling, "linear");
  const ContextFacts longrope = facts("families/phi3_long").context;
  EXPECT_EQ(longrope.trained_tokens, 64);
  EXPECT_EQ(longrope.rope_scaling, "longrope");
  EXPECT_DOUBLE_EQ(longrope.rope_factor, 16);
}

TEST(ModelFacts, QuantisedWeightsTakeFewerBits) {
  const auto bits = [](const std::string& fixture) { return facts(fixture).bits_per_weight(); };
  EXPECT_EQ(facts("quantised/gptq").quantization_method, "gptq");
  EXPECT_EQ(facts("quantised/awq").quantization_method, "awq");
  EXPECT_EQ(facts("quantised/fp8_blocks").quantization_method, "fp8");
  EXPECT_EQ(facts("mlx/llama_untied").quantization_method, "affine");
  for (const char* fixture :
       {"quantised/gptq", "quantised/awq", "quantised/fp8_blocks", "mlx/llama_untied"}) {
    EXPECT_GT(bits(fixture), 4) << fixture;
    EXPECT_LT(bits(fixture), 31) << fixture;
  }
  EXPECT_LT(bits("mlx/llama_untied"), 8);
}

TEST(ModelFacts, TheLicenseOfAFolder) {
  TemporaryFolder folder;
  folder.copy("hf/llama_tied");
  const auto license = [&] { return facts_of_unread(folder.path()).license; };
  EXPECT_EQ(license(), "");
  folder.write("LICENSE", "\n   # Tiny Community License\nAll yours.\n");
  EXPECT_EQ(license(), "Tiny Community License");
  folder.write("README.md", "---\r\ntags:\r\n- x\r\nlicense: \"apache-2.0\"\r\n---\r\n# Tiny\r\n");
  EXPECT_EQ(license(), "apache-2.0");
  folder.write("README.md", "---\nlicense: other\nlicense_name: tiny\n---\n");
  EXPECT_EQ(license(), "tiny");
  folder.write("README.md", "---\nlicense:\n- mit\n- bsd\n---\n");
  EXPECT_EQ(license(), "mit");
  folder.write("README.md", "license: mit\n");
  EXPECT_EQ(license(), "Tiny Community License") << "that is no front matter";

  LoadOptions options;
  options.path = folder.path();
  EXPECT_NE(describe_files(options).info.facts.license_text.find("All yours."), std::string::npos);
  options.license_files = {folder.write("a", "Layer One\n"), folder.write("b", "Layer Two\n")};
  EXPECT_EQ(describe_files(options).info.facts.license_text, "Layer One\n\n\nLayer Two\n");
}

TEST(ModelFacts, WhatCannotBeReadIsToldAsFarAsItGoes) {
  TemporaryFolder folder;
  folder.copy("hf/llama_untied");
  folder.write("config.json",
               R"({"model_type": "nonesuch", "vision_config": {}, "architectures": [3]})");
  LoadOptions options;
  options.path = folder.path();
  const ModelDescription described = describe_files(options);
  EXPECT_NE(described.unserved.find("nonesuch"), std::string::npos) << described.unserved;
  EXPECT_FALSE(described.sizing);
  const ModelFacts& told = described.info.facts;
  EXPECT_EQ(told.architecture, "nonesuch");
  EXPECT_TRUE(told.sees);
  EXPECT_EQ(told.parameters, facts("hf/llama_untied").parameters);
  EXPECT_DOUBLE_EQ(told.bits_per_weight(), 32);

  folder.write("config.json", "[");
  EXPECT_FALSE(describe_files(options).unserved.empty());
  options.path = folder.path() + "/nothing.gguf";
  EXPECT_FALSE(describe_files(options).unserved.empty());
}

TEST(ModelFacts, AFileOfAnUnknownFamilyStillTells) {
  store::GgufBuilder builder;
  builder.add("general.architecture", "nonesuch");
  builder.add("tokenizer.chat_template", "{{ messages[0].content }}{{ tools }}");
  builder.tensor("token_embd.weight", {8, 32}, std::vector<float>(8 * 32));
  TemporaryFolder folder;
  LoadOptions options;
  options.path = folder.path() + "/unknown.gguf";
  ASSERT_TRUE(builder.write(options.path));
  const ModelDescription described = describe_files(options);
  EXPECT_FALSE(described.unserved.empty());
  EXPECT_EQ(described.info.facts.architecture, "nonesuch");
  EXPECT_EQ(described.info.facts.parameters, 8u * 32);
  EXPECT_NE(described.info.chat_template, nullptr);
  EXPECT_TRUE(described.info.calls_tools());
}

// --- KV groups: f16, K and V of a head of 16 take 64 bytes a token ---

TEST(KvGroupFacts, FullAttention) {
  const auto llama = groups("llama_tied.gguf");
  ASSERT_EQ(llama.size(), 1u);
  EXPECT_EQ(llama[0].kind, "full");
  EXPECT_EQ(llama[0].layers, 2);
  EXPECT_EQ(llama[0].bytes_per_token, 2 * 2 * 64);
}

TEST(KvGroupFacts, AWindow) {
  const auto gemma = groups("families/gemma3n");
  ASSERT_EQ(gemma.size(), 2u);
  EXPECT_EQ(gemma[1].kind, "sliding");
  EXPECT_EQ(gemma[1].window, 8);
  EXPECT_EQ(gemma[1].bytes_per_token, 64 * gemma[1].layers);
}

TEST(KvGroupFacts, Chunks) {
  const auto llama4 = groups("families/llama4_chunks");
  ASSERT_EQ(llama4.size(), 2u);
  EXPECT_EQ(llama4[1].kind, "chunked");
  EXPECT_EQ(llama4[1].window, 12);
  EXPECT_EQ(llama4[1].bytes_per_token, 3 * 64);
}

TEST(KvGroupFacts, CompressedKeysAndValues) {
  const auto deepseek = groups("families/deepseek3");
  ASSERT_EQ(deepseek.size(), 1u);
  EXPECT_EQ(deepseek[0].kind, "mla");
  EXPECT_EQ(deepseek[0].latent_values, 32 + 16) << "rank and rope";
  EXPECT_EQ(deepseek[0].bytes_per_token, 2 * (32 + 16) * 2);
}

TEST(KvGroupFacts, States) {
  const auto qwen = groups("families/qwen35");
  ASSERT_EQ(qwen.size(), 2u);
  EXPECT_EQ(qwen[0].bytes_per_token, 64);
  EXPECT_EQ(qwen[1].kind, "state");
  EXPECT_EQ(qwen[1].layers, 3);
  EXPECT_EQ(qwen[1].bytes_per_token, 0);
  // Three inputs of 160 channels, and six heads of [16, 16], in f32.
  EXPECT_EQ(qwen[1].bytes_per_sequence, 3 * 4 * (3 * 160 + 6 * 16 * 16));
  const auto mamba = groups("families/mamba2");
  ASSERT_EQ(mamba.size(), 1u);
  EXPECT_EQ(mamba[0].bytes_per_sequence, 3 * 4 * (3 * 160 + 4 * 16 * 24));
}

// --- Memory at contexts ---

MemorySizing sizing_of(uint64_t memory_bytes) {
  MemorySizing sizing = *describe("llama_tied.gguf").sizing;
  sizing.options.memory_bytes_max = memory_bytes;
  return sizing;
}

TEST(MemoryAt, IsThePlansOfOneSequence) {
  const MemorySizing sizing = sizing_of(uint64_t{1} << 30);
  const MemoryAt at = memory_at(sizing, 512).value();
  MemoryOptions options = sizing.options;
  options.least = true;
  options.context_tokens = 512;
  const MemoryPlan plan = plan_memory(sizing.needs, options, sizing.machine).value();
  EXPECT_EQ(at.kv_bytes, plan.kv_bytes);
  EXPECT_EQ(at.kv_bytes, 512u * 2 * 2 * 64);
  EXPECT_EQ(at.bytes(), plan.bytes_total());
  EXPECT_TRUE(at.fits);
}

TEST(MemoryAt, SaysWhatDoesNotFit) {
  const uint64_t needed = memory_at(sizing_of(uint64_t{1} << 30), 1024)->bytes();
  EXPECT_TRUE(memory_at(sizing_of(needed), 1024)->fits);
  const Result<MemoryAt> tight = memory_at(sizing_of(needed - 1), 1024);
  ASSERT_TRUE(tight.ok()) << tight.error().message;
  EXPECT_FALSE(tight->fits);
  EXPECT_EQ(tight->bytes(), needed);
  EXPECT_EQ(memory_at(sizing_of(needed), 1025).error().param, "--context");
}

TEST(MemoryAt, UsualContextsEndWithTheModelsOwn) {
  MemoryNeeds needs;
  needs.context_tokens_max = 8192;
  EXPECT_EQ(usual_contexts(needs), (std::vector{4096, 8192}));
  needs.context_tokens_max = 131072;
  EXPECT_EQ(usual_contexts(needs), (std::vector{4096, 8192, 32768, 131072}));
  needs.context_tokens_max = 512;
  EXPECT_EQ(usual_contexts(needs), std::vector{512});
}

}  // namespace
}  // namespace pippin::service
