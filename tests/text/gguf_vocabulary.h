// Copies the tokenizer of a GGUF file into a GgufVocabulary, for tests: text does not know store.
#pragma once

#include <string>
#include <vector>

#include "store/gguf.h"
#include "text/tokenizer.h"

namespace pippin::text {

inline GgufVocabulary gguf_vocabulary(const store::GgufFile& file) {
  const std::string prefix = "tokenizer.ggml.";
  GgufVocabulary vocabulary;
  const auto text = [&](const char* key, std::string& out) {
    if (auto value = file.string(prefix + key); value.ok()) out = std::string(*value);
  };
  const auto texts = [&](const char* key, std::vector<std::string>& out) {
    if (auto value = file.strings(prefix + key); value.ok())
      out.assign((*value)->begin(), (*value)->end());
  };
  const auto id = [&](const char* key, std::optional<Token>& out) {
    if (auto value = file.integer(prefix + key); value.ok()) out = static_cast<Token>(*value);
  };
  const auto flag = [&](const char* key, std::optional<bool>& out) {
    if (auto value = file.boolean(prefix + key); value.ok()) out = *value;
  };
  text("model", vocabulary.model);
  text("pre", vocabulary.pre);
  texts("tokens", vocabulary.tokens);
  texts("merges", vocabulary.merges);
  if (auto value = file.numbers(prefix + "scores"); value.ok()) {
    vocabulary.scores.assign((*value)->begin(), (*value)->end());
  }
  if (auto value = file.integers(prefix + "token_type"); value.ok()) {
    vocabulary.token_types.assign((*value)->begin(), (*value)->end());
  }
  if (auto value = file.integers(prefix + "precompiled_charsmap"); value.ok()) {
    for (int64_t byte : **value) vocabulary.precompiled_charsmap.push_back(static_cast<char>(byte));
  }
  id("bos_token_id", vocabulary.bos);
  id("eos_token_id", vocabulary.eos);
  id("unknown_token_id", vocabulary.unk);
  id("padding_token_id", vocabulary.pad);
  id("seperator_token_id", vocabulary.sep);  // the key's own spelling
  flag("add_bos_token", vocabulary.add_bos);
  flag("add_eos_token", vocabulary.add_eos);
  flag("add_space_prefix", vocabulary.add_space_prefix);
  flag("remove_extra_whitespaces", vocabulary.remove_extra_whitespaces);
  flag("normalizer.lowercase", vocabulary.lowercase);
  flag("normalizer.strip_accents", vocabulary.strip_accents);
  return vocabulary;
}

}  // namespace pippin::text
