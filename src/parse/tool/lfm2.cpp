// LFM2: <|tool_call_start|>, a list of Python calls, <|tool_call_end|>.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

Head head(Cursor& in, const HeadContext& context) {
  in.space();
  // Asked for JSON, it writes JSON between the same marks.
  if (json_comes(in)) return json_head(in, context);
  Head found = keyword_head(in, context);
  found.nesting.inner = 1;
  return found;
}

Next tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect) {
  return nesting.inner == 1 ? keyword_tail(in, nesting, dialect) : json_tail(in, nesting, dialect);
}

}  // namespace

constexpr ToolDialect kLfm2 = {
    .name = "lfm2",
    .aliases = {"liquidai", "liquid", "lfm"},
    .start_markers = {"<|tool_call_start|>"},
    .end_markers = {"<|tool_call_end|>"},
    .detection = {.any = {"<|tool_call_start|>", "<|tool_list_start|>"}, .models = {"lfm2"}},
    .envelope = {.section_begin = "<|tool_call_start|>[",
                 .infix = "(",
                 .suffix = ")",
                 .separator = ", ",
                 .section_end = "]<|tool_call_end|>",
                 .form = ArgumentForm::kKeywords},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
