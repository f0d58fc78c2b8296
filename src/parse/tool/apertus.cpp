// Apertus: <|tools_prefix|>[{"f": {..}}, {"g": {..}}]<|tools_suffix|>: the name is the key.
#include "parse/json_text.h"
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

Head head(Cursor& in, const HeadContext& context) {
  Head found;
  if (!context.first) found.shape = context.shape;
  in.space();
  if (!found.shape.list && in.accept("[")) {
    found.shape.list = true;
    in.space();
  }
  in.expect("{");
  in.space();
  found.name = take_string(in);
  in.space();
  in.expect(":");
  found.shape.braces = 1;
  expect_json_arguments(in, found);
  return found;
}

}  // namespace

constexpr ToolDialect kApertus = {
    .name = "apertus",
    .openers = {"<|tools_prefix|>"},
    .closers = {"<|tools_suffix|>"},
    .signs = {.all = {"<|tools_prefix|>"}, .models = {"apertus"}},
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
