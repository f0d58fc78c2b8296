// The routes of OpenAI's API that need a model, and llama-server's, whose errors have the same
// form. Thread: the worker pool.
#pragma once

#include <cstdint>
#include <functional>

#include "api/shared/model_route.h"

namespace pippin::api::openai {

/// Where `model` need not be named, its absence means the default model.
enum class ModelField : uint8_t { kRequired, kOptional };

/// Returns a handler that serves a request once its model is loaded.
Handler model_route(const Context& context, std::function<void(ApiRequest)> serve,
                    ModelField field = ModelField::kRequired);

/// The answer to a body that cannot be read.
Response body_error(const Error& error);

}  // namespace pippin::api::openai
