#include "service/choice.h"

#include <algorithm>
#include <utility>

namespace pippin::service {
namespace {

Error error_of(const engine::FinishEvent& event) {
  switch (event.reason) {
    case FinishReason::kStop:
    case FinishReason::kLength:
      return {};
    case FinishReason::kCancelled:
      return fail(Code::kCancelled, "the request was cancelled");
    case FinishReason::kTimeout:
      return fail(Code::kTimeout, "the request's time is over");
    case FinishReason::kSlowReader:
      return fail(Code::kTimeout, "the client reads too slowly");
    case FinishReason::kError:
      break;
  }
  return event.error.message.empty() ? fail(Code::kInternal, "the model failed") : event.error;
}

}  // namespace

Choice::Choice(int index, const Terms& terms, std::vector<Token> prompt_if_scored,
               std::shared_ptr<engine::EventStream> stream)
    : index_(index),
      terms_(terms),
      prompt_(std::move(prompt_if_scored)),
      score_only_(terms.request.max_tokens == 0),
      stream_(std::move(stream)),
      decoder_(terms.tokenizer, false),
      matcher_(terms.request.stop) {}

void Choice::poll(std::vector<Delta>& out) {
  if (finished_) return;
  events_.clear();
  stream_->take(events_);
  TextDelta delta;
  Finish finish;
  for (const engine::Event& event : events_) {
    if (const auto* token = std::get_if<engine::TokenEvent>(&event)) {
      take(*token, delta);
    } else if (const auto* prompt = std::get_if<engine::PromptLogprobsEvent>(&event)) {
      take(*prompt, out);
    } else {
      take(std::get<engine::FinishEvent>(event), delta, finish);
    }
  }
  if (!delta.text.empty() || !delta.tokens.empty()) out.push_back({index_, std::move(delta)});
  if (finished_) out.push_back({index_, std::move(finish)});
}

void Choice::take(const engine::TokenEvent& event, TextDelta& delta) {
  // The engine may be a step ahead of a stop string; what it samples then is nobody's.
  if (matcher_.stopped() || score_only_) return;
  ++completion_tokens_;
  if (is_stop_token(event.token)) return;
  if (terms_.request.sampling.logprobs >= 0) {
    waiting_.push_back({decoded_bytes_, scored({event.token, event.logprob}, event.top)});
  }
  const std::string text = decoder_.push(event.token);
  decoded_bytes_ += text.size();
  release(matcher_.push(text), delta);
  if (matcher_.stopped()) stream_->cancel(FinishReason::kStop);
}

void Choice::take(const engine::PromptLogprobsEvent& event, std::vector<Delta>& out) const {
  PromptDelta delta;
  // The first token has no entry, or an empty one; the entries end with the prompt.
  const size_t entries = std::min(event.entries.size(), prompt_.size());
  const size_t first = prompt_.size() - entries;
  delta.tokens.reserve(prompt_.size());
  for (size_t i = 0; i < prompt_.size(); ++i) {
    const bool has = i >= first && i > 0;
    const engine::PromptLogprobsEvent::Entry entry =
        has ? event.entries[i - first] : engine::PromptLogprobsEvent::Entry{};
    delta.tokens.push_back(scored({prompt_[i], entry.chosen.logprob}, entry.top));
    delta.tokens.back().scored = has;
  }
  out.push_back({index_, std::move(delta)});
}

void Choice::take(const engine::FinishEvent& event, TextDelta& delta, Finish& finish) {
  finished_ = true;
  cached_tokens_ = event.cached_tokens;
  if (!matcher_.stopped()) {
    const std::string rest = decoder_.flush();
    decoded_bytes_ += rest.size();
    release(matcher_.push(rest), delta);
  }
  if (matcher_.stopped()) {
    finish.reason = FinishReason::kStop;  // whatever ended the sequence after that
  } else {
    release(matcher_.flush(), delta);
    for (Waiting& token : waiting_) delta.tokens.push_back(std::move(token.token));
    finish.reason = event.reason;
    finish.error = error_of(event);
    if (!score_only_) completion_tokens_ = event.completion_tokens;
  }
  waiting_.clear();
}

// Hands text on, with the tokens that begin in it or before.
void Choice::release(std::string text, TextDelta& delta) {
  released_bytes_ += text.size();
  delta.text += text;
  while (!waiting_.empty() && waiting_.front().begin < released_bytes_) {
    delta.tokens.push_back(std::move(waiting_.front().token));
    waiting_.pop_front();
  }
}

TokenLogprob Choice::named(engine::TokenLogprob logprob) const {
  return {terms_.tokenizer->token_bytes(logprob.token, true), logprob.logprob};
}

ScoredToken Choice::scored(engine::TokenLogprob chosen,
                           const std::vector<engine::TokenLogprob>& top) const {
  ScoredToken token{named(chosen), {}, true};
  token.top.reserve(top.size());
  for (const engine::TokenLogprob& other : top) token.top.push_back(named(other));
  return token;
}

bool Choice::is_stop_token(Token token) const {
  return std::ranges::find(terms_.stop_tokens, token) != terms_.stop_tokens.end();
}

}  // namespace pippin::service
