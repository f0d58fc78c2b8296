#include "app/error_form.h"

#include "api/anthropic/errors.h"
#include "api/ollama/errors.h"
#include "http/server.h"

namespace pippin::app {

api::Response error_form(std::string_view path, int status, const Error& error) {
  if (path.starts_with("/v1/messages")) return api::anthropic::error_response(status, error);
  if (path.starts_with("/api/"))
    return {status, "application/json", api::ollama::error_json(error.message), {}};
  return http::openai_error_form(path, status, error);
}

}  // namespace pippin::app
