// Errors in OpenAI's form: {"error":{"message","type","param","code"}} with a status. The one place
// that maps Code to this API.
#pragma once

#include <string>

#include "api/exchange.h"
#include "api/shared/field_reader.h"
#include "base/error.h"

namespace pippin::api::openai {

/// An error as this API sends it. An empty param or code is null.
struct ApiError {
  int status = 500;
  std::string type = "server_error";
  std::string code;
  std::string message;
  std::string param;
  int retry_after_s = 0;  // 0: not known
};

ApiError api_error(const Error& error);
ApiError api_error(const FieldError& error);

/// Returns {"error":{...}}.
std::string error_json(const ApiError& error);
/// Returns the whole answer; 503 and 429 carry Retry-After.
Response error_response(const ApiError& error);
inline Response error_response(const Error& error) { return error_response(api_error(error)); }

}  // namespace pippin::api::openai
