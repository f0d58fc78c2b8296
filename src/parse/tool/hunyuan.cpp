// Hunyuan 3: GLM's tags and <tool_sep> behind the name, all with a suffix that tells the release:
// <tool_calls:opensource><tool_call:opensource>f<tool_sep:opensource>..
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr std::string_view kCallBegin = "<tool_call:opensource>";
constexpr Tags kLines = {.key_open = "<arg_key:opensource>",
                         .key_close = "</arg_key:opensource>\n<arg_value:opensource>",
                         .value_close = "</arg_value:opensource>\n"};

constexpr Tags kRead = {.key_open = "<arg_key:opensource>",
                        .key_close = "</arg_key:opensource>",
                        .value_close = "</arg_value:opensource>",
                        .value_open = "<arg_value:opensource>",
                        .ends = {"</tool_call:opensource>"}};

Head head(Cursor& in, const HeadContext& context) {
  in.space();
  if (context.start_marker == "<tool_calls:opensource>" || !context.first) {
    const char next = in.peek();
    if (next == '{' || next == '[') return json_head(in, context);
    in.expect(kCallBegin);
  }
  Head found;
  in.space();
  if (in.peek() == '{') return json_head(in, {context.dialect, kCallBegin, false, true, {}});
  found.name = in.word();
  in.space();
  in.expect("<tool_sep:opensource>");
  found.form = ArgumentForm::kTagged;
  found.tags = &kRead;
  return found;
}

Next tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect) {
  if (json_close(in, nesting) == Next::kCall) return Next::kCall;
  in.space();
  if (in.ended()) return Next::kText;
  if (in.accept("</tool_calls:opensource>")) return Next::kText;
  in.expect("</tool_call:opensource>");
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended() || in.accept_any(dialect.end_markers) >= 0) return Next::kText;
  const size_t next = in.at();
  const bool again = in.accept(kCallBegin);
  if (in.reading()) in.rewind(again ? next : end);
  return again ? Next::kCall : Next::kText;
}

}  // namespace

constexpr ToolDialect kHunyuan = {
    .name = "hunyuan",
    .start_markers = {"<tool_calls:opensource>", kCallBegin},
    .end_markers = {"</tool_calls:opensource>"},
    .detection = {.any = {"<tool_sep:opensource>", "'<tool_sep{}>'"}, .models = {"hunyuan"}},
    .envelope = {.section_begin = "<tool_calls:opensource>\n",
                 .prefix = "<tool_call:opensource>",
                 .infix = "<tool_sep:opensource>\n",
                 .suffix = "</tool_call:opensource>\n",
                 .section_end = "</tool_calls:opensource>",
                 .form = ArgumentForm::kTagged,
                 .tags = &kLines},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
