// small_tokenizer: a byte-level BPE of the bytes, some words and control tokens: a whole model's
// vocabulary in a few hundred tokens, for tests that need no file.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/tokenizer.h"

namespace pippin::text {

/// GPT-2's letter for a byte.
inline std::string byte_letter(unsigned byte) {
  const bool printable =
      (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  unsigned code = byte;
  if (!printable) {
    code = 0x100;
    for (unsigned other = 0; other < byte; ++other)
      if (!((other >= 0x21 && other <= 0x7E) || (other >= 0xA1 && other <= 0xAC) || other >= 0xAE))
        ++code;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

/// The end token is "<|im_end|>", id 256; the `controls` follow it.
inline std::shared_ptr<const Tokenizer> small_tokenizer(const std::vector<std::string>& controls) {
  GgufVocabulary file;
  file.model = "gpt2";
  file.pre = "qwen2";
  for (unsigned byte = 0; byte < 256; ++byte) file.tokens.push_back(byte_letter(byte));
  file.token_types.assign(256, 1);
  file.eos = 256;
  file.tokens.emplace_back("<|im_end|>");
  file.token_types.push_back(3);
  for (const std::string& control : controls) {
    file.tokens.push_back(control);
    file.token_types.push_back(3);
  }
  const std::string_view words[] = {"true", "false",   "null", "name", "city",  "Paris",
                                    "\":",  "\",",     "\"}",  "},",   "]}",    "</",
                                    "call", "tool",    "the",  "er",   "in",    "arg",
                                    "20",   "celsius", "\\n",  "para", "meter", "get_"};
  for (const std::string_view word : words) {
    std::string left = byte_letter(static_cast<unsigned char>(word[0]));
    for (size_t i = 1; i < word.size(); ++i) {
      const std::string right = byte_letter(static_cast<unsigned char>(word[i]));
      const std::string merge = left + " " + right;
      left += right;
      bool known = false;
      for (const std::string& other : file.merges) known = known || other == merge;
      if (known) continue;
      file.merges.push_back(merge);
      file.tokens.push_back(left);
      file.token_types.push_back(1);
    }
  }
  auto tokenizer = Tokenizer::from_gguf(file);
  CHECK(tokenizer.ok(), "the small vocabulary loads");
  return *tokenizer;
}

}  // namespace pippin::text
