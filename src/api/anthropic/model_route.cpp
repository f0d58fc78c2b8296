#include "api/anthropic/model_route.h"

#include <optional>
#include <string>
#include <utility>

#include "api/anthropic/errors.h"
#include "api/anthropic/writer.h"
#include "service/models/model_pool.h"

namespace pippin::api::anthropic {
namespace {

// An error of a prompt is one of this API's messages.
Response error_of_request(const Error& error, const Request& request) {
  if (error.param != "prompt" && error.param != "continue_final_message")
    return error_response(error, request.id);
  Error renamed = error;
  renamed.param = "messages";
  return error_response(renamed, request.id);
}

constexpr ApiFormat kFormat{
    .error = error_of_request,
    .field_error =
        [](const FieldError& error, const Request& request) {
          return error_response(error_of(error), request.id);
        },
    .body_error = [](const Error& error,
                     const Request& request) { return error_response(error, request.id); },
    .ping = kPing,
    .error_event = "event: error\ndata: ",
};

std::optional<ModelChoice> choose_model(const Context& context, FieldReader& body) {
  const std::optional<std::string_view> named = body.required_string("model");
  if (!body.ok()) return std::nullopt;
  return ModelChoice{.name = std::string(pool_name(context, *named))};
}

}  // namespace

Handler model_route(const Context& context, std::function<void(ApiRequest)> serve) {
  const auto choose = [&context](Exchange&, FieldReader& body) {
    return choose_model(context, body);
  };
  return make_handler(context, {kFormat, choose, std::move(serve)});
}

std::string_view pool_name(const Context& context, std::string_view name) {
  if (context.strict_model_ids || !name.starts_with("claude")) return name;
  return context.models.knows(name) ? name : "default";
}

void refuse(Exchange& exchange, const Error& error) {
  exchange.respond(error_response(error, exchange.request().id));
}

}  // namespace pippin::api::anthropic
