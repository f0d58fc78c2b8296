// Any text, read as a Lark grammar, and as one whose texts stand in a JSON string: an error, or a
// grammar that can be walked.
#include "compiled.h"
#include "target.h"

void pippin::fuzz::one_input(std::string_view input) {
  using text::GrammarSyntax;
  compile_and_walk(GrammarSyntax::kLark, input);
  const auto quoted = text::lark_in_json(input);
  if (quoted.ok()) compile_and_walk(GrammarSyntax::kLark, *quoted);
}
