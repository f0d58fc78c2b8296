// Calls written as in Python: f(a=1, b='x').
#include "parse/call.h"

namespace pippin::parse {

Head keyword_head(Cursor& in, const HeadContext& context) {
  Head head;
  head.form = ArgumentForm::kKeywords;
  if (!context.first) head.shape = context.shape;
  in.space();
  if (!head.shape.list && !context.unmarked && in.accept("[")) {
    head.shape.list = true;
    in.space();
  }
  head.name = in.word();
  in.expect("(");
  return head;
}

Next keyword_close(Cursor& in, Shape& shape, const Texts& closers) {
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended()) return Next::kText;
  if (shape.list) {
    if (in.accept(",")) return Next::kCall;
    in.expect("]");
    shape.list = false;
    if (closers.empty() || in.ended()) return Next::kText;
    in.space();
  }
  if (in.ended()) return Next::kText;
  if (closers.empty()) {
    if (in.reading()) in.rewind(end);
    return Next::kText;
  }
  if (in.accept_any(closers) >= 0 || !in.reading()) return Next::kText;
  in.accept(";");
  return Next::kCall;  // one more line of a block
}

Next keyword_tail(Cursor& in, Shape& shape, const ToolDialect& dialect) {
  return keyword_close(in, shape, dialect.closers);
}

}  // namespace pippin::parse
