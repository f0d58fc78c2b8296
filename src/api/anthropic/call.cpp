#include "api/anthropic/call.h"

#include <utility>

#include "api/anthropic/errors.h"
#include "api/wire/body.h"
#include "api/wire/field_reader.h"

namespace pippin::api::anthropic {

std::optional<Call> open_call(const Context& context, Exchange& exchange) {
  Result<boost::json::object> body = read_body(context, exchange.request());
  if (!body.ok()) {
    refuse(exchange, body.error());
    return std::nullopt;
  }
  FieldReader reader(*body);
  const std::optional<std::string_view> name = reader.required_string("model");
  if (!reader.ok()) {
    refuse(exchange, error_of(*reader.error()));
    return std::nullopt;
  }
  Result<service::ModelLease> model = lease_model(context, *name);
  if (!model.ok()) {
    refuse(exchange, model.error());
    return std::nullopt;
  }
  return Call{std::move(*body), std::move(*model)};
}

Result<service::ModelLease> lease_model(const Context& context, std::string_view name) {
  Result<service::ModelLease> model = context.models.lease(name);
  const bool unknown = !model.ok() && model.error().code == Code::kNotFound;
  if (!unknown || context.strict_model_ids || !name.starts_with("claude")) return model;
  return context.models.lease("default");
}

void refuse(Exchange& exchange, const Error& error) {
  exchange.respond(error_response(error, exchange.request().id));
}

}  // namespace pippin::api::anthropic
