// DeepSeek. V3 and R1: <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f, a fenced
// JSON block, <｜tool▁call▁end｜> <｜tool▁calls▁end｜>; V3.1:
// <｜tool▁call▁begin｜>f<｜tool▁sep｜>{..}. The small distilled models write the marks with a plain
// bar or underscores, too. V3.2 is in invoke.cpp.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr Texts kCallBegins = {"<｜tool▁call▁begin｜>", "<｜tool_call_begin｜>",
                               "<|tool▁call▁begin|>", "<|tool_call_begin|>"};
constexpr Texts kCallEnds = {"<｜tool▁call▁end｜>", "<｜tool_call_end｜>", "<|tool▁call▁end|>",
                             "<|tool_call_end|>"};
constexpr Texts kSeparators = {"<｜tool▁sep｜>", "<｜tool_sep｜>", "<|tool▁sep|>", "<|tool_sep|>"};
constexpr Texts kStartMarkers = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>",
                                 "<｜tool_calls_begin｜>", "<｜tool_call_begin｜>",
                                 "<|tool▁calls▁begin|>",   "<|tool_calls_begin|>",
                                 "<|tool▁call▁begin|>",    "<|tool_call_begin|>"};
constexpr Texts kEndMarkers = {"<｜tool▁calls▁end｜>", "<｜tool_calls_end｜>", "<|tool▁calls▁end|>",
                               "<|tool_calls_end|>"};

// Those that are neither above nor in the envelopes.
constexpr Texts kSpecials = {"<|tool▁call▁end|>", "<|tool_call_end|>", "<｜tool_call_end｜>",
                             "<|tool▁sep|>",      "<|tool_sep|>",      "<｜tool_sep｜>"};

Head head(Cursor& in, const HeadContext&) {
  Head found;
  in.space();
  in.accept_any(kCallBegins);
  in.space();
  found.name = in.word();
  in.space();
  if (in.accept_any(kSeparators) >= 0 && found.name == "function") {
    in.space();
    found.name = in.word();
  }
  in.space();
  found.nesting.fence = in.accept("```json") || in.accept("```");
  expect_json_arguments(in, found);
  return found;
}

Next tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect) {
  in.space();
  if (nesting.fence && in.accept("```")) in.space();
  if (in.ended()) return Next::kText;
  if (in.accept_any(kCallEnds) < 0 && in.accept_any(dialect.end_markers) < 0) in.fail();
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended() || in.accept_any(dialect.end_markers) >= 0) return Next::kText;
  const size_t next = in.at();
  const bool again = in.accept_any(kCallBegins) >= 0;
  if (in.reading()) in.rewind(again ? next : end);
  return again ? Next::kCall : Next::kText;
}

}  // namespace

constexpr ToolDialect kDeepseekV3 = {
    .name = "deepseek_v3",
    .aliases = {"deepseek", "deepseek_r1"},
    .start_markers = kStartMarkers,
    .end_markers = kEndMarkers,
    .specials = kSpecials,
    .detection = {.all = {"tool▁calls▁begin", "```json"}, .models = {"deepseek"}},
    .envelope = {.section_begin = "<｜tool▁calls▁begin｜>",
                 .prefix = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
                 .infix = "\n```json\n",
                 .suffix = "\n```<｜tool▁call▁end｜>",
                 .separator = "\n",
                 .section_end = "<｜tool▁calls▁end｜>"},
    .head = head,
    .tail = tail,
};

constexpr ToolDialect kDeepseekV31 = {
    .name = "deepseek_v31",
    .aliases = {"deepseek_v3.1"},
    .start_markers = kStartMarkers,
    .end_markers = kEndMarkers,
    .specials = kSpecials,
    .detection = {.all = {"tool▁calls▁begin"}, .models = {"deepseek-v3.1", "deepseek_v3.1"}},
    .envelope = {.section_begin = "<｜tool▁calls▁begin｜>",
                 .prefix = "<｜tool▁call▁begin｜>",
                 .infix = "<｜tool▁sep｜>",
                 .suffix = "<｜tool▁call▁end｜>",
                 .section_end = "<｜tool▁calls▁end｜>"},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
