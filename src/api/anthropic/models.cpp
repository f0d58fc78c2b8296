// GET /v1/models and GET /v1/models/{id...} in Anthropic's form.
#include <utility>

#include "api/anthropic/anthropic.h"
#include "api/anthropic/model_route.h"
#include "api/anthropic/page.h"
#include "api/shared/model_access.h"
#include "api/shared/model_status.h"
#include "service/json.h"
#include "service/models/model_pool.h"

namespace pippin::api::anthropic {
namespace {

void write_support(service::JsonWriter& json, std::string_view name, bool supported) {
  json.key(name).begin_object().field("supported", supported).end_object();
}

void write_capabilities(service::JsonWriter& json, const service::ModelInfo& model) {
  const bool thinks = model.chat_template != nullptr && model.reasoning_dialect != nullptr;
  json.key("capabilities").begin_object();
  for (const char* absent : {"citations", "code_execution", "image_input", "pdf_input"})
    write_support(json, absent, false);
  write_support(json, "batch", true);
  write_support(json, "structured_outputs", true);
  json.key("context_management").begin_object().field("supported", false).end_object();
  json.key("server_tools").begin_object().field("supported", false);
  write_support(json, "code_execution", false);
  write_support(json, "web_search", false);
  json.end_object();
  json.key("effort").begin_object().field("supported", thinks);
  for (const char* level : {"low", "medium", "high", "xhigh", "max"})
    write_support(json, level, thinks);
  json.end_object();
  json.key("thinking").begin_object().field("supported", thinks);
  json.key("types").begin_object();
  for (const char* type : {"enabled", "adaptive", "between_tools", "disabled"})
    write_support(json, type, thinks);
  json.end_object().end_object().end_object();
}

void write_model(service::JsonWriter& json, const service::ModelStatus& status) {
  const service::ModelInfo& model = status.info;
  json.begin_object().field("type", "model").field("id", model.id);
  json.field("display_name", model.id);
  json.field("created_at", time_text(model.created_unix_s));
  json.field("lifecycle", "active").field("max_input_tokens", model.context_tokens_max);
  json.field("max_tokens",
             model.output_tokens_max > 0 ? model.output_tokens_max : model.context_tokens_max);
  write_capabilities(json, model);
  json.key("status");
  write_status(json, status);
  json.end_object();
}

bool is_anthropic(const Request& request) { return !request.header("anthropic-version").empty(); }

}  // namespace

Handler list_models(const Context& context, Handler other) {
  return [&context, other = std::move(other)](std::shared_ptr<Exchange> exchange) {
    if (!is_anthropic(exchange->request())) return other(std::move(exchange));
    respond_page(
        *exchange, usable(exchange->request().caller.get(), context.models.list()),
        [](const service::ModelStatus& model) -> const std::string& { return model.info.id; },
        write_model);
  };
}

Handler get_model(const Context& context, Handler other) {
  return [&context, other = std::move(other)](std::shared_ptr<Exchange> exchange) {
    const Request& request = exchange->request();
    if (!is_anthropic(request)) return other(std::move(exchange));
    const std::string_view name =
        request.captures.empty() ? std::string_view() : request.captures.front();
    const std::string_view known = pool_name(context, name);
    const Result<void> allowed = check_model(context, request.caller.get(), known);
    if (!allowed.ok()) return refuse(*exchange, allowed.error());
    const Result<service::ModelStatus> model = context.models.look(known);
    if (!model.ok()) return refuse(*exchange, model.error());
    Response response;
    service::JsonWriter json(response.body);
    write_model(json, *model);
    exchange->respond(std::move(response));
  };
}

}  // namespace pippin::api::anthropic
