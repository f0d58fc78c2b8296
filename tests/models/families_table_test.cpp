// docs/models.md tells which families this build knows; the table is made from their rows.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "models/families/family.h"

namespace pippin::test {
namespace {

const std::string kPath = std::string(PIPPIN_SOURCE_DIR) + "/docs/models.md";

// A table of the document, between `<!-- name -->` and `<!-- /name -->`.
struct Table {
  std::string_view name;
  std::string (*make)();
};

std::string families() {
  std::string text =
      "| models | GGUF's `general.architecture` | `model_type` of config.json |\n|---|---|---|\n";
  for (const models::Family* family : models::families()) {
    std::string types;
    for (const store::HfFamily& one : family->hf)
      types += fmt::format("{}`{}`", types.empty() ? "" : ", ", one.model_type);
    text += fmt::format("| {} | `{}` | {} |\n", family->models, family->architecture, types);
  }
  return text;
}

// What a template takes, and what an effort of OpenAI's API becomes.
struct SwitchText {
  std::string_view variable, effort;
};

SwitchText text_of(models::ThinkingSwitch kind) {
  constexpr std::string_view kLimit = "a limit of tokens";
  switch (kind) {
    case models::ThinkingSwitch::kNone:
      break;
    case models::ThinkingSwitch::kAlways:
      return {"none: those that think always do", kLimit};
    case models::ThinkingSwitch::kEnableThinking:
      return {"`enable_thinking`", kLimit};
    case models::ThinkingSwitch::kThinking:
      return {"`thinking`", kLimit};
    case models::ThinkingSwitch::kEffort:
      return {"`reasoning_effort`", "`low`, `medium`, `high`"};
    case models::ThinkingSwitch::kBudget:
      return {"`thinking_budget`, by `chat_template_kwargs`", kLimit};
  }
  return {};
}

std::string thinking() {
  std::string text = "| models | the template's switch | `reasoning_effort` |\n|---|---|---|\n";
  for (const models::Family* family : models::families()) {
    const auto [variable, effort] = text_of(family->thinking);
    if (!variable.empty())
      text += fmt::format("| {} | {} | {} |\n", family->models, variable, effort);
  }
  return text;
}

TEST(Families, EachHasItsOwnName) {
  std::set<std::string_view> architectures;
  for (const models::Family* family : models::families()) {
    EXPECT_TRUE(architectures.insert(family->architecture).second) << family->architecture;
    EXPECT_FALSE(family->models.empty()) << family->architecture;
  }
}

// A template that real models come with has the variable that the row names.
TEST(Families, TemplatesKnowTheirSwitches) {
  const char* folder = std::getenv("PIPPIN_TEST_TEMPLATES");
  if (folder == nullptr) GTEST_SKIP() << "PIPPIN_TEST_TEMPLATES is not set";
  const std::pair<std::string_view, const char*> templates[] = {
      {"qwen3", "Qwen-Qwen3-0.6B"},
      {"qwen35", "Qwen3.5-4B"},
      {"gemma4", "google-gemma-4-31B-it"},
      {"granite", "ibm-granite-granite-3.3-2B-Instruct"},
      {"smollm3", "HuggingFaceTB-SmolLM3-3B"},
      {"glm4moe", "GLM-4.6"},
      {"deepseek2", "deepseek-ai-DeepSeek-V3.1"},
      {"gpt-oss", "openai-gpt-oss-120b"},
      {"seed_oss", "ByteDance-Seed-OSS"},
      {"nemotron_h", "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"}};
  for (const auto& [architecture, name] : templates) {
    std::ifstream file(std::string(folder) + "/" + name + ".jinja");
    const std::string source{std::istreambuf_iterator<char>(file), {}};
    ASSERT_FALSE(source.empty()) << name;
    const auto family = std::ranges::find(models::families(), architecture,
                                          [](const auto* one) { return one->architecture; });
    ASSERT_NE(family, models::families().end()) << architecture;
    const std::string_view text = text_of((*family)->thinking).variable;
    ASSERT_TRUE(text.starts_with('`')) << architecture;
    const std::string_view variable = text.substr(1, text.find('`', 1) - 1);
    EXPECT_NE(source.find(variable), std::string::npos) << name << ": " << variable;
  }
}

// Gemma 2 and 3 of 27B are known by their layers.
TEST(Families, TheLargestGemmasScaleScoresByTheirWidth) {
  for (const auto& [architecture, layers] : {std::pair("gemma2", 46), {"gemma3", 62}}) {
    const auto family = std::ranges::find(models::families(), std::string_view(architecture),
                                          [](const auto* one) { return one->architecture; });
    ASSERT_NE(family, models::families().end());
    store::ModelConfig config;
    config.embedding_length = 4608;
    config.heads = {32};
    for (const bool is_largest : {false, true}) {
      config.layers = is_largest ? layers : 26;
      (*family)->complete(config);
      EXPECT_FLOAT_EQ(config.attention_scale, is_largest ? 1 / 12.0f : 0) << architecture;
    }
  }
}

// With PIPPIN_WRITE_DOCS=1 the document is brought up to date instead.
TEST(Families, TheDocumentListsThem) {
  std::ifstream file(kPath);
  std::string document{std::istreambuf_iterator<char>(file), {}};
  const std::string before = document;
  for (const auto& [name, make] : {Table{"families", families}, Table{"thinking", thinking}}) {
    const std::string open = fmt::format("<!-- {} -->\n", name);
    const size_t begin = document.find(open),
                 end = document.find(fmt::format("<!-- /{} -->", name));
    ASSERT_TRUE(begin != std::string::npos && end != std::string::npos && begin < end) << name;
    const size_t first = begin + open.size();
    document.replace(first, end - first, make());
  }
  if (std::getenv("PIPPIN_WRITE_DOCS") != nullptr) {
    std::ofstream(kPath) << document;
    return;
  }
  EXPECT_EQ(before, document) << "run pippin_test_models with PIPPIN_WRITE_DOCS=1";
}

}  // namespace
}  // namespace pippin::test
