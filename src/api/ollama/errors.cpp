#include "api/ollama/errors.h"

#include "api/openai/errors.h"
#include "service/json.h"

namespace pippin::api::ollama {
namespace {

// The statuses are those of the OpenAI API, so that one table decides.
Response response_of(const openai::ApiError& api_error) {
  Response response = openai::error_response(api_error);
  response.body = error_json(api_error.message);
  return response;
}

}  // namespace

std::string error_json(std::string_view message) {
  std::string out;
  service::JsonWriter(out).begin_object().field("error", message).end_object();
  return out;
}

Response error_response(const Error& error) { return response_of(openai::api_error(error)); }
Response error_response(const FieldError& error) { return response_of(openai::api_error(error)); }

}  // namespace pippin::api::ollama
