// stream_answer: one request against a model in this process, its text shown as it comes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "service/chat/request.h"
#include "service/models/model_pool.h"

namespace pippin::app {

struct Answer {
  std::string text;  // without the thinking
  service::FinishReason reason = service::FinishReason::kStop;
  service::Usage usage;
  double first_token_s = 0;  // from the request to the first text
  double decode_s = 0;       // from there to the end
};

/// What a piece of an answer is.
enum class Voice : uint8_t { kThinking, kAnswer };

/// Generates until the end, or until an interrupt is pending (then the reason is kCancelled).
/// `show` returns false when nobody reads any more, which cancels, too. Errors: of
/// Generation::start, and those that ended the answer. Thread: the main thread.
Result<Answer> stream_answer(service::ModelPool& models, service::Request request,
                             const std::function<bool(Voice, std::string_view)>& show);

}  // namespace pippin::app
