// Any text, read as a JSON Schema: an error, or a grammar that can be walked. What is taken as it
// is is taken as a wish, too.
#include <cstdlib>

#include "compiled.h"
#include "target.h"

void pippin::fuzz::one_input(std::string_view input) {
  compile_and_walk(text::GrammarSyntax::kJsonSchema, input);
  const bool strict = text::check_schema(input, false, "schema").ok();
  const bool lenient = text::check_schema(input, true, "schema").ok();
  if (strict && !lenient) std::abort();
}
