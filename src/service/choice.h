// Choice: one answer of a Generation: an engine sequence whose tokens become text. Thread: one at a
// time, but for cancel().
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "service/request.h"
#include "service/stop_matcher.h"
#include "text/tokenizer.h"

namespace pippin::service {

class Choice {
 public:
  /// What the choices of one request share. Borrowed; outlives them.
  struct Terms {
    const Request& request;
    std::shared_ptr<const text::Tokenizer> tokenizer;
    std::vector<Token> stop_tokens;  // the model's and the request's; empty with ignore_eos
  };

  Choice(int index, const Terms& terms, std::vector<Token> prompt_if_scored,
         std::shared_ptr<engine::EventStream> stream);

  void set_notify(std::function<void()> notify) { stream_->set_notify(std::move(notify)); }
  void cancel(FinishReason reason) { stream_->cancel(reason); }

  /// Appends what is ready.
  void poll(std::vector<Delta>& out);
  bool finished() const { return finished_; }
  int completion_tokens() const { return completion_tokens_; }
  int cached_tokens() const { return cached_tokens_; }

 private:
  void take(const engine::TokenEvent& event, TextDelta& delta);
  void take(const engine::PromptLogprobsEvent& event, std::vector<Delta>& out) const;
  void take(const engine::FinishEvent& event, TextDelta& delta, Finish& finish);
  void release(std::string text, TextDelta& delta);
  TokenLogprob named(engine::TokenLogprob logprob) const;
  ScoredToken scored(engine::TokenLogprob chosen,
                     const std::vector<engine::TokenLogprob>& top) const;
  bool is_stop_token(Token token) const;

  struct Waiting {
    size_t begin = 0;  // bytes of text before this token
    ScoredToken token;
  };

  const int index_;
  const Terms& terms_;
  const std::vector<Token> prompt_;  // empty unless its log probabilities are asked for
  const bool score_only_;            // max_tokens is 0
  std::shared_ptr<engine::EventStream> stream_;
  std::vector<engine::Event> events_;
  text::StreamDecoder decoder_;
  StopMatcher matcher_;
  size_t decoded_bytes_ = 0;   // text that came out of the decoder
  size_t released_bytes_ = 0;  // text that was handed on
  std::deque<Waiting> waiting_;
  int completion_tokens_ = 0;
  int cached_tokens_ = 0;
  bool finished_ = false;
};

}  // namespace pippin::service
