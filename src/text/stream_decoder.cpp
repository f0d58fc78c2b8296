// StreamDecoder: bytes of tokens to whole UTF-8 characters. Source: The Unicode Standard,
// section 3.9, table 3-7.
#include <array>

#include "text/tokenizer.h"

namespace pippin::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

uint8_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

/// The bytes that may stand second in a character, by its first byte.
struct SecondByte {
  uint8_t low, high;
};
SecondByte second_byte(uint8_t lead) {
  switch (lead) {
    case 0xE0:
      return {0xA0, 0xBF};
    case 0xED:
      return {0x80, 0x9F};
    case 0xF0:
      return {0x90, 0xBF};
    case 0xF4:
      return {0x80, 0x8F};
    default:
      return {0x80, 0xBF};
  }
}

size_t character_bytes(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;  // never starts a character
}

/// The start of a text: `bytes` of it that form a whole character, or the start of one, or nothing
/// that could be one.
struct Head {
  enum { kWholeText, kPart, kInvalid } kind;
  size_t bytes;
};
Head head(std::string_view text) {
  const uint8_t lead = byte_at(text, 0);
  const size_t wanted = character_bytes(lead);
  if (wanted == 0) return {Head::kInvalid, 1};
  for (size_t i = 1; i < wanted; ++i) {
    if (i == text.size()) return {Head::kPart, i};
    const auto [low, high] = i == 1 ? second_byte(lead) : SecondByte{0x80, 0xBF};
    if (byte_at(text, i) < low || byte_at(text, i) > high) return {Head::kInvalid, i};
  }
  return {Head::kWholeText, wanted};
}

/// Moves all whole characters from `pending` to the result, what cannot be one as U+FFFD.
std::string take_whole(std::string& pending) {
  std::string text;
  size_t at = 0;
  while (at < pending.size()) {
    const Head next = head(std::string_view(pending).substr(at));
    if (next.kind == Head::kPart) break;
    text += next.kind == Head::kWholeText ? std::string_view(pending).substr(at, next.bytes)
                                          : kReplacement;
    at += next.bytes;
  }
  pending.erase(0, at);
  return text;
}

}  // namespace

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool special)
    : tokenizer_(std::move(tokenizer)),
      special_(special),
      at_start_(tokenizer_->strips_first_space()) {}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::push(Token token) {
  const std::string bytes = tokenizer_->token_bytes(token, special_);
  std::string_view fresh = bytes;
  if (at_start_ && !fresh.empty()) {
    if (fresh.front() == ' ') fresh.remove_prefix(1);
    at_start_ = false;
  }
  pending_ += fresh;
  return take_whole(pending_);
}

std::string StreamDecoder::flush() {
  std::string text = take_whole(pending_);
  if (!pending_.empty()) text += kReplacement;
  pending_.clear();
  return text;
}

}  // namespace pippin::text
