// Folders of safetensors, opened as checkpoints: names, the tokenizer's files, and what is wrong
// with a folder.
#include "store/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace pippin::store {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(PIPPIN_SOURCE_DIR) / "tests/models/fixtures";

/// A copy of a folder that goes with the test.
class Folder {
 public:
  explicit Folder(const std::string& fixture)
      : path_(fs::temp_directory_path() / ("pippin_checkpoint_" + std::to_string(getpid()))) {
    fs::remove_all(path_);
    fs::copy(kFixtures / fixture, path_);
  }
  ~Folder() { fs::remove_all(path_); }

  const fs::path& path() const { return path_; }
  std::string read(const std::string& name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  /// Changes a piece of a file.
  void edit(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read(name);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(name, text.replace(at, from.size(), to));
  }
  Result<Checkpoint> open() const { return Checkpoint::open(path_.string()); }

 private:
  fs::path path_;
};

void expect_error(const Result<Checkpoint>& opened, Code code, const std::string& says) {
  ASSERT_FALSE(opened.ok()) << says;
  EXPECT_EQ(opened.error().code, code) << opened.error().message;
  EXPECT_NE(opened.error().message.find(says), std::string::npos) << opened.error().message;
}

TEST(Checkpoint, AFolderAndAFileInItAreTheSame) {
  const Folder folder("hf/llama_untied");
  const auto whole = folder.open();
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  const auto file = Checkpoint::open((folder.path() / "model.safetensors").string());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->path(), whole->path());
  EXPECT_EQ(whole->gguf(), nullptr);
  const TensorView* head = whole->tensor("output.weight");
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->shape, (std::vector<int64_t>{160, 64}));
  EXPECT_NE(whole->tensor("blk.1.ffn_down.weight"), nullptr);
  EXPECT_EQ(whole->tensor("model.norm.weight"), nullptr);
  EXPECT_FALSE(whole->config()->tied_output);
  EXPECT_EQ(whole->file_bytes(), fs::file_size(folder.path() / "model.safetensors"));
}

TEST(Checkpoint, TheSameModelHasTheSameConfigInBothFormats) {
  for (const char* name : {"llama_tied", "qwen2", "qwen3", "gemma3_keys"}) {
    const auto gguf = Checkpoint::open((kFixtures / (std::string(name) + ".gguf")).string());
    const auto folder = Checkpoint::open((kFixtures / "hf" / name).string());
    ASSERT_TRUE(gguf.ok() && folder.ok()) << name;
    const ModelConfig a = *gguf->config(), b = *folder->config();
    EXPECT_EQ(a.architecture, b.architecture);
    EXPECT_EQ(a.vocab_size, b.vocab_size);
    EXPECT_EQ(a.heads, b.heads);
    EXPECT_EQ(a.kv_heads, b.kv_heads);
    EXPECT_EQ(a.head_dim_k, b.head_dim_k) << name;
    EXPECT_EQ(a.feed_forward, b.feed_forward);
    EXPECT_EQ(a.norm_eps, b.norm_eps);
    EXPECT_EQ(a.rope.freq_base, b.rope.freq_base);
    EXPECT_EQ(a.sliding_window, b.sliding_window);
    EXPECT_EQ(gguf->tensors().size(), folder->tensors().size()) << name;
    for (const TensorView& tensor : gguf->tensors()) {
      const TensorView* other = folder->tensor(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      EXPECT_EQ(other->shape, tensor.shape) << tensor.name;
    }
  }
}

TEST(Checkpoint, WhatIsMissingOrForeignIsNamed) {
  const Folder folder("hf/qwen3");
  const std::string shard = "model-00003-of-00005.safetensors";
  const std::string whole = folder.read(shard);
  fs::remove(folder.path() / shard);
  expect_error(folder.open(), Code::kNotFound, shard);
  folder.write(shard, whole.substr(0, whole.size() - 1));
  expect_error(folder.open(), Code::kInvalidFile, "complete");
  folder.write(shard, whole);
  ASSERT_TRUE(folder.open().ok());

  folder.edit("model.safetensors.index.json", "\"model.norm.weight\"", "\"model.form.weight\"");
  expect_error(folder.open(), Code::kInvalidFile, "'model.form.weight'");
  folder.edit("model.safetensors.index.json", "model-00001", "../odel-0001");
  expect_error(folder.open(), Code::kInvalidFile, "file of this folder");
  fs::remove(folder.path() / "model.safetensors.index.json");
  expect_error(folder.open(), Code::kNotFound, "model.safetensors.index.json");
  fs::remove(folder.path() / "config.json");
  expect_error(folder.open(), Code::kNotFound, "config.json");
}

TEST(Checkpoint, TensorsOfOtherModelsAreRefused) {
  const Folder folder("hf/llama_untied");
  folder.edit("model.safetensors", "model.layers.1.mlp.up_proj", "model.layers.1.moe.up_proj");
  expect_error(folder.open(), Code::kInvalidFile, "'model.layers.1.moe.up_proj.weight'");
  folder.edit("model.safetensors", "model.layers.1.moe.up_proj", "model.layers.1.mlp.up_proj");
  folder.edit("model.safetensors", "\"lm_head.weight\"", "\"lm_head.w3ight\"");
  expect_error(folder.open(), Code::kInvalidFile, "'lm_head.w3ight'");
}

TEST(Checkpoint, AQuantisedWeightIsOneTensorOfThree) {
  const Folder folder("mlx/llama_untied");
  const auto opened = folder.open();
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const TensorView* head = opened->tensor("output.weight");
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(head->type, TensorType::kAffine8);
  EXPECT_EQ(head->shape, (std::vector<int64_t>{160, 64}));
  EXPECT_EQ(head->mlx.group, 64);
  EXPECT_EQ(head->mlx.scale_type, TensorType::kBF16);
  EXPECT_EQ(head->stored_bytes(), 160u * (64 + 2 * 2));
  EXPECT_EQ(opened->tensor("blk.0.attn_q.weight")->type, TensorType::kAffine2);
  EXPECT_EQ(opened->tensor("blk.1.attn_output.weight")->type, TensorType::kF32);
  EXPECT_EQ(opened->tensor("output.scales"), nullptr);

  folder.edit("config.json", "\"bits\": 8", "\"bits\": 4");
  expect_error(folder.open(), Code::kInvalidFile, "do not make 4 bits in groups of 64");
  folder.edit("config.json", "\"bits\": 4\n  }", "\"bits\": 8\n  }");
  folder.edit("model.safetensors", "\"lm_head.scales\"", "\"lm_head.weighs\"");
  expect_error(folder.open(), Code::kInvalidFile, "'lm_head.weighs'");
}

TEST(Checkpoint, Mxfp4HasNoBiases) {
  const Folder folder("mlx/qwen3");
  const auto opened = folder.open();
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const TensorView* embedding = opened->tensor("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->type, TensorType::kMXFP4);
  EXPECT_FALSE(embedding->has_blocks());
  EXPECT_EQ(embedding->shape, (std::vector<int64_t>{160, 64}));
  EXPECT_EQ(embedding->stored_bytes(), 160u * 64 * 17 / 32);
  // A module that differs is affine unless it says otherwise.
  EXPECT_EQ(opened->tensor("blk.0.ffn_gate.weight")->type, TensorType::kAffine8);
  EXPECT_EQ(opened->tensor("blk.1.attn_output.weight")->type, TensorType::kF32);

  struct Edit {
    std::string from, to;
    Code code;
    std::string says;
  };
  const std::string config = folder.read("config.json");
  for (const Edit& edit : {
           Edit{R"("mode": "mxfp4")", R"("mode": "affine")", Code::kInvalidFile,
                ".biases is missing"},
           Edit{R"("bits": 8)", R"("bits": 4, "mode": "mxfp4")", Code::kInvalidFile,
                "expected 32 with mxfp4, but found 64"},
           Edit{R"("bits": 4)", R"("bits": 8)", Code::kInvalidFile,
                "expected 4 with mxfp4, but found 8"},
           Edit{"\"group_size\": 64,\n   \"bits\": 8",
                R"("group_size": 32, "bits": 4, "mode": "mxfp4")", Code::kInvalidFile,
                "weights in mxfp4 have no biases"},
           Edit{R"("mode": "mxfp4")", R"("mode": "nvfp4")", Code::kInvalidFile,
                "expected 16 with nvfp4, but found 32"},
           Edit{R"("mode": "mxfp4")", R"("mode": "fp3")", Code::kUnsupported, "'fp3'"},
       }) {
    folder.edit("config.json", edit.from, edit.to);
    expect_error(folder.open(), edit.code, edit.says);
    folder.write("config.json", config);
  }
  folder.edit("model.safetensors", "\"U8\"", "\"I8\"");
  expect_error(folder.open(), Code::kInvalidFile, "expected mxfp4's scales in U8, but found I8");
}

TEST(Checkpoint, TheTokenizersFilesAreRead) {
  const Folder folder("hf/llama_tied");
  folder.write("config.json", folder.read("config.json"));
  const Checkpoint checkpoint = std::move(folder.open()).value();
  const auto files = checkpoint.folder()->tokenizer();
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->bos, "<s>");
  EXPECT_EQ(files->eos, "</s>");
  EXPECT_EQ(files->end_ids, (std::vector<int64_t>{1}));
  EXPECT_FALSE(files->add_bos);
  EXPECT_EQ(checkpoint.generation_config()->top_k, 40);
  EXPECT_EQ(checkpoint.generation_config()->temperature, 0.5);
  EXPECT_TRUE(checkpoint.chat_template()->starts_with("{% for m in messages %}"));

  folder.write("tokenizer_config.json", R"({"chat_template": [
    {"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]})");
  EXPECT_EQ(*checkpoint.chat_template(), "{% if tools %}B{% else %}A{% endif %}");
  folder.write("chat_template.jinja", "C");
  EXPECT_EQ(*checkpoint.chat_template(), "C");
  folder.write("generation_config.json",
               R"({"eos_token_id": [7, 8], "do_sample": false, "top_k": 5})");
  EXPECT_EQ(checkpoint.folder()->tokenizer()->end_ids, (std::vector<int64_t>{7, 8, 1}));
  EXPECT_FALSE(checkpoint.generation_config()->top_k);
  folder.write("README.md", "---\nlibrary_name: mlx\nlicense: mit\n---\nlicense: other\n");
  EXPECT_EQ(checkpoint.license(), "mit");
  fs::remove(folder.path() / "tokenizer.json");
  EXPECT_EQ(checkpoint.folder()->tokenizer().error().code, Code::kNotFound);
}

}  // namespace
}  // namespace pippin::store
