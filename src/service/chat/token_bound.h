// TokenBound: how many tokens a text has at least, and how long a text may be for so many, without
// tokenising it. Made when a model is loaded. Thread: any.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "text/tokenizer.h"

namespace pippin::service {

/// Two bounds, of which the larger counts. Where the tokenizer neither drops nor joins text, a
/// token stands for so many bytes at most, whatever they are. And of ASCII letters, digits and
/// punctuation one token holds no more than the vocabulary's richest: no normaliser drops or joins
/// these, but for one that joins a letter with the accent behind it.
class TokenBound {
 public:
  /// Knows nothing: says 0 of every text.
  TokenBound() = default;
  /// Cost: reads the whole vocabulary.
  explicit TokenBound(const text::Tokenizer& tokenizer);

  /// Returns a number of tokens that `text` does not fall below. Cost: one look at each byte.
  size_t at_least(std::string_view text) const;
  /// Returns how many bytes of text are read where fewer than `tokens_max` tokens are wanted: some
  /// times what so many of the longest tokens stand for. A tokenizer that drops text may have
  /// fewer tokens of even more bytes; such a text is not worth its reading.
  size_t bytes_max(size_t tokens_max) const;

 private:
  enum Kind : unsigned char { kLetter, kDigit, kPunctuation, kKinds, kForeign = kKinds, kOther };

  static Kind kind_of(unsigned char byte);
  static std::array<size_t, kOther + 1> count(std::string_view text);
  size_t of_kinds(std::string_view text) const;

  std::array<size_t, kKinds> most_in_token_{};  // 0: not known
  size_t bytes_per_token_max_ = 0;              // 0: any number
  size_t longest_bytes_ = 64;                   // of all tokens' texts
};

}  // namespace pippin::service
