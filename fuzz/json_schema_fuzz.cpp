// Any text, read as a JSON Schema: an error, or a grammar that can be walked. What is taken as it
// is is taken as a wish, too.
#include <cstdlib>

#include "compiled.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  pippin::fuzz::compile_and_walk(pippin::text::GrammarSyntax::kJsonSchema, source);
  const bool strict = pippin::text::check_schema(source, false, "schema").ok();
  const bool lenient = pippin::text::check_schema(source, true, "schema").ok();
  if (strict && !lenient) std::abort();
  return 0;
}
