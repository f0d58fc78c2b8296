// Runs every case file: whole, at every split point, and character by character.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "parse/case_file.h"
#include "parse/registry.h"

namespace pippin::parse {
namespace {

AnswerOptions options_of(const Case& it) {
  AnswerOptions options;
  options.tools = find_tool_dialect(it.tools);
  options.reasoning = find_reasoning_dialect(it.reasoning);
  options.offered = example_tools();
  options.starts_inside = it.inside;
  if (it.generation_prefix && options.tools)
    options.generation_prefix = options.tools->generation_prefix;
  return options;
}

void expect_same(const Case& it, const Replay& whole) {
  EXPECT_EQ(whole.fault, "");
  EXPECT_EQ(whole.reasoning, it.expected_reasoning);
  EXPECT_EQ(whole.content, it.expected_content);
  EXPECT_EQ(whole.notes > 0, it.note) << "notes";
  ASSERT_EQ(whole.calls.size(), it.expected_calls.size()) << describe(whole);
  for (size_t i = 0; i < whole.calls.size(); ++i) {
    EXPECT_EQ(whole.calls[i].name, it.expected_calls[i].name);
    EXPECT_EQ(whole.calls[i].arguments, it.expected_calls[i].arguments);
    EXPECT_EQ(whole.calls[i].complete, it.expected_calls[i].complete);
  }
}

void expect_split(const AnswerOptions& options, std::string_view text, const Replay& whole) {
  const std::vector<std::string_view> single = characters(text);
  const Replay each = replay(options, single);
  EXPECT_EQ(describe(each), describe(whole)) << "character by character";
  for (size_t i = 1; i < single.size(); ++i) {
    const size_t at = static_cast<size_t>(single[i].data() - text.data());
    const Replay cut = replay(options, {text.substr(0, at), text.substr(at)});
    EXPECT_TRUE(cut == whole) << "cut at " << at << ":\n"
                              << describe(cut) << "\nwhole:\n"
                              << describe(whole);
    if (!(cut == whole)) return;
  }
}

TEST(Cases, AllFiles) {
  int files = 0, count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PIPPIN_SOURCE_DIR "/tests/parse")) {
    if (entry.path().extension() != ".cases") continue;
    ++files;
    for (const Case& it : read_cases(entry.path().string())) {
      SCOPED_TRACE(entry.path().filename().string() + ":" + std::to_string(it.line) + ": " +
                   it.name);
      ++count;
      ASSERT_EQ(it.fault, "");
      ASSERT_TRUE(it.tools == "none" || find_tool_dialect(it.tools)) << it.tools;
      ASSERT_TRUE(it.reasoning == "none" || find_reasoning_dialect(it.reasoning)) << it.reasoning;
      const AnswerOptions options = options_of(it);
      const Replay whole = replay(options, {it.text});
      expect_same(it, whole);
      expect_split(options, it.text, whole);
    }
  }
  EXPECT_GE(files, 20);
  EXPECT_GE(count, 400);
}

}  // namespace
}  // namespace pippin::parse
