// Models written anew: what is read back, what an interruption leaves, and paths that must not be
// written.
#include "store/conversion.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "gguf_builder.h"
#include "store/checkpoint.h"
#include "store/gguf_writer.h"
#include "store/safetensors_writer.h"

namespace pippin::store {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(PIPPIN_SOURCE_DIR) / "tests/models/fixtures";

/// A folder of its own that goes with the test.
class ConversionTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  static std::string text_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  static std::vector<float> random_values(size_t count) {
    static std::mt19937 random(3);
    std::normal_distribution<float> normal(0, 0.1F);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
  }

  /// A model's file: 8 layers, with matrices of whole blocks of 256, of 32, and of neither.
  std::string write_source(float spoiled = 0) const {
    GgufBuilder builder;
    builder.add("general.architecture", "llama").add("llama.block_count", uint32_t{8});
    builder.add("general.alignment", uint32_t{64}).add("general.file_type", uint32_t{0});
    builder.add("odd.small", int8_t{-3}).add("odd.half", 0.5F).add("odd.flag", true);
    builder.add_strings("tokenizer.ggml.tokens", {"a", "", "bc"});
    builder.add_array("odd.numbers", std::vector<int16_t>{-1, 2, 3});
    builder.alignment = 64;
    builder.tensor("token_embd.weight", {4, 256}, random_values(1024));
    builder.tensor("output.weight", {4, 256}, random_values(1024));
    builder.tensor("output_norm.weight", {256}, random_values(256));
    for (int i = 0; i < 8; ++i) {
      const std::string layer = "blk." + std::to_string(i) + ".";
      builder.tensor(layer + "attn_v.weight", {4, 256}, random_values(1024));
      builder.tensor(layer + "ffn_up.weight", {4, 256}, random_values(1024));
      builder.tensor(layer + "ffn_down.weight", {4, 96}, random_values(384));
      builder.tensor(layer + "ffn_gate_inp.weight", {4, 256}, random_values(1024));
    }
    std::vector<float> last = random_values(2 * 24);
    if (spoiled != 0) last[7] = spoiled;
    builder.tensor("blk.0.attn_k.weight", {2, 24}, last);
    EXPECT_TRUE(builder.write(path("source.gguf")));
    return path("source.gguf");
  }

  static Result<Conversion> plan(const GgufFile& file, std::string_view name) {
    for (const GgufFormat& format : gguf_formats())
      if (format.name == name) return plan_gguf(file, format);
    return fail(Code::kNotFound, "no such format");
  }

  ConversionOptions to(const std::string& out) const {
    ConversionOptions options;
    options.out = out;
    options.version = "test";
    options.threads = 2;
    return options;
  }

  const fs::path folder_ =
      fs::temp_directory_path() / ("pippin_conversion_" + std::to_string(getpid()));
};

void expect_near(const TensorView& got, const TensorView& wanted, double most) {
  ASSERT_EQ(got.shape, wanted.shape) << got.name;
  std::vector<float> a(static_cast<size_t>(got.elements())), b(a.size());
  dequantize(got, a);
  dequantize(wanted, b);
  double error = 0, all = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(double{a[i]} - b[i], 2);
    all += std::pow(double{b[i]}, 2);
  }
  EXPECT_LE(std::sqrt(error / all), most) << got.name;
}

TEST_F(ConversionTest, EachGgufFormatIsReadBack) {
  const auto source = GgufFile::open(write_source());
  ASSERT_TRUE(source.ok());
  for (const GgufFormat& format : gguf_formats()) {
    const auto planned = plan_gguf(*source, format);
    ASSERT_TRUE(planned.ok());
    const std::string out = path(std::string(format.name) + ".gguf");
    const auto report = write_conversion(*planned, to(out));
    ASSERT_TRUE(report.ok()) << report.error().message;
    const auto made = GgufFile::open(out);
    ASSERT_TRUE(made.ok()) << made.error().message;
    EXPECT_EQ(made->file_bytes(), planned->bytes());
    EXPECT_EQ(*made->integer("general.file_type"), format.file_type);
    EXPECT_EQ(*made->integer("general.quantization_version"), 2);
    EXPECT_EQ(made->find("general.alignment"), nullptr);
    EXPECT_EQ(*made->integer("odd.small"), -3);
    EXPECT_EQ(*made->boolean("odd.flag"), true);
    EXPECT_EQ((*made->strings("tokenizer.ggml.tokens"))->at(2), "bc");
    EXPECT_EQ(**made->integers("odd.numbers"), (std::vector<int64_t>{-1, 2, 3}));
    ASSERT_EQ(made->tensors().size(), source->tensors().size());
    for (const TensorView& tensor : made->tensors())
      expect_near(tensor, *source->tensor(tensor.name),
                  format.type == TensorType::kF16 ? 5e-4 : 0.12);
    EXPECT_TRUE(fs::exists(out + ".manifest.json"));
    EXPECT_FALSE(fs::exists(out + ".partial"));
    EXPECT_FALSE(fs::exists(out + ".partial.json"));
  }
}

TEST_F(ConversionTest, MixesTakeMoreBitsWhereItMatters) {
  const auto source = GgufFile::open(write_source());
  ASSERT_TRUE(source.ok());
  const auto planned = plan(*source, "q4_k_m");
  ASSERT_TRUE(planned.ok());
  const auto type = [&](std::string_view name) {
    for (const ConvertedTensor& tensor : planned->tensors)
      if (tensor.name == name) return tensor.to;
    return std::string("absent");
  };
  EXPECT_EQ(type("output.weight"), "Q6_K");
  EXPECT_EQ(type("token_embd.weight"), "Q4_K");
  EXPECT_EQ(type("output_norm.weight"), "F32");
  EXPECT_EQ(type("blk.2.ffn_gate_inp.weight"), "F32");
  EXPECT_EQ(type("blk.1.ffn_up.weight"), "Q4_K");
  // Of eight layers: the first, the last, and every third between.
  for (const int layer : {0, 3, 6, 7})
    EXPECT_EQ(type(fmt::format("blk.{}.attn_v.weight", layer)), "Q6_K");
  for (const int layer : {1, 2, 4, 5})
    EXPECT_EQ(type(fmt::format("blk.{}.attn_v.weight", layer)), "Q4_K");
  EXPECT_EQ(type("blk.0.ffn_down.weight"), "Q8_0");  // rows of 96
  EXPECT_EQ(type("blk.1.ffn_down.weight"), "Q5_0");
  EXPECT_EQ(type("blk.0.attn_k.weight"), "F16");  // rows of 24
}

TEST_F(ConversionTest, AnInterruptedRunGoesOnToTheSameBytes) {
  const auto source = GgufFile::open(write_source());
  ASSERT_TRUE(source.ok());
  const auto planned = plan(*source, "q4_0");
  ASSERT_TRUE(planned.ok());
  ASSERT_TRUE(write_conversion(*planned, to(path("whole.gguf"))).ok());

  ConversionOptions options = to(path("cut.gguf"));
  options.note_every_bytes = 1;
  options.progress = [](uint64_t done, uint64_t total, const std::string&) {
    return done < total / 2;
  };
  const auto cut = write_conversion(*planned, options);
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().code, Code::kCancelled);
  EXPECT_FALSE(fs::exists(path("cut.gguf")));
  options.progress = nullptr;
  const auto rest = write_conversion(*planned, options);
  ASSERT_TRUE(rest.ok()) << rest.error().message;
  EXPECT_GT(rest->resumed_tensors, 10U);
  EXPECT_EQ(text_of(path("cut.gguf")), text_of(path("whole.gguf")));
}

TEST_F(ConversionTest, AnotherSourceBeginsAnew) {
  ConversionOptions options = to(path("out.gguf"));
  options.note_every_bytes = 1;
  {
    const auto source = GgufFile::open(write_source());
    const auto planned = plan(*source, "q4_0");
    options.progress = [](uint64_t done, uint64_t, const std::string&) { return done < 4000; };
    ASSERT_FALSE(write_conversion(*planned, options).ok());
  }
  options.progress = nullptr;
  fs::last_write_time(path("source.gguf"),
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  const auto source = GgufFile::open(path("source.gguf"));
  const auto planned = plan(*source, "q4_0");
  const auto report = write_conversion(*planned, options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->resumed_tensors, 0U);
  EXPECT_NE(report->anew.find("has changed"), std::string::npos);
}

TEST_F(ConversionTest, WhatIsThereIsNotOverwritten) {
  const auto source = GgufFile::open(write_source());
  const auto planned = plan(*source, "q8_0");
  const std::string before = text_of(path("source.gguf"));
  fs::create_directories(path("folder"));
  std::ofstream(path("victim")) << "mine";
  fs::create_symlink(path("victim"), path("link.gguf.partial"));
  fs::create_symlink(path("nowhere"), path("dangling"));
  for (const std::string& out : {path("source.gguf"), path("folder"), path("folder/"),
                                 path("dangling"), std::string(), std::string("/")}) {
    const auto report = write_conversion(*planned, to(out));
    ASSERT_FALSE(report.ok()) << out;
    EXPECT_EQ(report.error().param, "--out") << out;
  }
  // Links in the place of the partial file are not followed.
  EXPECT_FALSE(write_conversion(*planned, to(path("link.gguf"))).ok());
  EXPECT_EQ(text_of(path("victim")), "mine");
  // A file where a folder would have to be.
  EXPECT_FALSE(write_conversion(*planned, to(path("victim/out.gguf"))).ok());
  EXPECT_EQ(text_of(path("source.gguf")), before);
}

TEST_F(ConversionTest, ValuesThatDoNotFitNameTheirTensor) {
  for (const float spoiled :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e6F}) {
    const auto source = GgufFile::open(write_source(spoiled));
    const auto planned = plan(*source, "q8_0");
    const auto report = write_conversion(*planned, to(path("out.gguf")));
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().param, "blk.0.attn_k.weight") << report.error().message;
    EXPECT_FALSE(fs::exists(path("out.gguf")));
  }
}

TEST_F(ConversionTest, EachMlxFormatIsReadBack) {
  const std::string from = (kFixtures / "hf/llama_untied").string();
  const auto source = Checkpoint::open(from);
  ASSERT_TRUE(source.ok());
  for (const MlxFormat& format : mlx_formats()) {
    const int bits = tensor_format(format.type).code_bits;
    const auto planned = plan_mlx_folder(from, format, 32);
    ASSERT_TRUE(planned.ok()) << planned.error().message;
    const std::string out = path(std::string(format.name));
    const auto report = write_conversion(*planned, to(out));
    ASSERT_TRUE(report.ok()) << report.error().message;
    const auto made = Checkpoint::open(out);
    ASSERT_TRUE(made.ok()) << made.error().message;
    ASSERT_EQ(made->tensors().size(), source->tensors().size());
    for (const TensorView& tensor : made->tensors())
      expect_near(tensor, *source->tensor(tensor.name), bits == 2 ? 0.5 : bits == 3 ? 0.25 : 0.15);
    EXPECT_EQ(made->tensor("blk.0.attn_q.weight")->type, format.type);
    EXPECT_EQ(made->tensor("output.weight")->type, format.high);
    EXPECT_EQ(made->tensor("output_norm.weight")->type, TensorType::kF32);
    EXPECT_TRUE(fs::exists(out + "/pippin-manifest.json"));
  }
}

TEST_F(ConversionTest, ShardsHaveAnIndexAndAreReadBack) {
  const std::string from = (kFixtures / "hf/llama_untied").string();
  const auto planned = plan_mlx_folder(from, mlx_formats()[2], 64, 20000);
  ASSERT_TRUE(planned.ok());
  ASSERT_GT(planned->files.size(), 2U);
  for (const ConvertedFile& file : planned->files) EXPECT_LE(file.bytes - file.head.size(), 20000U);
  ASSERT_TRUE(write_conversion(*planned, to(path("shards"))).ok());
  const auto made = Checkpoint::open(path("shards"));
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_TRUE(fs::exists(path("shards/model.safetensors.index.json")));
}

TEST_F(ConversionTest, CodesOfTheSameFormatAreCopied) {
  const std::string from = (kFixtures / "hf/llama_untied").string();
  const MlxFormat& four = mlx_formats()[2];
  ASSERT_TRUE(write_conversion(*plan_mlx_folder(from, four, 64), to(path("once"))).ok());
  const auto again = plan_mlx_folder(path("once"), four, 64);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_TRUE(again->notes.empty());
  ASSERT_TRUE(write_conversion(*again, to(path("twice"))).ok());
  EXPECT_EQ(text_of(path("once/model.safetensors")), text_of(path("twice/model.safetensors")));
  const auto less = plan_mlx_folder(path("once"), mlx_formats()[0], 64);
  ASSERT_TRUE(less.ok());
  EXPECT_FALSE(less->notes.empty());
  ASSERT_TRUE(write_conversion(*less, to(path("less"))).ok());
  EXPECT_TRUE(Checkpoint::open(path("less")).ok());
}

}  // namespace
}  // namespace pippin::store
