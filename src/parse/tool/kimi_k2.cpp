// Kimi K2:
// <|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{..}<|tool_call_end|>
// <|tool_calls_section_end|>. The number counts the calls.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr size_t kIdBytesMax = 256;
constexpr std::string_view kCallBegin = "<|tool_call_begin|>";
constexpr Texts kSectionEnds = {"<|tool_calls_section_end|>", "<|tool_call_section_end|>"};

Head head(Cursor& in, const HeadContext& context) {
  Head found;
  in.space();
  if (!context.first || context.start_marker != kCallBegin) in.expect(kCallBegin);
  std::string_view id = trim(in.until("<|tool_call_argument_begin|>", kIdBytesMax));
  const size_t colon = id.rfind(':');
  const bool numbered = colon != std::string_view::npos && colon + 1 < id.size() &&
                        id.find_first_not_of("0123456789", colon + 1) == std::string_view::npos;
  if (numbered) id = id.substr(0, colon);
  constexpr std::string_view kNamespace = "functions.";
  if (id.starts_with(kNamespace)) id.remove_prefix(kNamespace.size());
  found.name = id;
  expect_json_arguments(in, found);
  return found;
}

Next tail(Cursor& in, NestingState&, const ToolDialect&) {
  in.space();
  if (in.ended()) return Next::kText;
  if (!in.accept("<|tool_call_end|>") && in.accept_any(kSectionEnds) >= 0) return Next::kText;
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended() || in.accept_any(kSectionEnds) >= 0) return Next::kText;
  const size_t next = in.at();
  const bool again = in.accept(kCallBegin);
  if (in.reading()) in.rewind(again ? next : end);
  return again ? Next::kCall : Next::kText;
}

}  // namespace

constexpr ToolDialect kKimiK2 = {
    .name = "kimi_k2",
    .aliases = {"kimi", "moonshot"},
    .start_markers = {"<|tool_calls_section_begin|>", "<|tool_call_section_begin|>", kCallBegin},
    .detection = {.all = {"<|tool_call_argument_begin|>"},
                  .models = {"kimi-k2", "kimi_k2", "moonshot"}},
    .envelope = {.section_begin = "<|tool_calls_section_begin|>",
                 .prefix = "<|tool_call_begin|>functions.",
                 .infix = ":{index}<|tool_call_argument_begin|>",
                 .suffix = "<|tool_call_end|>",
                 .section_end = "<|tool_calls_section_end|>"},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
