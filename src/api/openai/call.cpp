#include "api/openai/call.h"

#include <utility>

#include "api/openai/errors.h"
#include "api/wire/body.h"

namespace pippin::api::openai {
namespace {

Response unreadable(const Error& error) {
  WireError wire = wire_error(error);
  if (error.code == Code::kInvalidArgument) wire.code = "invalid_json";
  return error_response(wire);
}

}  // namespace

std::optional<Call> open_call(const Context& context, Exchange& exchange, ModelField model_field) {
  const auto refuse = [&](Response response) {
    exchange.respond(std::move(response));
    return std::nullopt;
  };
  Result<boost::json::object> body = read_body(context, exchange.request());
  if (!body.ok()) return refuse(unreadable(body.error()));
  FieldReader reader(*body);
  std::optional<std::string_view> name = reader.string("model");
  if (!name && model_field == ModelField::kOptional) name = "default";
  if (!name) reader.missing("model");
  if (!reader.ok()) return refuse(error_response(wire_error(*reader.error())));
  Result<service::ModelLease> model = context.models.lease(*name);
  if (!model.ok()) return refuse(error_response(model.error()));
  return Call{std::move(*body), std::move(*model)};
}

void answer_call(const Context& context, std::shared_ptr<Exchange> exchange,
                 const FieldReader& reader, service::ModelLease model, service::Request request,
                 const MakeWriter& make_writer) {
  if (!reader.ok()) return exchange->respond(error_response(wire_error(*reader.error())));
  Result<std::unique_ptr<service::Generation>> generation =
      service::Generation::start(std::move(model), std::move(request), exchange->request().caller);
  if (!generation.ok()) return exchange->respond(error_response(generation.error()));
  std::unique_ptr<AnswerWriter> writer = make_writer(**generation);
  Answer::start(context, std::move(exchange), std::move(*generation), std::move(writer));
}

}  // namespace pippin::api::openai
