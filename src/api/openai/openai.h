// The OpenAI API: its routes. One file each. Handlers run on the worker pool.
#pragma once

#include "api/context.h"
#include "api/exchange.h"

namespace pippin::api::openai {

/// POST /v1/chat/completions
Handler chat_completions(const Context& context);
/// POST /v1/completions
Handler completions(const Context& context);
/// GET /v1/models
Handler list_models(const Context& context);
/// GET /v1/models/{id...}
Handler get_model(const Context& context);
/// POST /v1/tokenize
Handler tokenize(const Context& context);
/// POST /v1/detokenize
Handler detokenize(const Context& context);

}  // namespace pippin::api::openai
