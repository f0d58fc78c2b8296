#include "api/openai/errors.h"

#include <algorithm>

#include "service/json.h"

namespace pippin::api::openai {
namespace {

struct Mapping {
  Code code;
  int status;
  const char* type;
  const char* openai_code;  // "" = null
};

constexpr const char* kRequestError = "invalid_request_error";
constexpr const char* kServerError = "server_error";

constexpr Mapping kMappings[] = {
    {Code::kInvalidArgument, 400, kRequestError, "invalid_value"},
    {Code::kContextLength, 400, kRequestError, "context_length_exceeded"},
    {Code::kNotFound, 404, kRequestError, "not_found"},
    {Code::kUnauthenticated, 401, kRequestError, "invalid_api_key"},
    {Code::kPermissionDenied, 403, kRequestError, "permission_denied"},
    {Code::kUnsupported, 400, kRequestError, "unsupported_parameter"},
    {Code::kInvalidFile, 500, kServerError, ""},
    {Code::kTooLarge, 413, kRequestError, "request_too_large"},
    {Code::kOverloaded, 503, kServerError, "overloaded"},
    {Code::kRateLimited, 429, "rate_limit_error", "rate_limit_exceeded"},
    {Code::kOutOfMemory, 503, kServerError, "out_of_memory"},
    {Code::kTimeout, 504, kServerError, "timeout"},
    {Code::kCancelled, 499, kRequestError, "cancelled"},
    {Code::kUnavailable, 503, kServerError, "unavailable"},
    {Code::kInternal, 500, kServerError, ""},
};

}  // namespace

ApiError api_error(const Error& error) {
  for (const Mapping& mapping : kMappings) {
    if (mapping.code != error.code) continue;
    const bool model = error.code == Code::kNotFound && error.param == "model";
    return {mapping.status, mapping.type, model ? "model_not_found" : mapping.openai_code,
            error.message,  error.param,  error.retry_after_s};
  }
  return {500, kServerError, "", error.message, error.param, error.retry_after_s};
}

ApiError api_error(const FieldError& error) {
  return {400, kRequestError, error.code, error.message, error.field};
}

std::string error_json(const ApiError& error) {
  std::string out;
  service::JsonWriter json(out);
  const auto text_or_null = [&](const char* name, const std::string& text) {
    json.key(name);
    if (text.empty()) {
      json.null();
    } else {
      json.string(text);
    }
  };
  json.begin_object().key("error").begin_object();
  json.field("message", error.message).field("type", error.type);
  text_or_null("param", error.param);
  text_or_null("code", error.code);
  json.end_object().end_object();
  return out;
}

Response error_response(const ApiError& error) {
  Response response;
  response.status = error.status;
  response.body = error_json(error);
  if (error.status == 503 || error.status == 429)
    response.headers.emplace_back("retry-after", std::to_string(std::max(1, error.retry_after_s)));
  return response;
}

}  // namespace pippin::api::openai
