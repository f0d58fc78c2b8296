#include "api/openai/call.h"

#include <optional>
#include <string>
#include <utility>

#include "api/openai/errors.h"
#include "api/openai/read_common.h"
#include "api/wire/body.h"
#include "api/wire/model_wait.h"

namespace pippin::api::openai {
namespace {

void open_call(const Context& context, std::shared_ptr<Exchange> exchange, const Then& then,
               ModelField model_field) {
  const RequestTimes times = RequestTimes::begin();
  Result<boost::json::object> body = read_body(context, exchange->request());
  if (!body.ok()) return exchange->respond(unreadable(body.error()));
  FieldReader reader(*body);
  std::optional<std::string_view> named = reader.string("model");
  if (!named && model_field == ModelField::kOptional) named = "default";
  if (!named) reader.missing("model");
  const std::optional<TimePoint> deadline = read_deadline(reader);
  if (!reader.ok()) return exchange->respond(error_response(wire_error(*reader.error())));
  const std::string name(*named);
  WaitForm form{[](const Error& error) { return error_response(error); }};
  form.events = asks_for_stream(*body);
  form.deadline = deadline;
  auto kept = std::make_shared<boost::json::object>(std::move(*body));
  with_model(context, std::move(exchange), name, std::move(form),
             [then, times, deadline, kept = std::move(kept)](std::shared_ptr<Exchange> ready,
                                                             service::ModelLease model) {
               Call call{std::move(*kept), std::move(model), times, deadline};
               call.times.mark_loaded();
               then(std::move(ready), std::move(call));
             });
}

}  // namespace

Response unreadable(const Error& error) {
  WireError wire = wire_error(error);
  if (error.code == Code::kInvalidArgument) wire.code = "invalid_json";
  return error_response(wire);
}

Handler with_call(const Context& context, Then then, ModelField model_field) {
  return [&context, then = std::move(then), model_field](std::shared_ptr<Exchange> exchange) {
    open_call(context, std::move(exchange), then, model_field);
  };
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
