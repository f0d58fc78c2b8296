// Errors in Anthropic's form: {"type":"error","error":{"type","message"},"request_id"} with a
// status. The one place that maps Code to this API.
#pragma once

#include <string>
#include <string_view>

#include "api/exchange.h"
#include "api/shared/field_reader.h"
#include "base/error.h"

namespace pippin::api::anthropic {

/// Returns a field's error as an error of the engine or the service.
Error error_of(const FieldError& error);

/// Returns {"type":"error",...}. An empty id is left out.
std::string error_json(const Error& error, std::string_view request_id);

/// Returns the whole answer; what may be tried again carries Retry-After.
Response error_response(const Error& error, std::string_view request_id);

/// Returns whether the same request may be answered later. Anthropic's clients read the same
/// header.
bool may_retry(const Response& response);

/// Refuses a request that goes on from what the server keeps: by these details clients know to send
/// the whole conversation instead.
Response threads_refused(std::string_view request_id);

/// The same for an error whose status another layer has chosen (a limit of HTTP, a missing key).
Response error_response(int status, const Error& error);

}  // namespace pippin::api::anthropic
