// When text is released, what is bounded, and how arguments stream: what joined outputs do not
// show.
#include "parse/answer_parser.h"

#include <gtest/gtest.h>

#include "parse/registry.h"
#include "parse/replay.h"

namespace pippin::parse {
namespace {

AnswerParser parser_of(const char* tools, const char* reasoning = "") {
  return AnswerParser({.tools = find_tool_dialect(tools),
                       .reasoning = find_reasoning_dialect(reasoning),
                       .offered = example_tools()});
}

std::string push(AnswerParser& parser, std::string_view piece) {
  Events events;
  parser.push(piece, events);
  std::string out;
  for (const Event& event : events) {
    if (const auto* text = std::get_if<ContentText>(&event)) out += "C(" + text->text + ")";
    if (const auto* text = std::get_if<ReasoningText>(&event)) out += "R(" + text->text + ")";
    if (const auto* call = std::get_if<ToolCallBegin>(&event)) out += "B(" + call->name + ")";
    if (const auto* call = std::get_if<ToolCallArguments>(&event)) out += "A(" + call->json + ")";
    if (std::holds_alternative<ToolCallEnd>(event)) out += "E";
  }
  return out;
}

TEST(AnswerParser, ReleasesTextThatCannotBeAMarker) {
  AnswerParser parser = parser_of("hermes", "think");
  EXPECT_EQ(push(parser, "Hello"), "C(Hello)");
  EXPECT_EQ(push(parser, " a <"), "C( a)");
  EXPECT_EQ(push(parser, "b"), "C( <b)");
  EXPECT_EQ(push(parser, "<tool_cal"), "");
  EXPECT_EQ(push(parser, "m"), "C(<tool_calm)");
}

TEST(AnswerParser, StreamsArgumentsAsTheyCome) {
  AnswerParser parser = parser_of("hermes");
  EXPECT_EQ(push(parser, "<tool_call>\n{\"name\": \"write_file\", \"arguments\": {"),
            "B(write_file)A({)");
  EXPECT_EQ(push(parser, "\"path\": \"a"), "A(\"path\": \"a)");
  EXPECT_EQ(push(parser, "bc"), "A(bc)");
  EXPECT_EQ(push(parser, "\"}"), "A(\"})");
  EXPECT_EQ(push(parser, "}\n</tool_call>"), "E");
}

TEST(AnswerParser, StreamsTaggedStringsAndHoldsWhatMayBeTyped) {
  AnswerParser parser = parser_of("qwen3_coder");
  EXPECT_EQ(push(parser, "<tool_call><function=search><parameter=query>"),
            "B(search)A({\"query\": )");
  EXPECT_EQ(push(parser, "12"), "A(\"12)");
  EXPECT_EQ(push(parser, "3</para"), "A(3)");
  EXPECT_EQ(push(parser, "meter><parameter=limit>4"), "A(\", \"limit\": )");
  EXPECT_EQ(push(parser, "2</parameter></function>"), "A(42})");
  EXPECT_EQ(push(parser, "</tool_call>"), "E");
}

TEST(AnswerParser, WithoutDialectsEverythingIsContentAtOnce) {
  AnswerParser parser = parser_of("no such");
  EXPECT_EQ(push(parser, "<tool_call>{ \n"), "C(<tool_call>{ \n)");
}

TEST(AnswerParser, AHeadWithoutEndIsTextInTheEnd) {
  const std::string text = "<tool_call>{\"arguments\": {\"a\": \"" + std::string(40'000, 'x');
  const AnswerOptions options{.tools = find_tool_dialect("hermes")};
  const Replay whole = replay(options, {text});
  EXPECT_EQ(whole.content, text);
  EXPECT_EQ(whole.notes, 1);
  std::vector<std::string_view> pieces;
  for (size_t at = 0; at < text.size(); at += 61) {
    pieces.push_back(std::string_view(text).substr(at, 61));
  }
  EXPECT_TRUE(replay(options, pieces) == whole);
  // In pieces it must come out long before the end.
  AnswerParser parser(options);
  size_t released = 0;
  for (size_t at = 0; at < text.size(); at += 1000)
    released += push(parser, text.substr(at, 1000)).size();
  EXPECT_GT(released, text.size() / 2);
}

TEST(AnswerParser, DeepNestingEndsTheCall) {
  const std::string text =
      "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": " + std::string(1000, '[');
  const Replay result = replay({.tools = find_tool_dialect("hermes")}, {text});
  ASSERT_EQ(result.calls.size(), 1u);
  EXPECT_FALSE(result.calls[0].complete);
  EXPECT_EQ(result.fault, "");
}

TEST(AnswerParser, LongWhitespaceIsReleased) {
  AnswerParser parser = parser_of("hermes", "think");
  std::string out;
  for (int i = 0; i < 1000; ++i) out += push(parser, std::string(100, ' '));
  EXPECT_GT(out.size(), 90'000u);
}

TEST(AnswerParser, ManyStartMarkersTakeLinearTime) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "<tool_call>{\"<think>[";
  const AnswerOptions options{.tools = find_tool_dialect("generic"),
                              .reasoning = find_reasoning_dialect("think")};
  EXPECT_EQ(replay(options, {text}).content, text);
}

TEST(AnswerParser, LimitsDoNotDependOnTheCuts) {
  const std::string space(700, ' '), digits(2000, '7');
  const std::vector<std::string> texts = {
      "<tool_call>{\"name\": \"f\"," + space + "\"arguments\": {\"a\": 1," + space + "\"b\": 2}" +
          std::string(9000, ' ') + "}</tool_call>" + space,
      "<think>" + space + "a" + space + "</think>" + space + "b" + space + "c",
      "<function=f><parameter=a>x</parameter>" + space + "</function>",
      "<function=f><parameter=a>" + digits + "</parameter></function>",
      "<function=" + digits + "></function>",
      "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": " + digits + "}}</tool_call>",
  };
  const AnswerOptions options{.tools = find_tool_dialect("hermes"),
                              .reasoning = find_reasoning_dialect("think")};
  for (const std::string& text : texts) {
    const Replay whole = replay(options, {text});
    EXPECT_EQ(whole.fault, "");
    EXPECT_EQ(describe(replay(options, characters(text))), describe(whole)) << text.substr(0, 40);
  }
}

}  // namespace
}  // namespace pippin::parse
