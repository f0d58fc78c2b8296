// Every family's tiny checkpoint against the logits that transformers computes with it: by stock
// ops, and by the CPU kernels.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "tests/models/model_driver.h"
#include "tolerance.h"

namespace pippin::test {
namespace {

using nn::BackendKind;
using nn::BackendOptions;
using nn::KvType;

const BackendOptions kReference{.kind = BackendKind::kReference};
const BackendOptions kExact{.threads = 2, .exact_activations = true};
const BackendOptions kFast{.threads = 2};

const std::string kFolder = std::string(PIPPIN_SOURCE_DIR) + "/tests/models/fixtures/";

template <typename T>
std::vector<T> values_of(const store::SafetensorsEntry& entry) {
  std::vector<T> values(entry.bytes.size() / sizeof(T));
  std::memcpy(values.data(), entry.bytes.data(), entry.bytes.size());
  return values;
}

bool is_quantised(const std::string& name) {
  return name.starts_with("mlx/") || name.starts_with("quantised/");
}

/// Whether weights become Q8_0 here, which no longer has the values of the file.
bool is_rounded(const std::string& name) {
  constexpr const char* kRounded[] = {"mlx/llama_untied_mxfp8", "mlx/llama_untied_nvfp4",
                                      "quantised/fp8",          "quantised/fp8_blocks",
                                      "quantised/fp8_rows",     "quantised/gptq_order"};
  return std::ranges::find(kRounded, name) != std::end(kRounded);
}

/// A checkpoint, with what transformers computes with it for some tokens.
struct Fixture {
  store::Checkpoint file;
  std::vector<int32_t> tokens;
  std::vector<float> logits;  // [T, V]

  /// `name`: "qwen2.gguf"; "hf/qwen2", the same as a folder; "mlx/qwen2" and "quantised/awq", its
  /// quantised forms;
  /// "families/mistral", a folder, and "families/mistral/model.gguf", the same as llama.cpp's
  /// converter writes it.
  static Fixture open(const std::string& name) {
    if (is_quantised(name)) return open_folder(name, name);
    if (name.starts_with("families/"))
      return open_folder(name, name.substr(0, name.find('/', std::strlen("families/"))));
    Fixture fixture = open_gguf(name.starts_with("hf/") ? name.substr(3) + ".gguf" : name);
    auto file = store::Checkpoint::open(kFolder + name);
    CHECK(file.ok());
    fixture.file = std::move(file).value();
    return fixture;
  }

 private:
  static Fixture open_folder(const std::string& name, const std::string& folder) {
    auto file = store::Checkpoint::open(kFolder + name);
    if (!file.ok()) ADD_FAILURE() << file.error().message;
    CHECK(file.ok());
    const auto expected = store::SafetensorsFile::open(kFolder + folder + "/expected.safetensors");
    Fixture fixture{std::move(file).value(), {}, {}};
    fixture.file.serve_context(64);  // transformers looks at the prompt
    for (const store::SafetensorsEntry& entry : expected->entries()) {
      if (entry.name == "tokens") fixture.tokens = values_of<int32_t>(entry);
      if (entry.name == "logits") fixture.logits = values_of<float>(entry);
    }
    return fixture;
  }

  static Fixture open_gguf(const std::string& name) {
    auto file = store::GgufFile::open(kFolder + name);
    CHECK(file.ok());
    const std::vector<int64_t>& ids = **file->integers("fixture.tokens");
    const std::vector<double>& values = **file->numbers("fixture.logits");
    Fixture fixture{store::Checkpoint(std::move(file).value()),
                    {ids.begin(), ids.end()},
                    {values.begin(), values.end()}};
    return fixture;
  }
};

float largest_difference(const std::vector<float>& got, const std::vector<float>& want,
                         size_t want_from = 0) {
  float worst = got.empty() || want_from + got.size() > want.size() ? INFINITY : 0.0f;
  for (size_t i = 0; i < got.size() && std::isfinite(worst); ++i)
    worst = std::max(worst, std::abs(got[i] - want[want_from + i]));
  return worst;
}

class Fixtures : public testing::TestWithParam<std::string> {
 protected:
  Fixture fixture = Fixture::open(GetParam());

  ModelDriver driver(const BackendOptions& backend, KvType kv_type = KvType::kF16) {
    auto opened = ModelDriver::open(fixture.file, backend, 64, kv_type);
    if (!opened.ok()) ADD_FAILURE() << opened.error().message;
    return std::move(opened).value();
  }

  // The largest difference in rows of logits. A token's experts change where two scores are about
  // equal, so one token in five of a mixture may come out otherwise.
  float rounded_difference(const std::vector<float>& got) const {
    const size_t vocab = got.size() / fixture.tokens.size();
    std::vector<float> rows;
    for (size_t at = 0; at < got.size(); at += vocab) {
      const auto row = got.begin() + static_cast<ptrdiff_t>(at);
      rows.push_back(
          largest_difference({row, row + static_cast<ptrdiff_t>(vocab)}, fixture.logits, at));
    }
    std::sort(rows.begin(), rows.end());
    const bool experts = fixture.file.config()->experts.count > 0;
    return rows[experts ? rows.size() * 4 / 5 : rows.size() - 1];
  }

  // What may differ where all is in f32, here and in transformers: a layer's q k v, attention's
  // output, gate, up and down, and the logits.
  double tolerance() const {
    const double sum = kEpsilonF32 * longest_sum() / 3;
    return std::hypot(std::sqrt(2.0) * model_tolerance(sum, 5 * layers() + 1, rms()), weights());
  }
  // The same of weights in Q8_0, whose codes are rounded as those of activations are.
  double weights() const {
    return is_rounded(GetParam()) ? model_tolerance(int8, 5 * layers() + 1, rms()) : 0;
  }
  // Terms of the model's longest product.
  int longest_sum() const {
    const auto config = fixture.file.config();
    int longest = std::max(config->embedding_length, config->recurrent.inner);
    for (const int width : config->feed_forward) longest = std::max(longest, width);
    return longest;
  }
  // The same where keys and values are rounded by a share `deviation`. Values have it once. Scores
  // have it twice, and their spread is about 2 at most.
  double kv_tolerance(double deviation) const {
    return std::hypot(tolerance(), model_tolerance(deviation, 5 * layers(), rms()));
  }
  const double f16 = kEpsilonF16 / std::sqrt(3.0), int8 = half_step(kCrest) / std::sqrt(3.0);

  double layers() const { return fixture.file.config()->layers; }
  // Of what transformers computes.
  double rms() const {
    return norm_of(fixture.logits) / std::sqrt(static_cast<double>(fixture.logits.size()));
  }
};

TEST_P(Fixtures, ReferenceFollowsTransformers) {
  ModelDriver model = driver(kReference);
  EXPECT_LT(largest_difference(model.run(fixture.tokens, 0, 0), fixture.logits), tolerance());
}

// What MLX quantised keeps its values so, floats stay what they are.
TEST_P(Fixtures, ReferenceThatKeepsWeightsQuantisedFollowsTransformers) {
  ModelDriver model =
      driver({.kind = BackendKind::kReference, .weights = nn::WeightForm::kQuantised});
  EXPECT_LT(largest_difference(model.run(fixture.tokens, 0, 0), fixture.logits), tolerance());
}

TEST_P(Fixtures, ReferenceInChunksGivesTheSame) {
  ModelDriver model = driver(kReference);
  const std::vector<int32_t> head(fixture.tokens.begin(), fixture.tokens.begin() + 17),
      tail(fixture.tokens.begin() + 17, fixture.tokens.end());
  model.run(head, 0, static_cast<int>(head.size()) - 1);
  EXPECT_LT(largest_difference(model.run(tail, 17, 0), fixture.logits,
                               17 * static_cast<size_t>(model.vocab())),
            tolerance());
}

TEST_P(Fixtures, ExactKernelsFollowTransformers) {
  ModelDriver model = driver(kExact);
  EXPECT_LT(largest_difference(model.run(fixture.tokens, 0, 0), fixture.logits), kv_tolerance(f16));
}

TEST_P(Fixtures, Int8KvStaysClose) {
  ModelDriver model = driver(kExact, KvType::kInt8);
  const float difference = rounded_difference(model.run(fixture.tokens, 0, 0));
  EXPECT_LT(difference, kv_tolerance(int8));
  EXPECT_GT(difference, 0.0f);
}

TEST_P(Fixtures, FastKernelsStayClose) {
  ModelDriver model = driver(kFast);
  // Weights in f32 take activations in f32 here, too.
  const bool coded = is_quantised(GetParam()) ||
                     std::ranges::any_of(fixture.file.tensors(), [](const auto& tensor) {
                       return tensor_format(tensor.type).block_elements != 1;
                     });
  const double activations = coded ? model_tolerance(int8, 5 * layers() + 1, rms()) : 0;
  EXPECT_LT(rounded_difference(model.run(fixture.tokens, 0, 0)),
            std::hypot(kv_tolerance(f16), activations));
}

TEST_P(Fixtures, ChunksAndSingleTokensAreBitEqualOnTheCpu) {
  for (const KvType kv_type : {KvType::kF16, KvType::kInt8}) {
    ModelDriver whole = driver(kFast, kv_type), parts = driver({.threads = 1}, kv_type);
    const std::vector<float> all = whole.run(fixture.tokens, 0, 0);
    std::vector<float> joined;
    size_t at = 0;
    for (size_t n :
         {size_t{1}, size_t{15}, size_t{7}, size_t{1}, size_t{1}, fixture.tokens.size() - 25}) {
      const std::vector<int32_t> chunk(fixture.tokens.begin() + static_cast<ptrdiff_t>(at),
                                       fixture.tokens.begin() + static_cast<ptrdiff_t>(at + n));
      const std::vector<float> logits = parts.run(chunk, static_cast<int>(at), 0);
      joined.insert(joined.end(), logits.begin(), logits.end());
      at += n;
    }
    EXPECT_EQ(all, joined) << nn::kv_type_name(kv_type);
  }
}

// A factor that no code would apply.
TEST(Families, AFactorThatAFamilyDoesNotHaveIsRefused) {
  const Fixture llama = Fixture::open("llama_tied.gguf");
  store::ModelConfig config = llama.file.config().value();
  for (float* factor : {&config.embedding_scale, &config.residual_scale, &config.logit_scale}) {
    *factor = 1;
    EXPECT_TRUE(models::make_spec(config).ok()) << "it changes nothing";
    *factor = 0.5f;
    const auto spec = models::make_spec(config);
    ASSERT_FALSE(spec.ok());
    EXPECT_EQ(spec.error().code, Code::kUnsupported);
    EXPECT_TRUE(spec.error().param.starts_with("llama.")) << spec.error().param;
    *factor = 0;
  }
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder))
    if (entry.path().extension() == ".gguf") found.push_back(entry.path().filename().string());
  for (const std::string form : {"hf/", "mlx/", "quantised/"})
    for (const auto& entry : std::filesystem::directory_iterator(kFolder + form))
      found.push_back(form + entry.path().filename().string());
  for (const auto& entry : std::filesystem::directory_iterator(kFolder + "families")) {
    found.push_back("families/" + entry.path().filename().string());
    if (std::filesystem::exists(entry.path() / "model.gguf"))
      found.push_back(found.back() + "/model.gguf");
  }
  std::sort(found.begin(), found.end());
  return found;
}

INSTANTIATE_TEST_SUITE_P(All, Fixtures, testing::ValuesIn(names()), [](const auto& c) {
  std::string name = c.param;
  std::ranges::replace_if(
      name, [](char x) { return x == '/' || x == '.'; }, '_');
  return name;
});

}  // namespace
}  // namespace pippin::test
