// TokenBound: how many tokens a text has at least, without tokenising it. Made when a model is
// loaded. Thread: any.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "text/tokenizer.h"

namespace pippin::service {

/// Counts ASCII letters, digits and punctuation, of which one token holds no more than the
/// vocabulary's richest. No normaliser drops or joins these, but for one that joins a letter with
/// the accent behind it.
class TokenBound {
 public:
  /// Knows nothing: says 0 of every text.
  TokenBound() = default;
  /// Cost: reads the whole vocabulary.
  explicit TokenBound(const text::Tokenizer& tokenizer);

  /// Returns a number of tokens that `text` does not fall below. Cost: one look at each byte.
  size_t at_least(std::string_view text) const;

 private:
  enum Kind : unsigned char { kLetter, kDigit, kPunctuation, kKinds, kForeign = kKinds, kOther };

  static Kind kind_of(unsigned char byte);
  static std::array<size_t, kOther + 1> count(std::string_view text);

  std::array<size_t, kKinds> most_in_token_{};  // 0: not known
};

}  // namespace pippin::service
