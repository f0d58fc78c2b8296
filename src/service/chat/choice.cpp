#include "service/chat/choice.h"

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
      if (!event.error.message.empty()) return event.error;
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

Choice::Choice(int index, const Terms& terms, std::shared_ptr<engine::EventStream> stream,
               RequestContext* caller)
    : index_(index),
      terms_(terms),
      score_only_(terms.request.max_tokens == 0),
      stream_(std::move(stream)),
      caller_(caller),
      reader_(index, terms.answer, terms.request, terms.tokenizer) {}

void Choice::poll(std::vector<Delta>& out) {
  if (finished_) return;
  events_.clear();
  stream_->take(events_);
  for (const engine::Event& event : events_)
    std::visit([&](const auto& it) { take(it, out); }, event);
}

void Choice::take(const engine::TokenEvent& event, std::vector<Delta>& out) {
  // The engine may be a step ahead of a stop string; what it samples then is nobody's.
  if (reader_.ended() || score_only_ || spent_) return;
  // A key without tokens is a limit like max_tokens; the next request is told which.
  if (caller_ != nullptr && !caller_->take_token()) {
    spent_ = true;
    return stream_->cancel(FinishReason::kLength);
  }
  ++completion_tokens_;
  if (is_stop_token(event.token)) return;
  std::optional<ScoredToken> score;
  if (terms_.request.sampling.logprobs >= 0)
    score = scored({event.token, event.logprob}, event.top);
  reader_.push(event.token, std::move(score), out);
  if (reader_.ended()) stream_->cancel(FinishReason::kStop);
}

void Choice::take(const engine::PromptLogprobsEvent& event, std::vector<Delta>& out) const {
  PromptDelta delta;
  // The first token has no entry, or an empty one; the entries end with the prompt.
  const size_t entries = std::min(event.entries.size(), terms_.prompt.size());
  const size_t first = terms_.prompt.size() - entries;
  delta.tokens.reserve(terms_.prompt.size());
  for (size_t i = 0; i < terms_.prompt.size(); ++i) {
    const bool has = i >= first && i > 0;
    const engine::PromptLogprobsEvent::Entry entry =
        has ? event.entries[i - first] : engine::PromptLogprobsEvent::Entry{};
    delta.tokens.push_back(scored({terms_.prompt[i], entry.chosen.logprob}, entry.top));
    delta.tokens.back().scored = has;
  }
  out.push_back({index_, std::move(delta)});
}

/// No choice asks for an embedding: its answer is an error, not an empty text.
void Choice::take(const engine::EmbeddingEvent& /*event*/, std::vector<Delta>& /*out*/) {
  unasked_ = fail(Code::kInternal, "expected tokens of the model, got an embedding");
}

void Choice::take(const engine::FinishEvent& event, std::vector<Delta>& out) {
  finished_ = true;
  cached_tokens_ = event.cached_tokens;
  reader_.finish(out);
  Finish finish;
  if (!reader_.ended()) {  // else it is kStop, whatever ended the sequence after that
    finish.reason = unasked_.message.empty() ? event.reason : FinishReason::kError;
    finish.error = unasked_.message.empty() ? error_of(event) : unasked_;
    if (!score_only_ && !spent_) completion_tokens_ = event.completion_tokens;
  }
  finish.called_tools = reader_.called_tools();
  finish.stop = reader_.stop();
  out.push_back({index_, std::move(finish)});
}

TokenLogprob Choice::named(engine::TokenLogprob logprob) const {
  return {terms_.tokenizer->token_bytes(logprob.token, true), logprob.logprob, logprob.token};
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
