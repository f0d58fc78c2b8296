// Generation: one request at work. Renders, tokenises, submits n sequences per prompt, and turns
// their events into typed deltas. Owner: the API's answer. Thread: one at a time, but for cancel()
// and the callback of set_notify().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/request_context.h"
#include "base/result.h"
#include "service/chat/choice.h"
#include "service/chat/request.h"
#include "service/models/model_lease.h"

namespace pippin::service {

class Generation {
 public:
  /// Admits the request of a caller, null where none is asked for; its prompts and answers count as
  /// the caller's, and its cache is the caller's own. What is wrong with the request shows here,
  /// before the first byte of an answer.
  /// Errors: of prompt_tokens(); kContextLength, with both numbers; of Engine::submit; of
  /// RequestContext::take_prompt(); kPermissionDenied, a higher priority than the key may ask for.
  /// Requires: request.prompts not empty, n >= 1.
  static Result<std::unique_ptr<Generation>> start(ModelLease model, Request request,
                                                   std::shared_ptr<RequestContext> caller);
  ~Generation();  // cancels what still runs

  /// Sets a callback for "poll() has something". Called on the device thread, must not block, and
  /// may come once too often.
  void set_notify(const std::function<void()>& notify);

  /// Appends the deltas that are ready, neighbours of a kind joined. Never blocks.
  void poll(std::vector<Delta>& out);
  /// Returns whether every choice's Finish has been polled.
  bool finished() const { return unfinished_ == 0; }

  /// Asks for the end of every choice; their Finish deltas follow. Thread: any.
  void cancel(FinishReason reason = FinishReason::kCancelled);

  /// Complete once finished().
  Usage usage() const;
  const Model& model() const { return *model_; }
  const Request& request() const { return request_; }
  const RequestContext* caller() const { return caller_.get(); }
  int choices() const { return static_cast<int>(choices_.size()); }
  /// The engine's sequences, one for each choice. Thread: any.
  const std::vector<engine::SequenceId>& sequences() const { return sequences_; }
  /// Returns prompt i as text: as it was given, or what its tokens say. Requires: it is no
  /// conversation.
  std::string prompt_text(size_t i) const;
  /// Returns prompt i as it was submitted.
  const std::vector<Token>& prompt_tokens(size_t i) const { return terms_[i].prompt; }

  /// Returns the prompt rules that have changed prompts.
  const std::vector<std::string_view>& prompt_rules() const { return prompt_rules_; }
  /// Returns what of a conversation a token of its prompt comes from, as part_of() names it; "" if
  /// the prompt is none. Thread: any.
  std::string prompt_part(int token) const;

 private:
  Generation(ModelLease model, Request request, std::shared_ptr<RequestContext> caller);
  Result<void> charge();
  Result<void> read_prompts();
  Result<void> submit();

  ModelLease model_;  // first: it outlives the sequences
  const Request request_;
  const std::shared_ptr<RequestContext> caller_;
  std::vector<Choice::Terms> terms_;  // of each prompt
  std::vector<std::unique_ptr<Choice>> choices_;
  std::vector<engine::SequenceId> sequences_;  // of the choices
  std::vector<std::string_view> prompt_rules_;
  int unfinished_ = 0;
};

}  // namespace pippin::service
