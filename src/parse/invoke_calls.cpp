// Calls written as <invoke name="f"><parameter name="k">v</parameter></invoke>, under any
// namespace.
#include "parse/call.h"

namespace pippin::parse {
namespace {
constexpr size_t kNameBytesMax = 256;
}  // namespace

Head invoke_head(Cursor& in, const HeadContext& context) {
  const Envelope& envelope = context.dialect.envelope;
  Head head;
  head.form = ArgumentForm::kTagged;
  head.tags = envelope.tags;
  in.space();
  if (!context.first || context.start_marker != envelope.prefix) in.expect(envelope.prefix);
  head.name = in.until("\"", kNameBytesMax);
  in.until(">", kNameBytesMax);
  return head;
}

Next invoke_tail(Cursor& in, NestingState&, const ToolDialect& dialect) {
  in.space();
  if (in.ended()) return Next::kText;
  in.expect(dialect.envelope.tags->ends[0]);
  if (in.ended()) return Next::kText;
  const size_t end = in.at();
  in.space();
  if (in.ended()) return Next::kText;
  const size_t next = in.at();
  if (in.accept(dialect.envelope.prefix)) {
    in.rewind(next);
    return Next::kCall;
  }
  if (in.accept_any(dialect.end_markers) < 0 && in.reading()) in.rewind(end);
  return Next::kText;
}

}  // namespace pippin::parse
