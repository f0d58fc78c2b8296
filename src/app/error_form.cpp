#include "app/error_form.h"

#include "api/anthropic/errors.h"
#include "api/ollama/errors.h"
#include "api/openai/errors.h"

namespace pippin::app {

api::Response error_form(std::string_view path, int status, const Error& error) {
  if (path.starts_with("/v1/messages")) return api::anthropic::error_response(status, error);
  if (path.starts_with("/api/"))
    return {status, "application/json", api::ollama::error_json(error.message), {}};
  const api::openai::WireError wire = api::openai::wire_error(error);
  return {status, "application/json", api::openai::error_json(wire), {}};
}

}  // namespace pippin::app
