// What models write that were taught no dialect, or forgot theirs: a JSON call alone, in a list, or
// in a fenced block; a list of Python calls. Every other dialect falls back on its unmarked
// openers.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

enum Inner { kJson, kKeywords };

constexpr Texts kLanguages = {"json\n", "\n", "tool_call\n", "tool_code\n", "python\n", "json5\n"};

// A call behind the brackets and fences that `shape` tells.
Head bare_head(Cursor& in, const HeadContext& context, const Shape& shape) {
  const HeadContext inner{context.dialect, context.opener, true, false, shape};
  if (in.peek() == '{') return json_head(in, inner);
  Head head = keyword_head(in, inner);
  head.shape.strict = true;
  head.shape.inner = kKeywords;
  return head;
}

Head head(Cursor& in, const HeadContext& context) {
  if (!context.unmarked) return tag_head(in, context);
  if (context.first && context.opener == "{") return json_head(in, context);
  Shape shape = context.shape;
  if (context.first) {
    shape = {.list = context.opener == "[", .fence = context.opener == "```"};
    if (shape.fence && in.accept_any(kLanguages) < 0) in.decline();
    in.space();
    if (shape.fence && in.accept("[")) shape.list = true;
  }
  in.space();
  return bare_head(in, context, shape);
}

Next tail(Cursor& in, Shape& shape, const ToolDialect& dialect) {
  if (!shape.strict) return tag_tail(in, shape, dialect);
  const Next next = shape.inner == kKeywords ? keyword_close(in, shape, {}) : json_close(in, shape);
  if (next == Next::kCall || !shape.fence || in.ended()) return next;
  in.space();
  if (in.accept("```") || in.ended()) return Next::kText;
  return Next::kCall;
}

}  // namespace

constexpr ToolDialect kGeneric = {
    .name = "generic",
    .aliases = {"auto"},
    .openers = {"<tool_call>", "<function=", "<tools>", "<function_call>", "<functioncall>"},
    .unmarked = {"{", "[", "```"},
    .closers = {"</tool_call>", "</tools>", "</function_call>", "</functioncall>"},
    .envelope = {.prefix = kJsonPrefix,
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix,
                 .separator = "\n"},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
