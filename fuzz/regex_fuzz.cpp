// Any text, read as a regular expression: an error, or a grammar that can be walked.
#include "compiled.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pippin::fuzz::compile_and_walk(pippin::text::GrammarSyntax::kRegex,
                                 {reinterpret_cast<const char*>(data), size});
  return 0;
}
