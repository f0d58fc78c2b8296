// What holds for every dialect: its rows, the text of its history read back, and its detection.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "parse/case_file.h"
#include "parse/json_check.h"
#include "parse/registry.h"
#include "parse/replay.h"

namespace pippin::parse {
namespace {

const std::vector<PastCall> kCalls = {
    {"get_weather", R"({"city": "Zürich \"HB\"", "days": 3})"},
    {"search",
     R"({"query": "a < b\n& c", "limit": 2.5, "exact": true, "filters": {"k": [1, {"n": null}]}, "tags": ["x", "y"]})"},
    {"ping", "{}"},
    {"write_file", R"({"path": "C:\\tmp\\é.txt", "content": "line 1\n\tline 2\n\nend\n"})"},
};

TEST(Dialects, HistoryReadsBack) {
  for (const ToolDialect* dialect : tool_dialects()) {
    SCOPED_TRACE(std::string(dialect->name));
    for (size_t count = 1; count <= kCalls.size(); ++count) {
      const std::vector<PastCall> calls(kCalls.begin(), kCalls.begin() + static_cast<long>(count));
      const std::string text = render_calls(*dialect, calls);
      const AnswerOptions options{.tools = dialect, .offered = example_tools()};
      const Replay result = replay(options, characters(text));
      EXPECT_EQ(result.fault, "");
      EXPECT_EQ(result.notes, 0) << text;
      EXPECT_EQ(result.content, "") << text;
      ASSERT_EQ(result.calls.size(), count) << text << "\n" << describe(result);
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(result.calls[i].name, calls[i].name);
        EXPECT_EQ(result.calls[i].arguments, compact_json(calls[i].arguments_json)) << text;
        EXPECT_TRUE(result.calls[i].complete);
      }
      EXPECT_TRUE(replay(options, {text}) == result);
    }
  }
}

TEST(Dialects, PlainTextPassesUnchanged) {
  const std::string text =
      "A list:\n[1, 2]\n{\"a\": {\"name\": \"x\"}}\n```cpp\nint x = a<b>(c);\n```\n> quoted "
      "<b>html</b> [link](url) & done\n";
  for (const ToolDialect* dialect : tool_dialects()) {
    const AnswerOptions options{.tools = dialect, .offered = example_tools()};
    EXPECT_EQ(replay(options, characters(text)).content, text) << dialect->name;
    EXPECT_EQ(replay(options, {text}).notes, 0) << dialect->name;
  }
}

TEST(Dialects, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const ToolDialect* dialect : tool_dialects()) {
    EXPECT_TRUE(names.insert(dialect->name).second) << dialect->name;
    for (std::string_view alias : dialect->aliases)
      EXPECT_TRUE(names.insert(alias).second) << alias;
    EXPECT_EQ(find_tool_dialect(dialect->name), dialect);
    EXPECT_NE(dialect->head, nullptr);
    EXPECT_NE(dialect->tail, nullptr);
    EXPECT_EQ(dialect->envelope.address.empty(), dialect->envelope.next_address.empty());
    EXPECT_EQ(dialect->envelope.address.empty(),
              dialect->envelope.address.find("{name}") == std::string_view::npos);
    EXPECT_EQ(dialect->envelope.form == ArgumentForm::kTagged, dialect->envelope.tags != nullptr);
    EXPECT_TRUE(dialect->generation_prefix.empty() ||
                dialect->start_markers.contains(dialect->generation_prefix));
  }
  names.clear();
  for (const ReasoningDialect* dialect : reasoning_dialects()) {
    EXPECT_TRUE(names.insert(dialect->name).second) << dialect->name;
    for (std::string_view alias : dialect->aliases)
      EXPECT_TRUE(names.insert(alias).second) << alias;
  }
  EXPECT_EQ(find_tool_dialect("no such"), nullptr);
}

// A parser is given only the control tokens it looks for; a mark that it does not name would be
// lost.
TEST(Dialects, LooksForTheSpecialsOfItsCases) {
  const std::regex special(R"(<\|[a-z_:]+\|>|\[[A-Z_]+\])");
  for (const auto& entry : std::filesystem::directory_iterator(PIPPIN_SOURCE_DIR "/tests/parse")) {
    if (entry.path().extension() != ".cases") continue;
    for (const Case& it : read_cases(entry.path().string())) {
      if (it.expected_calls.empty() || !it.expected_content.empty()) continue;
      const ToolDialect* tools = find_tool_dialect(it.tools);
      for (auto at = std::sregex_iterator(it.text.begin(), it.text.end(), special);
           at != std::sregex_iterator(); ++at) {
        EXPECT_TRUE(looks_for(tools, find_reasoning_dialect(it.reasoning), at->str()))
            << it.tools << ": " << it.name << ": " << at->str();
      }
    }
  }
  EXPECT_FALSE(looks_for(find_tool_dialect("hermes"), nullptr, "<|im_start|>"));
  EXPECT_FALSE(looks_for(nullptr, nullptr, "<think>"));
  EXPECT_TRUE(looks_for(nullptr, find_reasoning_dialect("think"), "<think>"));
}

TEST(Dialects, EachHasThirtyCases) {
  std::map<std::string, int> counts;
  for (const auto& entry : std::filesystem::directory_iterator(PIPPIN_SOURCE_DIR "/tests/parse")) {
    if (entry.path().extension() != ".cases") continue;
    for (const Case& it : read_cases(entry.path().string()))
      ++counts[std::string(it.tools == "none" ? "none" : find_tool_dialect(it.tools)->name)];
  }
  for (const ToolDialect* dialect : tool_dialects()) {
    // Rows that write exactly as another one share its cases.
    const bool shared = std::ranges::any_of(tool_dialects(), [&](const ToolDialect* other) {
      return other != dialect && other->head == dialect->head && other->tail == dialect->tail &&
             other->envelope.prefix == dialect->envelope.prefix &&
             counts[std::string(other->name)] >= 30;
    });
    EXPECT_TRUE(shared || counts[std::string(dialect->name)] >= 30)
        << dialect->name << " has " << counts[std::string(dialect->name)];
  }
}

TEST(Dialects, AreTheDocumentedOnes) {
  std::ifstream file(PIPPIN_SOURCE_DIR "/docs/openai.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const ToolDialect* dialect : tool_dialects())
    EXPECT_NE(text.find("`" + std::string(dialect->name) + "`"), std::string::npos)
        << dialect->name;
  for (const ReasoningDialect* dialect : reasoning_dialects())
    EXPECT_NE(text.find("`" + std::string(dialect->name) + "`"), std::string::npos)
        << dialect->name;
}

TEST(Thinking, EndsEarlyByATextThatItsParserTakes) {
  for (const ReasoningDialect* dialect : reasoning_dialects()) {
    const std::string end = end_of_thinking(*dialect);
    const std::string answer = "why" + end + "so";
    const Replay result =
        replay({.reasoning = dialect, .starts_inside = true}, {std::string_view(answer)});
    EXPECT_EQ(result.reasoning, "why") << dialect->name;
    EXPECT_EQ(result.content, "so") << dialect->name;
  }
}

TEST(Detection, ByTemplate) {
  const std::vector<std::pair<std::string_view, std::string_view>> detection = {
      {"<tool_call>\\n{\"name\": <function-name>", "hermes"},
      {"<tool_call>\\n<function=f>\\n<parameter=p>", "qwen3_coder"},
      {"<seed:tool_call> <tool_call> <function=f> <parameter=p>", "seed_oss"},
      {"<tool_call>{name}\\n<arg_key>{k}</arg_key>\\n<arg_value>", "glm45"},
      {"<tool_call>{name}<arg_key>{k}</arg_key><arg_value>", "glm47"},
      {"[TOOL_CALLS][", "mistral"},
      {"[TOOL_CALLS]name[ARGS]", "mistral_args"},
      {"<｜tool▁calls▁begin｜>..```json", "deepseek_v3"},
      {"<｜tool▁calls▁begin｜>", "deepseek_v31"},
      {"<|start|><|channel|>analysis<|message|>", "harmony"},
      {"<|tool_call>call:", "gemma4"},
      {"]<]minimax[>[ <tool_call> <invoke name=", "minimax_m3"},
      {"<function name=\"f\"><param name=\"p\">", "minicpm5"},
      {"'<|open|>' + tag + '<|sep|>'", "kimi_k3"},
      {"plain", "generic"},
  };
  for (const auto& [text, name] : detection)
    EXPECT_EQ(detect_tool_dialect(text, "").name, name) << text;
}

TEST(Detection, ByNameTheLongestPartWins) {
  EXPECT_EQ(detect_tool_dialect("", "Qwen3-Coder-30B-A3B").name, "qwen3_coder");
  EXPECT_EQ(detect_tool_dialect("", "Qwen2.5-7B").name, "hermes");
  EXPECT_EQ(detect_tool_dialect("", "Mistral-7B").name, "mistral");
  EXPECT_EQ(detect_tool_dialect("", "SmolLM2-135M").name, "generic");
  EXPECT_EQ(detect_reasoning_dialect("", "SmolLM2-135M"), nullptr);
  EXPECT_EQ(detect_reasoning_dialect("", "QwQ-32B")->name, "think");
  EXPECT_EQ(detect_reasoning_dialect("", "Qwen3-8B")->name, "think");
  EXPECT_EQ(detect_reasoning_dialect("", "Qwen3-Coder-30B-A3B"), nullptr) << "it does not think";
  EXPECT_EQ(detect_reasoning_dialect("", "Qwen3-4B-Instruct-2507"), nullptr);
}

TEST(Detection, WhetherThePromptEndsInsideThinking) {
  const ReasoningDialect& think = *find_reasoning_dialect("think");
  EXPECT_TRUE(starts_inside(think, "<|im_start|>assistant\n<think>\n"));
  EXPECT_FALSE(starts_inside(think, "<|im_start|>assistant\n<think>\n\n</think>\n\n"));
  EXPECT_FALSE(starts_inside(think, "<|im_start|>assistant\n"));
  EXPECT_FALSE(starts_inside(think, ""));
  EXPECT_TRUE(starts_inside(*find_reasoning_dialect("harmony"), "<|channel|>analysis<|message|>"));
  EXPECT_EQ(generation_prefix(*find_tool_dialect("functionary"), "assistant\n\n>>>"), ">>>");
  EXPECT_EQ(generation_prefix(*find_tool_dialect("hermes"), "x"), "");
}

}  // namespace
}  // namespace pippin::parse
