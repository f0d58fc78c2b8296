// The Responses API: its routes. Handlers run on the worker pool.
#pragma once

#include <memory>

#include "api/context.h"
#include "api/exchange.h"
#include "api/openai/responses/runs.h"

namespace pippin::api::openai::responses {

/// POST /v1/responses
Handler create(const Context& context, std::shared_ptr<Runs> runs);
/// POST /v1/responses/input_tokens
Handler count_input_tokens(const Context& context);
/// GET /v1/responses/{id}
Handler retrieve(const Context& context, std::shared_ptr<Runs> runs);
/// DELETE /v1/responses/{id}
Handler remove(const Context& context, std::shared_ptr<Runs> runs);
/// POST /v1/responses/{id}/cancel
Handler cancel(const Context& context, std::shared_ptr<Runs> runs);
/// GET /v1/responses/{id}/input_items
Handler list_input_items(const Context& context);

}  // namespace pippin::api::openai::responses
