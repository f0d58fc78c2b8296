// The routes of Anthropic's API that need a model. Thread: the worker pool.
#pragma once

#include <functional>
#include <string_view>

#include "api/shared/model_route.h"

namespace pippin::api::anthropic {

/// Returns a handler that serves a request once its model is loaded.
Handler model_route(const Context& context, std::function<void(ApiRequest)> serve);

/// Returns the name by which the pool knows a model. A name of Anthropic's own, which clients have
/// built in, is the default model's, unless ids are strict.
std::string_view pool_name(const Context& context, std::string_view name);

/// Answers with an error.
void refuse(Exchange& exchange, const Error& error);

}  // namespace pippin::api::anthropic
