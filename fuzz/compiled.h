// compile_and_walk: what a request does with a grammar, on the stack of the program's threads.
#pragma once

#include <cstdint>
#include <string_view>

#include "text/grammar.h"
#include "text/grammar_walk.h"
#include "text/small_vocabulary.h"

namespace pippin::fuzz {

/// Compiles a grammar and, where that goes well, writes a text under it.
inline void compile_and_walk(text::GrammarSyntax syntax, std::string_view source) {
  static const auto vocabulary = std::make_shared<text::GrammarVocabulary>(
      text::small_tokenizer({"<tool>"}), std::vector<text::Token>{256});
  const auto grammar = text::Grammar::compile(vocabulary, syntax, source);
  if (!grammar.ok()) return;
  const auto matcher = (*grammar)->start();
  static_cast<void>(text::walk(*vocabulary, *matcher, {.tokens_max = 40, .soft_max = 20}));
}

}  // namespace pippin::fuzz
