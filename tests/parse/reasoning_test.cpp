// Thinking in every dialect: the same answers, between each one's own marks, whole and at every
// split point. What only one dialect does is in the case files.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parse/registry.h"
#include "parse/replay.h"

namespace pippin::parse {
namespace {

/// "[" stands for the opening mark and "]" for what ends thinking, "{" and "}" for the two without
/// their last byte; `inside`: the template has opened the thinking.
struct Answer {
  const char* name;
  std::string text;
  std::string reasoning, content;
  bool inside = false;
};

std::vector<Answer> answers() {
  const std::string longest(3000, 'x');
  return {
      {"none", "Hello.", "", "Hello."},
      {"empty", "", "", ""},
      {"thinking and content", "[a]b", "a", "b"},
      {"lines", "[\na\n\nb\n]\n\nc\n\nd", "a\n\nb", "c\n\nd"},
      {"blanks before", " \n\n[a]b", "a", "b"},
      {"empty thinking", "[]b", "", "b"},
      {"blank thinking", "[ \n\n ]b", "", "b"},
      {"no content", "[a]", "a", ""},
      {"blank content", "[a]\n\n", "a", ""},
      {"opened by the template", "a]b", "a", "b", true},
      {"opened and closed at once", "]b", "", "b", true},
      {"opened and cut off", "a b", "a b", "", true},
      {"opened and nothing", "", "", "", true},
      {"opened, cut off in the end mark", "a }", "a }", "", true},
      {"cut off", "[a", "a", ""},
      {"cut off behind the opening mark", "[", "", ""},
      {"cut off in the opening mark", "{", "", "{"},
      {"twice", "[a][b]c", "ab", "c"},
      {"an end mark alone", "]b", "", "b"},
      {"two end marks", "[a]]b", "a", "b"},
      {"the opening mark begins at the end", "b {", "", "b {"},
      {"unicode", "[思考🙂é]答え🙂é", "思考🙂é", "答え🙂é"},
      {"markup", "[<b>x</b> <y/> <|z|> </]<i>c</i> <|w", "<b>x</b> <y/> <|z|> </", "<i>c</i> <|w"},
      {"JSON", "[(\"k\": (\"n\": 1))](\"a\": \"b\\\\n\")", "(\"k\": (\"n\": 1))",
       "(\"a\": \"b\\\\n\")"},
      {"code in the thinking", "[```cpp\nint x = a < b;\n```]ok", "```cpp\nint x = a < b;\n```",
       "ok"},
      {"code in the content", "[a]```py\nprint('x')\n```", "a", "```py\nprint('x')\n```"},
      {"a list", "[1. x\n2. y]- a\n- b\n  - c", "1. x\n2. y", "- a\n- b\n  - c"},
      {"quotes and backslashes", "[\"a\" 'b' \\n](c) \\\"d\\\"", "\"a\" 'b' \\n", "(c) \\\"d\\\""},
      {"line ends of two bytes", "[a\r\nb]c\r\nd", "a\r\nb", "c\r\nd"},
      {"tabs", "[\ta\tb]c\td", "a\tb", "c\td"},
      {"long", "[" + longest + "]" + longest, longest, longest},
      {"many blanks within", "[a    b\n\n\n\nc]d\n\n\ne    f", "a    b\n\n\n\nc", "d\n\n\ne    f"},
  };
}

class EveryReasoning : public testing::TestWithParam<const ReasoningDialect*> {
 protected:
  EveryReasoning() {
    for (const Mark& mark : GetParam()->marks) {
      const std::string whole = std::string(mark.text) + std::string(mark.until);
      if (mark.turn == Mark::Turn::kOpen && open_.empty()) open_ = whole;
      if (mark.turn == Mark::Turn::kClose && close_.empty()) close_ = whole;
    }
  }

  std::string written(const std::string& text) const {
    std::string out;
    for (const char c : text) {
      if (c == '[')
        out += open_;
      else if (c == ']')
        out += end_of_thinking(*GetParam());
      else if (c == '{')
        out += open_.substr(0, open_.size() - 1);
      else if (c == '}')
        out += close_.substr(0, close_.size() - 1);
      else
        out += c;
    }
    return out;
  }

  std::string open_, close_;
};

TEST_P(EveryReasoning, IsToldFromContentWhereverItIsCut) {
  EXPECT_GE(answers().size(), 30u);
  for (const Answer& it : answers()) {
    SCOPED_TRACE(it.name);
    const AnswerOptions options{.reasoning = GetParam(), .starts_inside = it.inside};
    const std::string text = written(it.text);
    const Replay whole = replay(options, {text});
    EXPECT_EQ(whole.fault, "");
    EXPECT_EQ(whole.reasoning, written(it.reasoning)) << text;
    EXPECT_EQ(whole.content, written(it.content)) << text;
    const std::vector<std::string_view> single = characters(text);
    EXPECT_TRUE(replay(options, single) == whole) << "character by character";
    const size_t step = single.size() > 1000 ? 97 : 1;
    for (size_t i = 1; i < single.size(); i += step) {
      const size_t at = static_cast<size_t>(single[i].data() - text.data());
      const std::string_view view = text;
      ASSERT_TRUE(replay(options, {view.substr(0, at), view.substr(at)}) == whole)
          << "cut at " << at << ": " << text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Reasoning, EveryReasoning,
                         testing::ValuesIn(reasoning_dialects().begin(),
                                           reasoning_dialects().end()),
                         [](const auto& row) {
                           std::string name(row.param->name);
                           for (char& c : name) c = c == '.' || c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace pippin::parse
