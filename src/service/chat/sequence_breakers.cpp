#include "service/chat/sequence_breakers.h"

#include <algorithm>
#include <string_view>

namespace pippin::service {
namespace {

constexpr size_t kTailTokensMax = 20;

// Calls `found` with each length, below the text's, of a start of `text` that `token` ends with.
template <typename Found>
void for_each_overlap(std::string_view token, std::string_view text, const Found& found) {
  const size_t longest = std::min(token.size(), text.size() - 1);
  for (size_t length = 1; length <= longest; ++length) {
    if (token.ends_with(text.substr(0, length))) found(length);
  }
}

}  // namespace

std::vector<std::vector<text::Token>> sequence_breakers(const text::Tokenizer& tokenizer,
                                                        const std::vector<std::string>& texts) {
  std::vector<std::vector<text::Token>> all;
  // What follows a token that ends with the first bytes of a text: [text][length].
  std::vector<std::vector<std::vector<text::Token>>> tails;
  for (const std::string& text : texts) {
    tails.emplace_back();
    for (size_t length = 0; length < text.size(); ++length) {
      auto tail = tokenizer.encode(text.substr(length), false, text::Specials::kText);
      tails.back().push_back(tail.ok() ? std::move(*tail) : std::vector<text::Token>{});
      if (tails.back().back().size() > kTailTokensMax) tails.back().back().clear();
    }
  }
  for (text::Token token = 0; token < tokenizer.vocab_size(); ++token) {
    const std::string bytes = tokenizer.token_bytes(token, false);
    for (size_t i = 0; i < texts.size(); ++i) {
      if (bytes.find(texts[i]) != std::string::npos) {
        all.push_back({token});
        continue;
      }
      for_each_overlap(bytes, texts[i], [&](size_t length) {
        const std::vector<text::Token>& tail = tails[i][length];
        if (tail.empty()) return;
        all.push_back({token});
        all.back().insert(all.back().end(), tail.begin(), tail.end());
      });
    }
  }
  return all;
}

}  // namespace pippin::service
