// POST /models/load and /models/unload, also with /v1 before.
#include <chrono>
#include <utility>

#include "api/llama/llama.h"
#include "api/openai/call.h"
#include "api/openai/errors.h"
#include "api/wire/body.h"
#include "api/wire/model_access.h"
#include "api/wire/model_status.h"

namespace pippin::api::llama {
namespace {

void respond_status(Exchange& exchange, const Result<service::ModelStatus>& status) {
  if (!status.ok()) return exchange.respond(openai::error_response(status.error()));
  Response response;
  service::JsonWriter json(response.body);
  json.begin_object().field("success", true).field("model", status->sheet.id);
  json.key("status");
  write_status(json, *status);
  json.end_object();
  exchange.respond(std::move(response));
}

}  // namespace

Handler load_model(const Context& context) {
  return openai::with_call(
      context, [&context](const std::shared_ptr<Exchange>& exchange, const openai::Call& call) {
        respond_status(*exchange, context.models.look(call.model->id));
      });
}

Handler unload_model(const Context& context) {
  return [&context](const std::shared_ptr<Exchange>& exchange) {
    const Result<boost::json::object> body = read_body(context, exchange->request());
    if (!body.ok()) return exchange->respond(openai::unreadable(body.error()));
    FieldReader reader(*body);
    const std::string_view name = reader.required_string("model").value_or("");
    if (!reader.ok())
      return exchange->respond(openai::error_response(openai::wire_error(*reader.error())));
    const Result<void> allowed = check_model(context, exchange->request().caller.get(), name);
    if (!allowed.ok()) return exchange->respond(openai::error_response(allowed.error()));
    const Result<service::ModelState> state = context.models.unload(name);
    if (!state.ok()) return exchange->respond(openai::error_response(state.error()));
    respond_status(*exchange, context.models.look(name));
  };
}

}  // namespace pippin::api::llama
