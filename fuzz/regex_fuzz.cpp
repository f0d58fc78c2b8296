// Any text, read as a regular expression: an error, or a grammar that can be walked.
#include "compiled.h"
#include "target.h"

void pippin::fuzz::one_input(std::string_view input) {
  compile_and_walk(text::GrammarSyntax::kRegex, input);
}
