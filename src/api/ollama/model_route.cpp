#include "api/ollama/model_route.h"

#include <utility>

#include "api/ollama/errors.h"
#include "api/ollama/writer.h"
#include "api/shared/body.h"

namespace pippin::api::ollama {

constexpr ApiFormat kFormat{
    .error = [](const Error& error, const Request&) { return error_response(error); },
    .field_error = [](const FieldError& error, const Request&) { return error_response(error); },
    .body_error = [](const Error& error, const Request&) { return error_response(error); },
    .event_streams = false,
};

std::optional<boost::json::object> open_body(const Library& library, Exchange& exchange) {
  Result<boost::json::object> body = read_body(library.context(), exchange.request());
  if (body.ok()) return std::move(*body);
  exchange.respond(error_response(body.error()));
  return std::nullopt;
}

std::optional<std::string_view> read_model_name(FieldReader& reader) {
  std::optional<std::string_view> name = reader.string("model");
  if (!name) name = reader.string("name");
  if (!name || name->empty()) {
    reader.missing("model");
    return std::nullopt;
  }
  return name;
}

std::optional<Wanted> find_model(const Library& library, Exchange& exchange, FieldReader& body) {
  const std::optional<std::string_view> name = read_model_name(body);
  if (!name || !body.ok()) return std::nullopt;
  Result<Wanted> wanted = library.find(*name, exchange.request().caller.get());
  if (wanted.ok()) return *std::move(wanted);
  exchange.respond(error_response(wanted.error()));
  return std::nullopt;
}

void respond_line(Exchange& exchange, std::string line, bool stream) {
  if (stream) line += '\n';
  exchange.respond({200, stream ? kStreamType : "application/json", std::move(line), {}});
}

}  // namespace pippin::api::ollama
