// Tensors that no part of a model reads: refused by name, but for those without a meaning for it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"
#include "nn/backend/backend.h"
#include "store/checkpoint.h"
#include "tests/store/gguf_builder.h"

namespace pippin::models {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(PIPPIN_SOURCE_DIR) / "tests/models/fixtures";
constexpr int kWidth = 32;

Result<void> load(const std::string& path) {
  ASSIGN_OR_RETURN(const store::Checkpoint checkpoint, store::Checkpoint::open(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<nn::Backend> backend,
                   nn::make_backend({.kind = nn::BackendKind::kReference}));
  const auto model = load_model(checkpoint, *backend, {});
  return model.ok() ? Result<void>() : model.error();
}

/// A folder of its own that goes with the test.
class UnreadTensors : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  /// Loads a llama of one layer whose file has tensors of one value besides.
  Result<void> load_llama_with(const std::vector<std::string>& more, float value = 1) const {
    store::GgufBuilder file;
    file.add("general.architecture", "llama");
    for (const char* key : {"embedding_length", "feed_forward_length", "context_length"})
      file.add(std::string("llama.") + key, uint32_t{kWidth});
    file.add("llama.block_count", uint32_t{1}).add("llama.vocab_size", uint32_t{kWidth});
    file.add("llama.attention.head_count", uint32_t{2});
    file.add("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    const auto add = [&file](const std::string& name, const std::vector<int64_t>& shape) {
      file.zeros(name, TensorType::kF32, shape);
    };
    for (const char* norm : {"output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"})
      add(std::string(norm) + ".weight", {kWidth});
    add("token_embd.weight", {kWidth, kWidth});
    for (const char* part :
         {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
      add(std::string("blk.0.") + part + ".weight", {kWidth, kWidth});
    for (const std::string& name : more) file.tensor(name, {1}, {value});
    const std::string path = folder_ / "model.gguf";
    EXPECT_TRUE(file.write(path));
    return load(path);
  }

  fs::path copy_of(const std::string& fixture) const {
    fs::copy(kFixtures / fixture, folder_ / "copy");
    return folder_ / "copy";
  }

  static void replace_in_config(const fs::path& folder, std::string_view from,
                                std::string_view to) {
    std::ifstream in(folder / "config.json");
    std::string text(std::istreambuf_iterator<char>(in), {});
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    std::ofstream(folder / "config.json") << text.replace(at, from.size(), to);
  }

  void expect_refused(const std::string& tensor) const {
    const Result<void> loaded = load_llama_with({tensor});
    ASSERT_FALSE(loaded.ok()) << tensor;
    EXPECT_EQ(loaded.error().code, Code::kUnsupported);
    EXPECT_EQ(loaded.error().param, tensor);
    EXPECT_TRUE(loaded.error().message.ends_with(": " + tensor)) << loaded.error().message;
  }

  const fs::path folder_ =
      fs::temp_directory_path() / ("pippin_unread_" + std::to_string(getpid()));
};

TEST_F(UnreadTensors, AreRefusedByName) {
  EXPECT_TRUE(load_llama_with({}).ok());
  for (const char* name :
       {"blk.0.attn_q_norm.weight", "blk.0.attn_sub_norm.weight", "blk.0.attn_q.scale",
        "blk.0.attn_norm.bias", "blk.1.attn_q.weight", "blk.weight", "vision.weight", "new.weight"})
    expect_refused(name);
}

TEST_F(UnreadTensors, AreNamedUpToThree) {
  const Result<void> loaded = load_llama_with({"b.weight", "c.weight", "d.weight", "e.weight"});
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().param, "b.weight");
  EXPECT_TRUE(loaded.error().message.ends_with(": b.weight, c.weight, d.weight and 1 more"))
      << loaded.error().message;
}

TEST_F(UnreadTensors, WithoutAMeaningForTheTextMayBeThere) {
  const Result<void> loaded = load_llama_with(
      {"v.blk.0.attn_q.weight", "mm.0.bias", "a.conv.weight", "cls.output.weight",
       "blk.0.attn_rot_embd.weight", "blk.0.attn_q.input_scale",
       // A layer that predicts a further token.
       "blk.1.nextn.eh_proj.weight", "blk.1.attn_q.weight", "blk.1.ffn_gate_exps.weight"});
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
}

TEST_F(UnreadTensors, ThatAreBiasesOfZerosMayBeThere) {
  EXPECT_TRUE(load_llama_with({"blk.0.attn_norm.bias"}, 0).ok());
  EXPECT_FALSE(load_llama_with({"blk.0.attn_norm.bias"}, 1e-30F).ok());
  EXPECT_FALSE(load_llama_with({"blk.0.attn_q_norm.weight"}, 0).ok());
}

TEST_F(UnreadTensors, OfAFolderAreRefused) {
  const fs::path copy = copy_of("hf/qwen3");
  EXPECT_TRUE(load(copy).ok());
  replace_in_config(copy, R"("model_type": "qwen3")", R"("model_type": "llama")");
  const Result<void> loaded = load(copy);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, Code::kUnsupported);
  EXPECT_TRUE(loaded.error().param.starts_with("blk.0.attn_")) << loaded.error().message;
  EXPECT_TRUE(loaded.error().param.ends_with("_norm.weight")) << loaded.error().message;
}

TEST_F(UnreadTensors, OfLayersThatAFolderDoesNotTellOfAreRefused) {
  const fs::path copy = copy_of("hf/llama_tied");
  EXPECT_TRUE(load(copy).ok());
  replace_in_config(copy, R"("num_hidden_layers": 2)", R"("num_hidden_layers": 1)");
  const Result<void> loaded = load(copy);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, Code::kInvalidFile);
  EXPECT_TRUE(loaded.error().param.starts_with("model.layers.1.")) << loaded.error().message;
}

}  // namespace
}  // namespace pippin::models
