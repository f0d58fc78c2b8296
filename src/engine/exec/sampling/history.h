// TokenHistory: one sequence's tokens as the penalties see them, kept up to date token by token.
// Thread: the device thread.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "engine/core/types.h"
#include "engine/exec/sampling/logit_edits.h"

namespace pippin::engine::sampling {

/// Counts for the repetition, presence and frequency penalties.
/// repetition: logit / r if positive, else logit * r, for tokens among the last penalty_last_n of
/// prompt and answer. presence, frequency: logit - presence - count * frequency, for tokens of the
/// answer, as OpenAI's API has it. Source: Keskar et al., "CTRL", arXiv:1909.05858, section 4.1
/// (division of positive logits only: the form of Hugging Face transformers); OpenAI API reference,
/// presence_penalty and frequency_penalty.
class TokenHistory {
 public:
  TokenHistory(const SamplingParams& params, std::span<const Token> prompt);

  /// Adds a token of the answer.
  void accept(Token token);
  void penalise(LogitEdits& edits) const;

 private:
  struct Seen {
    Token token = 0;
    int in_window = 0;
    int generated = 0;
  };
  Seen& seen(Token token);
  void enter_window(Token token);

  float repetition_, presence_, frequency_;
  int window_max_;  // tokens in the repetition window; -1 = all
  bool active_;
  std::vector<Token> window_;  // all tokens, while the window is bounded
  std::vector<Seen> seen_;
  std::unordered_map<Token, size_t> index_;
};

/// DRY ("don't repeat yourself"): lowers each token that would continue a repetition of the text's
/// end. If the last L tokens also stand earlier, followed by token t, and L >= allowed_length is
/// the longest such match, t's logit falls by multiplier * base ^ (L - allowed_length). A match
/// never reaches back over a sequence breaker, and breakers of one token are not lowered. Source:
/// P. E. Weidmann, "DRY: a modern repetition penalty", text-generation-webui pull request 5677;
/// breakers of several tokens and the clamped exponent as in llama.cpp.
class DryPenalty {
 public:
  DryPenalty(const SamplingParams& params, std::span<const Token> prompt);

  void accept(Token token);
  void penalise(LogitEdits& edits) const;

 private:
  size_t distance_to_breaker(std::span<const Token> text) const;
  bool breaks_alone(Token token) const;

  float multiplier_, base_;
  size_t allowed_length_;
  int last_n_;
  std::unordered_map<Token, std::vector<std::vector<Token>>> breakers_;  // by their last token
  std::vector<Token> text_;
};

}  // namespace pippin::engine::sampling
