// Solar Open:
// <|tool_calls|><|tool_call:begin|>id<|tool_call:name|>f<|tool_call:args|>{..}<|tool_call:end|><|calls|>.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr size_t kIdBytesMax = 256;
constexpr std::string_view kCallBegin = "<|tool_call:begin|>";

Head head(Cursor& in, const HeadContext& context) {
  Head found;
  in.space();
  if (!context.first || context.start_marker != kCallBegin) in.expect(kCallBegin);
  in.until("<|tool_call:name|>", kIdBytesMax);
  found.name = in.until("<|tool_call:args|>", kIdBytesMax);
  expect_json_arguments(in, found);
  return found;
}

Next tail(Cursor& in, NestingState&, const ToolDialect&) {
  in.space();
  if (in.ended()) return Next::kText;
  in.expect("<|tool_call:end|>");
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended() || in.accept("<|calls|>")) return Next::kText;
  const size_t next = in.at();
  const bool again = in.accept(kCallBegin);
  if (in.reading()) in.rewind(again ? next : end);
  return again ? Next::kCall : Next::kText;
}

}  // namespace

constexpr ToolDialect kSolarOpen = {
    .name = "solar_open",
    .start_markers = {"<|tool_calls|>", "<|begin|>assistant<|tool_calls|>", kCallBegin},
    .detection = {.all = {"<|tool_call:args|>"}, .models = {"solar-open"}},
    .envelope = {.section_begin = "<|tool_calls|>",
                 .prefix = "<|tool_call:begin|>call_{index}<|tool_call:name|>",
                 .infix = "<|tool_call:args|>",
                 .suffix = "<|tool_call:end|>",
                 .section_end = "<|calls|>"},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
