#include "engine/exec/sampling/history.h"

#include <algorithm>
#include <cmath>

namespace pippin::engine::sampling {

TokenHistory::TokenHistory(const SamplingParams& params, std::span<const Token> prompt)
    : repetition_(params.repetition_penalty > 0 && params.penalty_last_n != 0
                      ? params.repetition_penalty
                      : 1.0f),
      presence_(params.presence_penalty),
      frequency_(params.frequency_penalty),
      window_max_(params.penalty_last_n < 0 ? -1 : params.penalty_last_n),
      active_(repetition_ != 1.0f || presence_ != 0.0f || frequency_ != 0.0f) {
  if (repetition_ == 1.0f) return;
  for (const Token token : prompt) enter_window(token);
}

TokenHistory::Seen& TokenHistory::seen(Token token) {
  const auto [place, is_new] = index_.try_emplace(token, seen_.size());
  if (is_new) seen_.push_back({token});
  return seen_[place->second];
}

void TokenHistory::enter_window(Token token) {
  ++seen(token).in_window;
  if (window_max_ < 0) return;
  window_.push_back(token);
  const auto window_max = static_cast<size_t>(window_max_);
  if (window_.size() > window_max) --seen(window_[window_.size() - window_max - 1]).in_window;
}

void TokenHistory::accept(Token token) {
  if (!active_) return;
  ++seen(token).generated;
  if (repetition_ != 1.0f) enter_window(token);
}

void TokenHistory::penalise(LogitEdits& edits) const {
  if (!active_) return;
  for (const Seen& one : seen_) {
    if (!edits.has(one.token)) continue;
    float logit = edits.at(one.token);
    if (one.in_window > 0) logit = logit > 0 ? logit / repetition_ : logit * repetition_;
    if (one.generated > 0) logit -= presence_ + static_cast<float>(one.generated) * frequency_;
    edits.set(one.token, logit);
  }
}

DryPenalty::DryPenalty(const SamplingParams& params, std::span<const Token> prompt)
    : multiplier_(params.dry_base >= 1.0f && params.dry_penalty_last_n != 0 ? params.dry_multiplier
                                                                            : 0.0f),
      base_(params.dry_base),
      allowed_length_(static_cast<size_t>(std::max(params.dry_allowed_length, 1))),
      last_n_(params.dry_penalty_last_n) {
  if (multiplier_ == 0.0f) return;
  for (const auto& breaker : params.dry_sequence_breakers)
    if (!breaker.empty()) breakers_[breaker.back()].push_back(breaker);
  text_.assign(prompt.begin(), prompt.end());
}

void DryPenalty::accept(Token token) {
  if (multiplier_ != 0.0f) text_.push_back(token);
}

/// Returns how many tokens follow the last breaker, all of them if there is none.
size_t DryPenalty::distance_to_breaker(std::span<const Token> text) const {
  for (size_t end = text.size(); end > 0; --end) {
    const auto ending = breakers_.find(text[end - 1]);
    if (ending == breakers_.end()) continue;
    const bool stands = std::ranges::any_of(ending->second, [&](const std::vector<Token>& breaker) {
      return breaker.size() <= end &&
             std::ranges::equal(breaker, text.subspan(end - breaker.size(), breaker.size()));
    });
    if (stands) return text.size() - end;
  }
  return text.size();
}

bool DryPenalty::breaks_alone(Token token) const {
  const auto ending = breakers_.find(token);
  return ending != breakers_.end() && std::ranges::any_of(ending->second, [](const auto& breaker) {
           return breaker.size() == 1;
         });
}

namespace {

/// Returns for each i > 0 the length of the longest common suffix of text and text[0, size - i):
/// how long the text's end, shifted back by i tokens, matches. Source: the Z algorithm (Gusfield,
/// "Algorithms on Strings, Trees and Sequences", section 1.3), on the reversed text.
std::vector<size_t> suffix_matches(std::span<const Token> text) {
  const size_t n = text.size();
  std::vector<size_t> match(n, 0);
  const auto same = [&](size_t i, size_t j) { return text[n - 1 - i] == text[n - 1 - j]; };
  size_t left = 0, right = 0;  // the match that reaches furthest covers [left, right)
  for (size_t i = 1; i < n; ++i) {
    size_t length = i < right ? std::min(match[i - left], right - i) : 0;
    while (i + length < n && same(length, i + length)) ++length;
    match[i] = length;
    if (i + length > right) {
      left = i;
      right = i + length;
    }
  }
  return match;
}

}  // namespace

void DryPenalty::penalise(LogitEdits& edits) const {
  if (multiplier_ == 0.0f) return;
  std::span<const Token> text = text_;
  if (last_n_ > 0 && text.size() > static_cast<size_t>(last_n_))
    text = text.last(static_cast<size_t>(last_n_));
  const size_t reach = distance_to_breaker(text);
  if (reach < allowed_length_) return;

  const std::vector<size_t> matches = suffix_matches(text);
  std::unordered_map<Token, size_t> longest;
  for (size_t shift = 1; shift < text.size(); ++shift) {
    const size_t length = std::min(matches[shift], reach);
    if (length < allowed_length_) continue;
    size_t& best = longest[text[text.size() - shift]];  // the token that followed the earlier match
    best = std::max(best, length);
  }

  // base ^ exponent stays below the largest float.
  const float log_base = std::log(base_);
  const float exponent_max = log_base > 1e-6f ? 88.7f / log_base : 1e9f;
  for (const auto& [token, length] : longest) {
    if (breaks_alone(token) || !edits.has(token)) continue;
    const float exponent = std::min(static_cast<float>(length - allowed_length_), exponent_max);
    edits.set(token, edits.at(token) - multiplier_ * std::pow(base_, exponent));
  }
}

}  // namespace pippin::engine::sampling
