#include "api/openai/call.h"

#include <utility>

#include "api/openai/errors.h"

namespace pippin::api::openai {
namespace {

Response malformed(std::string message) {
  return error_response(
      WireError{400, "invalid_request_error", "invalid_json", std::move(message), {}});
}

}  // namespace

std::optional<Call> open_call(const Context& context, Exchange& exchange, ModelField model_field) {
  const auto refuse = [&](Response response) {
    exchange.respond(std::move(response));
    return std::nullopt;
  };
  const service::Readiness::State state = context.readiness.state();
  if (!state.ready)
    return refuse(
        error_response(fail(Code::kUnavailable, "The server is not ready: " + state.reason)));

  Result<boost::json::value> body = service::parse_json(exchange.request().body, context.json);
  if (!body.ok()) {
    if (body.error().code == Code::kTooLarge) return refuse(error_response(body.error()));
    return refuse(malformed("The body is not JSON: " + body.error().message));
  }
  boost::json::object* object = body->if_object();
  if (object == nullptr) {
    return refuse(
        malformed("The body must be a JSON object, but is " + std::string(type_text(*body)) + "."));
  }
  FieldReader reader(*object);
  std::optional<std::string_view> name = reader.string("model");
  if (!name && model_field == ModelField::kOptional) name = "default";
  if (!name) reader.missing("model");
  if (!reader.ok()) return refuse(error_response(wire_error(*reader.error())));
  Result<service::ModelLease> model = context.models.lease(*name);
  if (!model.ok()) return refuse(error_response(model.error()));
  return Call{std::move(*object), std::move(*model)};
}

void answer_call(const Context& context, std::shared_ptr<Exchange> exchange,
                 const FieldReader& reader, service::ModelLease model, service::Request request,
                 const MakeWriter& make_writer) {
  if (!reader.ok()) return exchange->respond(error_response(wire_error(*reader.error())));
  Result<std::unique_ptr<service::Generation>> generation =
      service::Generation::start(std::move(model), std::move(request));
  if (!generation.ok()) return exchange->respond(error_response(generation.error()));
  std::unique_ptr<AnswerWriter> writer = make_writer(**generation);
  Answer::start(context, std::move(exchange), std::move(*generation), std::move(writer));
}

}  // namespace pippin::api::openai
