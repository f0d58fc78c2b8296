// fit: leaves out a conversation's oldest turns until it fits the model's context. Thread: any.
#pragma once

#include "base/result.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::openai::responses {

/// Keeps the instructions at the start and the last turn; a turn begins with a user's message. If
/// even that is too long nothing is left out, and the generation refuses it. Errors: of
/// prompt_tokens(). Requires: the request's one prompt is a Conversation. Cost: renders the
/// conversation O(log turns) times.
Result<void> fit(const service::Model& model, service::Request& request);

}  // namespace pippin::api::openai::responses
