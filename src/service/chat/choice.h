// Choice: one answer of a Generation: an engine sequence whose tokens become deltas. Thread: one at
// a time, but for cancel().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/request_context.h"
#include "engine/engine.h"
#include "service/chat/constraint.h"
#include "service/chat/request.h"
#include "service/chat/response_reader.h"
#include "text/tokenizer.h"

namespace pippin::service {

class Choice {
 public:
  /// What the choices of one prompt share. Borrowed; outlives them.
  struct Terms {
    const Request& request;
    std::shared_ptr<const text::Tokenizer> tokenizer;
    std::vector<Token> stop_tokens;  // the model's and the request's; without its own, if ignored
    std::vector<Token> prompt;
    ResponseTerms answer;
    std::shared_ptr<const ConstraintPlan> plan;  // null: nothing holds the answer
  };

  /// `caller`, if any, pays for each token and outlives the choice.
  Choice(int index, const Terms& terms, std::shared_ptr<engine::EventStream> stream,
         RequestContext* caller);

  void set_notify(std::function<void()> notify) { stream_->set_notify(std::move(notify)); }
  void cancel(FinishReason reason) { stream_->cancel(reason); }

  /// Appends what is ready.
  void poll(std::vector<Delta>& out);
  bool finished() const { return finished_; }
  int completion_tokens() const { return completion_tokens_; }
  int reasoning_tokens() const { return reader_.reasoning_tokens(); }
  int cached_tokens() const { return cached_tokens_; }

 private:
  void take(const engine::TokenEvent& event, std::vector<Delta>& out);
  void take(const engine::PromptLogprobsEvent& event, std::vector<Delta>& out) const;
  void take(const engine::EmbeddingEvent& event, std::vector<Delta>& out);
  void take(const engine::FinishEvent& event, std::vector<Delta>& out);
  TokenLogprob named(engine::TokenLogprob logprob) const;
  ScoredToken scored(engine::TokenLogprob chosen,
                     const std::vector<engine::TokenLogprob>& top) const;
  bool is_stop_token(Token token) const;

  const int index_;
  const Terms& terms_;
  const bool score_only_;  // max_tokens is 0
  std::shared_ptr<engine::EventStream> stream_;
  std::vector<engine::Event> events_;
  RequestContext* const caller_;
  bool spent_ = false;  // the caller has no tokens left
  ResponseReader reader_;
  int completion_tokens_ = 0;
  int cached_tokens_ = 0;
  Error unasked_;  // what came that no choice asks for
  bool finished_ = false;
};

}  // namespace pippin::service
