// Phi-4-mini and Firefunction: functools and a list of JSON calls.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

Head head(Cursor& in, const HeadContext& context) {
  if (!context.first || context.opener != "functools[") return json_head(in, context);
  return json_head(in, {context.dialect, context.opener, false, false, {.list = true}});
}

}  // namespace

constexpr ToolDialect kPhi4 = {
    .name = "phi4",
    .aliases = {"functools", "firefunction", "phi4_mini"},
    .openers = {"functools[", "<|tool_call|>"},
    .closers = {"<|/tool_call|>"},
    .signs = {.any = {"functools", "<|/tool_call|>"},
              .models = {"phi-4-mini", "phi4-mini", "firefunction"}},
    .envelope = {.section_begin = "functools[",
                 .prefix = kJsonPrefix,
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix,
                 .separator = ", ",
                 .section_end = "]"},
    .head = head,
    .tail = json_tail,
};

}  // namespace pippin::parse
