// What models write that were taught no dialect, or forgot theirs: a JSON call alone, in a list, or
// in a fenced block; a list of Python calls. Every other dialect falls back on its unmarked
// start markers.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

enum Inner { kJson, kKeywords };

constexpr Texts kLanguages = {"json\n", "\n", "tool_call\n", "tool_code\n", "python\n", "json5\n"};

// A call inside the lists and fences of `nesting`.
Head bare_head(Cursor& in, const HeadContext& context, const NestingState& nesting) {
  const HeadContext inner{context.dialect, context.start_marker, true, false, nesting};
  if (in.peek() == '{') return json_head(in, inner);
  Head head = keyword_head(in, inner);
  head.nesting.strict = true;
  head.nesting.inner = kKeywords;
  return head;
}

Head head(Cursor& in, const HeadContext& context) {
  if (!context.unmarked) return tag_head(in, context);
  if (context.first && context.start_marker == "{") return json_head(in, context);
  NestingState nesting = context.nesting;
  if (context.first) {
    nesting = {.list = context.start_marker == "[", .fence = context.start_marker == "```"};
    if (nesting.fence && in.accept_any(kLanguages) < 0) in.decline();
    in.space();
    if (nesting.fence && in.accept("[")) nesting.list = true;
  }
  in.space();
  return bare_head(in, context, nesting);
}

Next tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect) {
  if (!nesting.strict) return tag_tail(in, nesting, dialect);
  const Next next =
      nesting.inner == kKeywords ? keyword_close(in, nesting, {}) : json_close(in, nesting);
  if (next == Next::kCall || !nesting.fence || in.ended()) return next;
  in.space();
  if (in.accept("```") || in.ended()) return Next::kText;
  return Next::kCall;
}

}  // namespace

constexpr ToolDialect kGeneric = {
    .name = "generic",
    .aliases = {"auto"},
    .start_markers = {"<tool_call>", "<function=", "<tools>", "<function_call>", "<functioncall>"},
    .unmarked = {"{", "[", "```"},
    .end_markers = {"</tool_call>", "</tools>", "</function_call>", "</functioncall>"},
    .envelope = {.prefix = kJsonPrefix,
                 .infix = kJsonInfix,
                 .suffix = kJsonSuffix,
                 .separator = "\n"},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
