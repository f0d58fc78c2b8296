// Folders as GGUF files: the keys and tensors that llama.cpp's own converter writes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <set>

#include "models/families/gguf_form.h"
#include "store/gguf_folder_writer.h"
#include "store/hf_family.h"
#include "store/model_config.h"

namespace pippin::store {
namespace {

namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(PIPPIN_SOURCE_DIR) / "tests/models/fixtures";

/// A folder, and the GGUF file of the same model as another program writes it.
struct Pair {
  std::string name;
  fs::path folder, gguf;
};

std::vector<Pair> all_pairs() {
  std::vector<Pair> pairs;
  const auto add = [&](const std::string& name, const fs::path& folder, const fs::path& gguf) {
    const auto opened = HfFolder::open(folder.string());
    if (opened.ok() && opened->family().to_gguf && fs::exists(gguf))
      pairs.push_back({name, folder, gguf});
  };
  for (const auto& entry : fs::directory_iterator(kFixtures / "families"))
    add(entry.path().filename().string(), entry.path(), entry.path() / "model.gguf");
  for (const auto& entry : fs::directory_iterator(kFixtures / "hf")) {
    const std::string name = entry.path().filename().string();
    add("hf_" + name, entry.path(), kFixtures / (name + ".gguf"));
  }
  return pairs;
}

std::vector<float> values_of(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  dequantize(tensor, values);
  return values;
}

/// The values that F16 makes of these.
std::vector<float> halved(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * 2);
  encode({TensorType::kF16}, values, {bytes});
  std::vector<float> rounded(values.size());
  dequantize(TensorType::kF16, bytes, rounded);
  return rounded;
}

class GgufOfFolder : public testing::TestWithParam<Pair> {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    const auto source = HfFolder::open(GetParam().folder.string());
    ASSERT_TRUE(source.ok()) << source.error().message;
    const auto form = models::gguf_form(*source);
    ASSERT_TRUE(form.ok()) << form.error().message;
    const auto plan = plan_gguf_of_folder(*source, *form, {}, gguf_formats()[0]);
    ASSERT_TRUE(plan.ok()) << plan.error().message;
    ConversionOptions options;
    options.out = (folder_ / "out.gguf").string();
    options.threads = 2;
    const auto report = write_conversion(*plan, options);
    ASSERT_TRUE(report.ok()) << report.error().message;
    made_ = std::make_unique<Result<GgufFile>>(GgufFile::open(options.out));
    theirs_ = std::make_unique<Result<GgufFile>>(GgufFile::open(GetParam().gguf.string()));
    ASSERT_TRUE(made_->ok()) << made_->error().message;
    ASSERT_TRUE(theirs_->ok());
  }
  void TearDown() override { fs::remove_all(folder_); }

  const GgufFile& made() const { return **made_; }
  const GgufFile& theirs() const { return **theirs_; }

  const fs::path folder_ = fs::temp_directory_path() /
                           ("pippin_gguf_of_" + GetParam().name + "_" + std::to_string(getpid()));
  std::unique_ptr<Result<GgufFile>> made_, theirs_;
};

TEST_P(GgufOfFolder, HasTheTensorsOfAnotherConverter) {
  std::set<std::string> names, wanted;
  for (const TensorView& tensor : made().tensors()) names.insert(tensor.name);
  for (const TensorView& tensor : theirs().tensors()) wanted.insert(tensor.name);
  ASSERT_EQ(names, wanted);
  for (const TensorView& tensor : theirs().tensors()) {
    const TensorView& own = *made().tensor(tensor.name);
    EXPECT_EQ(own.shape, tensor.shape) << tensor.name;
    const std::vector<float> values = values_of(tensor), got = values_of(own);
    if (tensor.name == "rope_freqs.weight") {  // computed by each
      for (size_t i = 0; i < values.size(); ++i) EXPECT_FLOAT_EQ(got[i], values[i]);
      continue;
    }
    EXPECT_EQ(got, own.type == TensorType::kF16 ? halved(values) : values) << tensor.name;
  }
}

// Keys of theirs that change nothing where they have these values.
bool is_idle(const GgufFile& file, std::string_view name) {
  const std::string architecture(*file.string("general.architecture"));
  const std::string key = architecture + "." + std::string(name);
  if (name == "rope.scaling.type") return *file.string(key) == "none";
  if (name == "attention.sliding_window") return *file.integer(key) == 0;
  return name == "rope.scaling.original_context_length" &&
         file.find(architecture + ".rope.scaling.type") == nullptr &&
         file.tensor("rope_factors_long.weight") == nullptr;
}

TEST_P(GgufOfFolder, HasTheKeysOfAnotherConverter) {
  const std::string prefix = std::string(*theirs().string("general.architecture")) + ".";
  EXPECT_EQ(std::string(*made().string("general.architecture")) + ".", prefix);
  for (const auto& [key, value] : theirs().metadata()) {
    if (!key.starts_with(prefix)) continue;
    const std::string name(key.substr(prefix.size()));
    const GgufValue* own = made().find(key);
    if (own == nullptr) {
      EXPECT_TRUE(is_idle(theirs(), name)) << key;
    } else if (std::holds_alternative<double>(value)) {
      EXPECT_FLOAT_EQ(static_cast<float>(*made().number(key)),
                      static_cast<float>(std::get<double>(value)))
          << key;
    } else if (name != "attention.sliding_window_pattern") {  // a list, or every n-th: see below
      EXPECT_TRUE(*own == value) << key;
    }
  }
}

// Says which layers have a window, as the family's reader has it.
std::vector<bool> windows(const ModelConfig& config, int usual_period) {
  if (config.sliding_window == 0) return {};
  if (!config.windowed_layers.empty()) return config.windowed_layers;
  const int period = config.window_period > 0 ? config.window_period : usual_period;
  std::vector<bool> windowed;
  for (int i = 0; i < config.layers; ++i) windowed.push_back(period > 0 && (i + 1) % period != 0);
  return windowed;
}

TEST_P(GgufOfFolder, MeansTheSame) {
  const auto own = read_model_config(made()), other = read_model_config(theirs());
  ASSERT_TRUE(own.ok()) << own.error().message;
  ASSERT_TRUE(other.ok());
  const HfFolder source = *HfFolder::open(GetParam().folder.string());
  EXPECT_EQ(own->sliding_window, other->sliding_window);
  EXPECT_EQ(windows(*own, 0), windows(*other, source.family().window_period));
  EXPECT_EQ(own->heads, other->heads);
  EXPECT_EQ(own->kv_heads, other->kv_heads);
  EXPECT_EQ(own->feed_forward, other->feed_forward);
  EXPECT_EQ(own->head_dim_k, other->head_dim_k);
  EXPECT_EQ(own->head_dim_v, other->head_dim_v);
  EXPECT_EQ(own->vocab_size, other->vocab_size);
  EXPECT_EQ(own->norm, other->norm);
  EXPECT_EQ(own->rope.dims, other->rope.dims);
  EXPECT_EQ(own->rope.scaling, other->rope.scaling);
  EXPECT_FLOAT_EQ(static_cast<float>(own->rope.factor), static_cast<float>(other->rope.factor));
  EXPECT_FLOAT_EQ(static_cast<float>(own->rope.attention_factor),
                  static_cast<float>(other->rope.attention_factor));
  EXPECT_EQ(own->attention_scale, other->attention_scale);
  EXPECT_EQ(own->experts.shared_feed_forward, other->experts.shared_feed_forward);
  EXPECT_EQ(own->tied_output, other->tied_output);
}

INSTANTIATE_TEST_SUITE_P(Families, GgufOfFolder, testing::ValuesIn(all_pairs()),
                         [](const auto& pair) { return pair.param.name; });

TEST(GgufOfFolders, AreProvenForMostFamilies) { EXPECT_GE(all_pairs().size(), 28U); }

TEST(GgufOfFolders, OtherFamiliesAreRefusedByName) {
  const auto folder = HfFolder::open((kFixtures / "families/jamba").string());
  ASSERT_TRUE(folder.ok());
  const auto form = models::gguf_form(*folder);
  ASSERT_FALSE(form.ok());
  EXPECT_EQ(form.error().code, Code::kUnsupported);
  EXPECT_NE(form.error().message.find("jamba"), std::string::npos);
}

}  // namespace
}  // namespace pippin::store
