// Any text, read as a GBNF grammar, and as one whose texts stand in a JSON string: an error, or a
// grammar that can be walked.
#include "compiled.h"
#include "target.h"

void pippin::fuzz::one_input(std::string_view input) {
  compile_and_walk(text::GrammarSyntax::kGbnf, input);
  const auto lark = text::gbnf_to_lark(input);
  if (lark.ok()) static_cast<void>(text::lark_in_json(*lark));
}
