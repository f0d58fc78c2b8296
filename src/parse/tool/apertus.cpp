// Apertus: <|tools_prefix|>[{"f": {..}}, {"g": {..}}]<|tools_suffix|>: the name is the key.
#include "parse/json_text.h"
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

Head head(Cursor& in, const HeadContext& context) {
  Head found;
  if (!context.first) found.nesting = context.nesting;
  in.space();
  if (!found.nesting.list && in.accept("[")) {
    found.nesting.list = true;
    in.space();
  }
  in.expect("{");
  in.space();
  found.name = take_string(in);
  in.space();
  in.expect(":");
  found.nesting.braces = 1;
  expect_json_arguments(in, found);
  return found;
}

}  // namespace

constexpr ToolDialect kApertus = {
    .name = "apertus",
    .start_markers = {"<|tools_prefix|>"},
    .end_markers = {"<|tools_suffix|>"},
    .detection = {.all = {"<|tools_prefix|>"}, .models = {"apertus"}},
    .envelope = {.section_begin = "<|tools_prefix|>[",
                 .prefix = "{\"",
                 .infix = "\": ",
                 .suffix = "}",
                 .separator = ", ",
                 .section_end = "]<|tools_suffix|>"},
    .head = head,
    .tail = json_tail,
};

}  // namespace pippin::parse
