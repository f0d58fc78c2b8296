// walk: writes a text under a grammar as a model with random weights would, only that it likes to
// come to an end.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/grammar.h"

namespace pippin::text {

struct Walk {
  std::string text;
  std::vector<Token> tokens;
  bool finished = false;
  std::vector<double> step_us;  // of accept, jump-forward tokens and mask
  int forced = 0;               // tokens that the grammar left no choice of
};

struct WalkOptions {
  uint32_t seed = 0;
  int tokens_max = 1500;
  int soft_max = 60;  // from here on the walk turns to the end
  bool take_forced = true;
};

namespace walking {

inline bool allows(const std::vector<uint32_t>& mask, Token token) {
  return (mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1U) != 0;
}

/// Texts that lead out of values, the most wanted first.
inline const std::vector<std::string>& value_ends() {
  static const std::vector<std::string> texts = {"}", "]", "\"}", "\"]", "\"",   ")", "']", "'",
                                                 "0", "<", "/",   ">",   "null", ":", ","};
  return texts;
}

/// Chooses a token of the mask: any, but often one that ends something.
inline Token choose(const std::vector<uint32_t>& mask, const GrammarVocabulary& vocabulary,
                    bool end_soon, std::mt19937& random) {
  const auto chance = [&](double p) {
    return std::uniform_real_distribution<double>()(random) < p;
  };
  for (const Token end : vocabulary.ends())
    if (allows(mask, end) && (end_soon || chance(0.5))) return end;
  if (end_soon || chance(0.3)) {
    for (const std::string& text : value_ends()) {
      const std::optional<Token> token = vocabulary.tokenizer().token_of(text);
      if (token && allows(mask, *token) && chance(end_soon ? 0.9 : 0.5)) return *token;
    }
  }
  std::vector<Token> allowed;
  for (size_t w = 0; w < mask.size(); ++w)
    for (uint32_t bits = mask[w]; bits != 0; bits &= bits - 1)
      allowed.push_back(static_cast<Token>(w * 32) + __builtin_ctz(bits));
  if (end_soon) {
    // The shorter a token, the less it begins.
    const auto bytes = [&](Token token) {
      return vocabulary.tokenizer().token_bytes(token, true).size();
    };
    const Token one = allowed[random() % allowed.size()],
                other = allowed[random() % allowed.size()];
    return bytes(one) < bytes(other) ? one : other;
  }
  return allowed[random() % allowed.size()];
}

}  // namespace walking

/// Errors: of the matcher; kInternal where the matcher contradicts itself.
inline Result<Walk> walk(const GrammarVocabulary& vocabulary, Matcher& matcher,
                         const WalkOptions& options) {
  using Clock = std::chrono::steady_clock;
  Walk out;
  std::mt19937 random(options.seed);
  std::vector<uint32_t> mask;
  std::vector<Token> next;
  while (static_cast<int>(out.tokens.size()) < options.tokens_max) {
    const auto start = Clock::now();
    RETURN_IF_ERROR(matcher.accept(next));
    std::vector<Token> forced;
    if (options.take_forced && !matcher.is_complete()) forced = matcher.forced();
    RETURN_IF_ERROR(matcher.accept(forced));
    RETURN_IF_ERROR(matcher.fill_mask(mask));
    out.step_us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    out.forced += static_cast<int>(forced.size());
    for (const Token token : forced) out.text += vocabulary.tokenizer().token_bytes(token, true);
    out.tokens.insert(out.tokens.end(), forced.begin(), forced.end());
    if (matcher.is_complete()) {
      out.finished = true;
      break;
    }
    if (std::ranges::all_of(mask, [](uint32_t word) { return word == 0; }))
      return fail(Code::kInternal, "an empty mask behind: " + out.text);
    const bool end_soon = static_cast<int>(out.tokens.size()) > options.soft_max;
    const Token token = walking::choose(mask, vocabulary, end_soon, random);
    const bool is_end = std::ranges::find(vocabulary.ends(), token) != vocabulary.ends().end();
    if (is_end && !matcher.is_accepting())
      return fail(Code::kInternal, "an end is allowed, but not accepted, behind: " + out.text);
    if (is_end) {
      out.finished = true;
      break;
    }
    out.text += vocabulary.tokenizer().token_bytes(token, true);
    out.tokens.push_back(token);
    next = {token};
  }
  return out;
}

}  // namespace pippin::text
