// infill: a prompt that asks a model to fill in the middle, by its own tokens. Thread: any.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/model.h"
#include "service/request.h"

namespace pippin::service {

struct Infill {
  std::vector<Token> prompt;
  std::vector<Token> stop_tokens;  // beside the model's own: where another file would begin
};

/// Puts what stands before and behind the gap in the order and between the marks that the model was
/// trained with. Special tokens in `suffix` and in a text before it stay text. Errors:
/// kUnsupported, for a model without such tokens; kInvalidArgument (an id out of range). Requires:
/// `prefix` is no conversation.
Result<Infill> infill(const Model& model, const Prompt& prefix, std::string_view suffix);

}  // namespace pippin::service
