// Errors in Ollama's form: {"error": ".."} with a status. Thread: any.
#pragma once

#include <string>
#include <string_view>

#include "api/exchange.h"
#include "api/shared/field_reader.h"
#include "base/error.h"

namespace pippin::api::ollama {

std::string error_json(std::string_view message);
Response error_response(const Error& error);
Response error_response(const FieldError& error);

}  // namespace pippin::api::ollama
