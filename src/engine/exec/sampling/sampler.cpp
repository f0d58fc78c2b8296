#include "engine/exec/sampling/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/result.h"
#include "engine/exec/sampling/philox.h"

namespace pippin::engine {

using sampling::Distribution;
using sampling::Draw;
using sampling::kMasked;
using sampling::LogitEdits;
using sampling::Maxima;

RowSampler::RowSampler(const Submission& submission, std::span<const Token> generated,
                       std::optional<float> mirostat_mu)
    : params_(submission.sampling),
      min_tokens_(submission.stop.ignore_eos ? 0 : submission.stop.min_tokens),
      history_(params_, submission.tokens),
      dry_(params_, submission.tokens),
      mirostat_mu_(mirostat_mu.value_or(2 * params_.mirostat_tau)) {
  if (min_tokens_ > 0) stop_tokens_ = submission.stop.stop_tokens;
  for (const Token token : params_.allowed_tokens) {
    if (token < 0) continue;
    const auto word = static_cast<size_t>(token) / 32;
    if (word >= allowed_.size()) allowed_.resize(word + 1, 0);
    allowed_[word] |= 1U << (token % 32);
  }
  for (const Token token : generated) accept(token);
}

void RowSampler::accept(Token token) {
  history_.accept(token);
  dry_.accept(token);
  if (surprise_ && surprise_->first == token)
    mirostat_mu_ -= params_.mirostat_eta * (surprise_->second - params_.mirostat_tau);
  surprise_.reset();
}

void RowSampler::forbid(LogitEdits& edits, const std::vector<uint32_t>* mask) {
  if (mask != nullptr) sampling::apply_mask(edits.logits(), *mask);
  if (!params_.allowed_tokens.empty()) sampling::apply_mask(edits.logits(), allowed_);
  for (const Token token : params_.banned_tokens)
    if (edits.has(token)) edits.set(token, kMasked);
}

namespace {

Error not_finite() {
  return fail(Code::kInternal, "[sampler] expected finite logits, the model returned NaN or inf");
}

}  // namespace

std::optional<Error> RowSampler::prepare(LogitEdits& edits, int index,
                                         const std::vector<uint32_t>* mask) {
  forbid(edits, mask);
  for (const auto& [token, bias] : params_.logit_bias)
    if (edits.has(token)) edits.set(token, edits.at(token) + bias);
  history_.penalise(edits);
  dry_.penalise(edits);

  const size_t before_ban = edits.count();
  const bool too_early = index < min_tokens_;
  if (too_early)
    for (const Token token : stop_tokens_)
      if (edits.has(token)) edits.set(token, kMasked);
  sampling::find_maxima(edits.logits(), maxima_);
  if (too_early && maxima_.max == kMasked) {
    // A constraint that has come to its end allows nothing but the end: it wins over min_tokens.
    edits.rewind(before_ban);
    sampling::find_maxima(edits.logits(), maxima_);
  }
  if (maxima_.nan || maxima_.max == -kMasked) return not_finite();
  if (maxima_.max == kMasked)
    return fail(Code::kInvalidArgument,
                "[sampler] expected a token to choose, but all are excluded by allowed_tokens, "
                "banned tokens, logit_bias or the output format");
  return std::nullopt;
}

Distribution RowSampler::truncate(std::span<float> logits, int index) const {
  Distribution left(logits, maxima_);
  if (params_.mirostat == 2) {
    left.set_temperature(params_.temperature);
    left.keep_surprise_at_most(mirostat_mu_);
    return left;
  }
  if (params_.top_n_sigma > 0) left.keep_top_n_sigma(params_.top_n_sigma);
  if (params_.top_k > 0) left.keep_top_k(static_cast<size_t>(params_.top_k));
  if (params_.typical_p < 1) left.keep_typical(params_.typical_p);
  if (params_.top_p < 1) left.keep_top_p(params_.top_p);
  if (params_.min_p > 0) left.keep_min_p(params_.min_p);
  if (params_.xtc_probability > 0 && params_.xtc_threshold <= 0.5f) {
    const double chance = sampling::uniform(params_.seed, static_cast<uint32_t>(index), Draw::kXtc);
    if (chance < params_.xtc_probability) left.exclude_top_choices(params_.xtc_threshold);
  }
  if (params_.dynatemp_range > 0)
    left.set_dynamic_temperature(params_.temperature, params_.dynatemp_range,
                                 params_.dynatemp_exponent);
  else
    left.set_temperature(params_.temperature);
  return left;
}

void RowSampler::choose(std::span<float> logits, int index, RowOutput& out) {
  out.sampled = true;
  if (!draws()) {
    out.token = static_cast<Token>(sampling::argmax(logits, maxima_));
    return;
  }
  const double u = sampling::uniform(params_.seed, static_cast<uint32_t>(index), Draw::kToken);
  const Distribution::Choice choice = truncate(logits, index).draw(u);
  out.token = choice.token;
  if (params_.mirostat == 2)
    surprise_ = {choice.token, static_cast<float>(-std::log2(choice.probability))};
}

namespace {

/// The raw distribution of a row, before any option.
struct RawLogprobs {
  double log_sum = 0;  // of exp(logit), so that logprob = logit - log_sum
  std::vector<TokenLogprob> top;
  bool finite = false;

  float of(float logit) const { return static_cast<float>(logit - log_sum); }
};

RawLogprobs raw_logprobs(std::span<const float> logits, int top, Maxima& maxima) {
  RawLogprobs raw;
  sampling::find_maxima(logits, maxima);
  raw.finite = !maxima.nan && std::isfinite(maxima.max);
  if (!raw.finite) return raw;
  raw.log_sum = maxima.max + std::log(sampling::exp_sum(logits, {maxima.max}));
  for (const auto& [token, logit] :
       sampling::largest(logits, maxima, static_cast<size_t>(std::clamp(top, 0, kTopLogprobsMax))))
    raw.top.push_back({token, raw.of(logit)});
  return raw;
}

}  // namespace

RowOutput RowSampler::sample(std::span<float> logits, int index,
                             const std::vector<uint32_t>* mask) {
  RowOutput out;
  RawLogprobs raw;
  if (params_.logprobs >= 0) raw = raw_logprobs(logits, params_.logprobs, maxima_);
  LogitEdits edits(logits);
  if (params_.logprobs >= 0 && !raw.finite)
    out.error = not_finite();
  else
    out.error = prepare(edits, index, mask);
  if (out.error) return out;
  choose(logits, index, out);
  if (params_.logprobs >= 0) {
    out.logprob = raw.of(edits.original(out.token));
    out.top = std::move(raw.top);
  }
  return out;
}

std::vector<Distribution::Choice> RowSampler::choices(std::span<float> logits, int index,
                                                      const std::vector<uint32_t>* mask) {
  LogitEdits edits(logits);
  if (prepare(edits, index, mask)) return {};
  if (!draws()) return {{static_cast<Token>(sampling::argmax(logits, maxima_)), 1.0}};
  return truncate(logits, index).choices();
}

PromptLogprobsEvent::Entry prompt_logprob(std::span<const float> logits, Token next, int top) {
  Maxima maxima;
  RawLogprobs raw = raw_logprobs(logits, top, maxima);
  const auto place = static_cast<size_t>(next);
  if (!raw.finite || next < 0 || place >= logits.size()) return {{next, kMasked}, {}};
  return {{next, raw.of(logits[place])}, std::move(raw.top)};
}

}  // namespace pippin::engine
