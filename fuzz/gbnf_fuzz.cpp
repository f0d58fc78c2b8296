// Any text, read as a GBNF grammar, and as one whose texts stand in a JSON string: an error, or a
// grammar that can be walked.
#include "compiled.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  pippin::fuzz::compile_and_walk(pippin::text::GrammarSyntax::kGbnf, source);
  const auto lark = pippin::text::gbnf_to_lark(source);
  if (lark.ok()) static_cast<void>(pippin::text::lark_in_json(*lark));
  return 0;
}
