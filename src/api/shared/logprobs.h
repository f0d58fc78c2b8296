// Log probabilities in the form that OpenAI's chat and Responses, and Ollama, share. Thread: any.
#pragma once

#include <vector>

#include "service/chat/request.h"
#include "service/json.h"

namespace pippin::api {

/// Writes [{"token": .., "logprob": .., "bytes": .., "top_logprobs": [..]}]; llama-server's form
/// has the tokens' "id", too.
void write_logprobs(service::JsonWriter& json, const std::vector<service::ScoredToken>& tokens,
                    bool with_ids = false);

}  // namespace pippin::api
