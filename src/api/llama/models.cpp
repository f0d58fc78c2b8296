// POST /models/load and /models/unload, also with /v1 before.
#include <chrono>
#include <utility>

#include "api/llama/llama.h"
#include "api/openai/errors.h"
#include "api/openai/model_route.h"
#include "api/shared/body.h"
#include "api/shared/model_access.h"
#include "api/shared/model_status.h"
#include "service/models/model_pool.h"

namespace pippin::api::llama {
namespace {

void respond_status(Exchange& exchange, const Result<service::ModelStatus>& status) {
  if (!status.ok()) return exchange.respond(openai::error_response(status.error()));
  Response response;
  service::JsonWriter json(response.body);
  json.begin_object().field("success", true).field("model", status->info.id);
  json.key("status");
  write_status(json, *status);
  json.end_object();
  exchange.respond(std::move(response));
}

// The model is loaded by now.
void serve_load(const ApiRequest& request) {
  respond_status(*request.exchange, request.context.models.look(request.model->id));
}

}  // namespace

Handler load_model(const Context& context) { return openai::model_route(context, serve_load); }

Handler unload_model(const Context& context) {
  return [&context](const std::shared_ptr<Exchange>& exchange) {
    const Result<boost::json::object> body = read_body(context, exchange->request());
    if (!body.ok()) return exchange->respond(openai::body_error(body.error()));
    FieldReader reader(*body);
    const std::string_view name = reader.required_string("model").value_or("");
    if (!reader.ok())
      return exchange->respond(openai::error_response(openai::api_error(*reader.error())));
    const Result<void> allowed = check_model(context, exchange->request().caller.get(), name);
    if (!allowed.ok()) return exchange->respond(openai::error_response(allowed.error()));
    const Result<service::ModelState> state = context.models.unload(name);
    if (!state.ok()) return exchange->respond(openai::error_response(state.error()));
    respond_status(*exchange, context.models.look(name));
  };
}

}  // namespace pippin::api::llama
