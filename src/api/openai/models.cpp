// GET /v1/models and GET /v1/models/{id...}
#include "api/openai/errors.h"
#include "api/openai/openai.h"
#include "api/shared/model_access.h"
#include "api/shared/model_status.h"
#include "service/models/model_pool.h"

namespace pippin::api::openai {
namespace {

// What clients ask before they offer tools, thinking or pictures.
void write_capabilities(service::JsonWriter& json, const service::ModelInfo& model) {
  json.key("capabilities").begin_object();
  json.field("chat", model.chat_template != nullptr).field("completion", true);
  json.field("tools", model.calls_tools()).field("thinking", model.thinks());
  json.field("structured_output", true).field("vision", false).field("audio", false);
  json.end_object();
  model.write_parsers(json);
}

void write_model(service::JsonWriter& json, const service::ModelStatus& status) {
  const service::ModelInfo& model = status.info;
  json.begin_object().field("id", model.id).field("object", "model");
  json.field("created", model.created_unix_s).field("owned_by", "pippin");
  // Beyond OpenAI's form: what local clients look for. max_model_len is vLLM's name for it.
  json.field("context_length", model.context_tokens_max)
      .field("max_model_len", model.context_tokens_max);
  write_capabilities(json, model);
  json.key("aliases").begin_array();
  for (const std::string& alias : model.aliases) json.string(alias);
  json.end_array().key("status");
  write_status(json, status);
  json.end_object();
}

}  // namespace

Handler list_models(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    Response response;
    service::JsonWriter json(response.body);
    json.begin_object().field("object", "list").key("data").begin_array();
    const RequestContext* caller = exchange->request().caller.get();
    for (const service::ModelStatus& model : usable(caller, context.models.list()))
      write_model(json, model);
    json.end_array().end_object();
    exchange->respond(std::move(response));
  };
}

Handler get_model(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    const auto& captures = exchange->request().captures;
    const std::string name = captures.empty() ? std::string() : captures.front();
    const Result<void> allowed = check_model(context, exchange->request().caller.get(), name);
    if (!allowed.ok()) return exchange->respond(error_response(allowed.error()));
    const Result<service::ModelStatus> model = context.models.look(name);
    if (!model.ok()) return exchange->respond(error_response(model.error()));
    Response response;
    service::JsonWriter json(response.body);
    write_model(json, *model);
    exchange->respond(std::move(response));
  };
}

}  // namespace pippin::api::openai
