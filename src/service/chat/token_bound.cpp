#include "service/chat/token_bound.h"

#include <algorithm>
#include <string>

namespace pippin::service {
namespace {

// Room for tokenizers that write text shorter than it came.
constexpr size_t kBytesTimes = 4;

}  // namespace

TokenBound::TokenBound(const text::Tokenizer& tokenizer)
    : bytes_per_token_max_(tokenizer.bytes_per_token_max()) {
  for (text::Token token = 0; token < tokenizer.vocab_size(); ++token)
    longest_bytes_ = std::max(longest_bytes_, tokenizer.token_bytes(token, true).size());
  // Where a character has no token of its own, a whole word may be one unknown token: then nothing
  // is known.
  for (char c = '!'; c <= '~'; ++c)
    if (!tokenizer.token_of(std::string_view(&c, 1))) return;
  for (text::Token token = 0; token < tokenizer.vocab_size(); ++token) {
    const auto counts = count(tokenizer.token_bytes(token, true));
    for (size_t kind = 0; kind < kKinds; ++kind)
      most_in_token_[kind] = std::max(most_in_token_[kind], counts[kind]);
  }
}

size_t TokenBound::at_least(std::string_view text) const {
  if (bytes_per_token_max_ == 0) return of_kinds(text);
  const size_t of_bytes = (text.size() + bytes_per_token_max_ - 1) / bytes_per_token_max_;
  return std::max(of_bytes, of_kinds(text));
}

size_t TokenBound::bytes_max(size_t tokens_max) const {
  const size_t each = kBytesTimes * longest_bytes_;
  return tokens_max > SIZE_MAX / each ? SIZE_MAX : tokens_max * each;
}

size_t TokenBound::of_kinds(std::string_view text) const {
  const auto counts = count(text);
  size_t least = 0;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    if (most_in_token_[kind] == 0) continue;
    // Each foreign byte may be part of an accent that joins one of these.
    const size_t sure = counts[kind] - std::min(counts[kind], counts[kForeign]);
    least = std::max(least, sure / most_in_token_[kind]);
  }
  return least;
}

TokenBound::Kind TokenBound::kind_of(unsigned char byte) {
  if (byte >= 0x80) return kForeign;
  if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z')) return kLetter;
  if (byte >= '0' && byte <= '9') return kDigit;
  return byte > ' ' && byte < 0x7f ? kPunctuation : kOther;
}

std::array<size_t, TokenBound::kOther + 1> TokenBound::count(std::string_view text) {
  static const auto kinds = [] {
    std::array<unsigned char, 256> all{};
    for (size_t byte = 0; byte < all.size(); ++byte)
      all[byte] = kind_of(static_cast<unsigned char>(byte));
    return all;
  }();
  std::array<size_t, kOther + 1> counts{};
  for (const char c : text) ++counts[kinds[static_cast<unsigned char>(c)]];
  return counts;
}

}  // namespace pippin::service
