#include "api/anthropic/errors.h"

#include <algorithm>

#include "service/json.h"

namespace pippin::api::anthropic {
namespace {

struct Mapping {
  Code code;
  int status;
  const char* type;
};

constexpr Mapping kInternal{Code::kInternal, 500, "api_error"};
constexpr Mapping kMappings[] = {
    {Code::kInvalidArgument, 400, "invalid_request_error"},
    {Code::kContextLength, 400, "invalid_request_error"},
    {Code::kNotFound, 404, "not_found_error"},
    {Code::kUnauthenticated, 401, "authentication_error"},
    {Code::kPermissionDenied, 403, "permission_error"},
    {Code::kUnsupported, 400, "invalid_request_error"},
    {Code::kTooLarge, 413, "request_too_large"},
    {Code::kOverloaded, 529, "overloaded_error"},
    {Code::kRateLimited, 429, "rate_limit_error"},
    {Code::kOutOfMemory, 529, "overloaded_error"},
    {Code::kTimeout, 504, "timeout_error"},
    {Code::kCancelled, 499, "api_error"},
    {Code::kUnavailable, 503, "api_error"},
    kInternal,
};

const Mapping& mapping_of(Code code) {
  for (const Mapping& mapping : kMappings) {
    if (mapping.code == code) return mapping;
  }
  return kInternal;
}

std::string_view type_of(int status) {
  if (status == 529) return "overloaded_error";
  for (const Mapping& mapping : kMappings) {
    if (mapping.status == status) return mapping.type;
  }
  return status < 500 ? "invalid_request_error" : "api_error";
}

// As Anthropic's own messages: the field first, unless the text names it anyway.
std::string message_of(const Error& error) {
  if (error.param.empty() || error.message.find(error.param) != std::string::npos)
    return error.message;
  return error.param + ": " + error.message;
}

std::string json_of(std::string_view type, const Error& error, std::string_view request_id) {
  std::string out;
  service::JsonWriter json(out);
  json.begin_object().field("type", "error").key("error").begin_object();
  json.field("type", type).field("message", message_of(error)).end_object();
  if (!request_id.empty()) json.field("request_id", request_id);
  json.end_object();
  return out;
}

}  // namespace

Error error_of(const FieldError& error) {
  return fail(Code::kInvalidArgument, error.message, error.field);
}

std::string error_json(const Error& error, std::string_view request_id) {
  return json_of(mapping_of(error.code).type, error, request_id);
}

Response error_response(const Error& error, std::string_view request_id) {
  Response response;
  response.status = mapping_of(error.code).status;
  response.body = error_json(error, request_id);
  // What does not fit now will not fit later: the memory is planned when the server starts.
  if (error.code == Code::kOutOfMemory && error.param == "model") {
    response.headers.emplace_back("x-should-retry", "false");
  } else if (response.status == 529 || response.status == 503 || response.status == 429) {
    response.headers.emplace_back("retry-after", std::to_string(std::max(1, error.retry_after_s)));
  }
  return response;
}

bool may_retry(const Response& response) {
  return std::ranges::none_of(response.headers, [](const auto& header) {
    return header.first == "x-should-retry" && header.second == "false";
  });
}

Response threads_refused(std::string_view request_id) {
  Response response;
  response.status = 400;
  service::JsonWriter json(response.body);
  json.begin_object().field("type", "error").key("error").begin_object();
  json.field("type", "invalid_request_error");
  json.field("message", "thread: conversations are not kept here; send all messages each time.");
  json.key("details").begin_object().field("error_code", "thread_unsupported_request");
  json.key("unsupported").begin_array().string("thread").end_array().end_object().end_object();
  json.field("request_id", request_id).end_object();
  return response;
}

Response error_response(int status, const Error& error) {
  // 503 of the layers below is a full server, which this API has a status of its own for.
  const int own = status == 503 && error.code == Code::kOverloaded ? 529 : status;
  return {own, "application/json", json_of(type_of(own), error, {}), {}};
}

}  // namespace pippin::api::anthropic
