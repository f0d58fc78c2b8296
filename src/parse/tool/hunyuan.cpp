// Hunyuan 3: <tool_calls>, then <tool_call>f<tool_sep><arg_key>k</arg_key><arg_value>v</arg_value></tool_call> for each call.
#include "parse/tool/rows.h"

namespace pippin::parse {

namespace {

constexpr std::string_view kCallBegin = "<tool_call>";
constexpr Tags kLines = {.key_open = "<arg_key>",
                         .key_close = "</arg_key>\n<arg_value>",
                         .value_close = "</arg_value>\n"};

Head head(Cursor& in, const HeadContext& context) {
  in.space();
  if (context.opener == "<tool_calls>" || !context.first) {
    const char next = in.peek();
    if (next == '{' || next == '[') return json_head(in, context);
    in.expect(kCallBegin);
  }
  Head found;
  in.space();
  if (in.peek() == '{') return json_head(in, {context.dialect, kCallBegin, false, true, {}});
  found.name = in.word();
  in.space();
  in.expect("<tool_sep>");
  found.form = ArgumentForm::kTagged;
  found.tags = &kArgKeyTags;
  return found;
}

Next tail(Cursor& in, Shape& shape, const ToolDialect& dialect) {
  if (json_close(in, shape) == Next::kCall) return Next::kCall;
  in.space();
  if (in.ended()) return Next::kText;
  if (in.accept("</tool_calls>")) return Next::kText;
  in.expect("</tool_call>");
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended() || in.accept_any(dialect.closers) >= 0) return Next::kText;
  const size_t next = in.at();
  const bool again = in.accept(kCallBegin);
  if (in.reading()) in.rewind(again ? next : end);
  return again ? Next::kCall : Next::kText;
}

}  // namespace

constexpr ToolDialect kHunyuan = {
    .name = "hunyuan",
    .openers = {"<tool_calls>", kCallBegin},
    .closers = {"</tool_calls>"},
    .signs = {.any = {"<tool_sep>", "<tool_sep{}>"}, .models = {"hunyuan"}},
    .envelope = {.section_begin = "<tool_calls>\n",
                 .prefix = "<tool_call>",
                 .infix = "<tool_sep>\n",
                 .suffix = "</tool_call>\n",
                 .section_end = "</tool_calls>",
                 .form = ArgumentForm::kTagged,
                 .tags = &kLines},
    .head = head,
    .tail = tail,
};

}  // namespace pippin::parse
