// Calls written as in Python: f(a=1, b='x').
#include "parse/call.h"

namespace pippin::parse {

Head keyword_head(Cursor& in, const HeadContext& context) {
  Head head;
  head.form = ArgumentForm::kKeywords;
  if (!context.first) head.nesting = context.nesting;
  in.space();
  if (!head.nesting.list && !context.unmarked && in.accept("[")) {
    head.nesting.list = true;
    in.space();
  }
  head.name = in.word();
  in.expect("(");
  return head;
}

Next keyword_close(Cursor& in, NestingState& nesting, const Texts& end_markers) {
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended()) return Next::kText;
  if (nesting.list) {
    if (in.accept(",")) return Next::kCall;
    in.expect("]");
    nesting.list = false;
    if (end_markers.empty() || in.ended()) return Next::kText;
    in.space();
  }
  if (in.ended()) return Next::kText;
  if (end_markers.empty()) {
    if (in.reading()) in.rewind(end);
    return Next::kText;
  }
  if (in.accept_any(end_markers) >= 0 || !in.reading()) return Next::kText;
  in.accept(";");
  return Next::kCall;  // one more line of a block
}

Next keyword_tail(Cursor& in, NestingState& nesting, const ToolDialect& dialect) {
  return keyword_close(in, nesting, dialect.end_markers);
}

}  // namespace pippin::parse
