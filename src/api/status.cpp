#include "api/routes.h"

namespace pippin::api {
namespace {

void write_engine(service::JsonWriter& json, const engine::EngineStatus& status) {
  json.field("running", status.running).field("waiting", status.waiting);
  json.field("blocks_total", status.blocks_total).field("blocks_free", status.blocks_free);
  json.field("blocks_cached", status.blocks_cached).field("blocks_leased", status.blocks_leased);
  json.field("steps", status.steps).field("preemptions", status.preemptions);
  json.field("prompt_tokens", status.prompt_tokens)
      .field("generated_tokens", status.generated_tokens);
  json.field("prefix_query_tokens", status.prefix_queries)
      .field("prefix_hit_tokens", status.prefix_hits);
}

void write_model(service::JsonWriter& json, const service::Model& model) {
  json.begin_object().field("id", model.id).field("architecture", model.architecture);
  json.field("context_length", model.context_tokens_max);
  json.field("weights_bytes", model.plan.weights_bytes).field("kv_bytes", model.plan.kv_bytes);
  write_engine(json, model.engine->status());
  json.end_object();
}

}  // namespace

Handler status(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    const service::Readiness::State state = context.readiness.state();
    const std::vector<service::ModelLease> models = context.models.lease_all();
    Response response;
    service::JsonWriter json(response.body);
    json.begin_object().field("ready", state.ready);
    if (!state.ready) json.field("reason", state.reason);
    json.key("model");
    if (models.empty()) {
      json.null();
    } else {
      json.string(models.front()->id);
    }
    json.key("models").begin_array();
    for (const service::ModelLease& model : models) write_model(json, *model);
    json.end_array().end_object();
    exchange->respond(std::move(response));
  };
}

}  // namespace pippin::api
