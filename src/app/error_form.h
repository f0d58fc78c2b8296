// error_form: the form of errors below the routes, by the wire that a path belongs to.
#pragma once

#include <string_view>

#include "api/exchange.h"
#include "base/error.h"

namespace pippin::app {

/// An http::ErrorForm: Anthropic's below /v1/messages, Ollama's below /api, else OpenAI's.
api::Response error_form(std::string_view path, int status, const Error& error);

}  // namespace pippin::app
