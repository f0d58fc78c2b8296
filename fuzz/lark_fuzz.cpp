// Any text, read as a Lark grammar, and as one whose texts stand in a JSON string: an error, or a
// grammar that can be walked.
#include "compiled.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using pippin::text::GrammarSyntax;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  pippin::fuzz::compile_and_walk(GrammarSyntax::kLark, source);
  const auto quoted = pippin::text::lark_in_json(source);
  if (quoted.ok()) pippin::fuzz::compile_and_walk(GrammarSyntax::kLark, *quoted);
  return 0;
}
