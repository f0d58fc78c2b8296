// What models write between <tool_call> and </tool_call>. The families differ, and each
// sometimes writes as another does, so that one head reads them all.
#include "parse/call.h"
#include "parse/json_text.h"

namespace pippin::parse {
namespace {

enum Inner { kNone, kFunction };

constexpr size_t kNameBytesMax = 256;
constexpr Texts kFunctionEnds = {"</function>", "</tool_call>", "</seed:tool_call>"};

}  // namespace

constexpr Tags kParameterTags = {.key_open = "<parameter=",
                                 .key_close = ">",
                                 .value_close = "</parameter>",
                                 .ends = kFunctionEnds};
constexpr Tags kArgKeyTags = {.key_open = "<arg_key>",
                              .key_close = "</arg_key>",
                              .value_close = "</arg_value>",
                              .value_open = "<arg_value>",
                              .ends = {"</tool_call>"}};

Head tag_head(Cursor& in, const HeadContext& context) {
  const bool bare_function = context.first && context.start_marker == "<function=";
  in.space();
  const char next = bare_function ? '<' : in.peek();
  if (next == '{' || next == '[') return json_head(in, context);
  Head head;
  if (bare_function || in.accept("<function=")) {
    head.name = trim(in.until(">", kNameBytesMax));
    head.nesting.inner = kFunction;
    in.space();
    if (in.peek() == '{') return head;  // Llama writes JSON here
    head.form = ArgumentForm::kTagged;
    head.tags = &kParameterTags;
    return head;
  }
  head.name = in.word();
  in.space();
  head.form = ArgumentForm::kTagged;
  head.tags = &kArgKeyTags;
  const size_t begin = in.at();
  if (in.peek() == '{') {
    head.form = ArgumentForm::kJson;
  } else if (!in.accept("<arg_key>") && !in.accept("</tool_call>")) {
    in.fail();
  }
  if (in.reading()) in.rewind(begin);
  return head;
}

Next tag_tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect) {
  if (nesting.inner != kFunction) return json_tail(in, nesting, dialect);
  in.space();
  if (in.accept("</function>")) {
    const size_t end = in.at();
    if (in.ended()) return Next::kText;
    in.space();
    if (in.ended()) return Next::kText;
    if (in.accept("<function=")) {
      in.rewind(in.at() - std::string_view("<function=").size());
      return Next::kCall;
    }
    if (in.accept_any(dialect.end_markers) < 0 && in.reading()) in.rewind(end);
    return Next::kText;
  }
  if (!in.ended() && in.accept_any(dialect.end_markers) < 0) in.fail();
  return Next::kText;
}

}  // namespace pippin::parse
