// GET /props and GET /slots: what the server and its model are, and what is being answered.
#include <algorithm>
#include <optional>
#include <utility>

#include "api/llama/llama.h"
#include "api/llama/samplers.h"
#include "api/openai/errors.h"
#include "api/shared/model_access.h"
#include "api/shared/query.h"
#include "service/chat/template_abilities.h"
#include "service/models/model_pool.h"

namespace pippin::api::llama {
namespace {

using engine::SequenceStatus;
using service::JsonWriter;

// The model that ?model= names, else the first one.
std::string model_named(const Request& request) {
  const Query query(request.query);
  return std::string(query.text("model").value_or("default"));
}

// What the template has words for. Here tools work without them, too.
void write_template(JsonWriter& json, const service::Model& model) {
  const bool has_chat = model.chat_template != nullptr;
  const std::string_view source = has_chat ? model.chat_template->source() : std::string_view();
  const service::TemplateAbilities abilities(source);
  json.field("chat_template", source);
  json.key("chat_template_caps").begin_object();
  json.field("supports_tools", abilities.tools()).field("supports_tool_calls", abilities.calls());
  json.field("supports_system_role", has_chat && abilities.system());
  json.field("supports_reasoning_effort", abilities.effort()).end_object();
}

void write_props(JsonWriter& json, const service::Model& model) {
  json.begin_object().key("default_generation_settings").begin_object();
  service::Request request;
  request.sampling = model.default_sampling;
  request.sampling.penalty_last_n = kPenaltyLastN;
  json.key("params").begin_object();
  write_settings(json, request, sampler_names());
  json.end_object().field("n_ctx", model.context_tokens_max).end_object();
  json.field("total_slots", model.engine->options().rows_max);
  json.field("model_alias", model.id).field("model_path", model.facts.path);
  json.field("model_ftype", model.facts.quantization);
  json.key("modalities").begin_object().field("vision", false).field("video", false);
  json.field("audio", false).end_object();
  json.field("endpoint_slots", true).field("endpoint_props", false).field("endpoint_metrics", true);
  write_template(json, model);
  json.field("bos_token", model.bos_text).field("eos_token", model.eos_text);
  json.field("build_info", "pippin-" PIPPIN_VERSION).field("is_sleeping", false).end_object();
}

void write_slot(JsonWriter& json, int id, int context_tokens, const SequenceStatus* sequence) {
  json.begin_object().field("id", id).field("n_ctx", context_tokens).field("speculative", false);
  json.field("is_processing", sequence != nullptr);
  if (sequence != nullptr) {
    json.field("id_task", sequence->id.value).field("n_prompt_tokens", sequence->prompt_tokens);
    json.field("n_prompt_tokens_processed",
               std::max(0, std::min(sequence->computed_tokens, sequence->prompt_tokens) -
                               sequence->cached_tokens));
    json.field("n_prompt_tokens_cache", sequence->cached_tokens);
    json.key("next_token").begin_array().begin_object().field("has_next_token", true);
    json.field("n_remain", sequence->max_tokens - sequence->generated_tokens);
    json.field("n_decoded", sequence->generated_tokens).end_object().end_array();
  }
  json.end_object();
}

// Looks at a loaded model: a GET, which any page can make a browser send, loads none.
Result<service::ModelLease> lease_named(const Context& context, const Request& request) {
  const std::string name = model_named(request);
  RETURN_IF_ERROR(check_model(context, request.caller.get(), name));
  std::optional<Result<service::ModelLease>> lease = context.models.try_lease(name);
  if (lease) return *std::move(lease);
  return fail(Code::kUnavailable,
              "The model `" + name + "` is not loaded; POST /models/load loads it.", "model");
}

}  // namespace

Handler props(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    const Result<service::ModelLease> model = lease_named(context, exchange->request());
    if (!model.ok()) return exchange->respond(openai::error_response(model.error()));
    Response response;
    JsonWriter json(response.body);
    write_props(json, **model);
    exchange->respond(std::move(response));
  };
}

Handler slots(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    const Request& request = exchange->request();
    const Result<service::ModelLease> lease = lease_named(context, request);
    if (!lease.ok()) return exchange->respond(openai::error_response(lease.error()));
    const service::Model& model = **lease;
    const std::vector<engine::SequenceId> own = context.live->sequences_of(request.caller.get());
    std::vector<SequenceStatus> running = model.engine->sequences();
    std::erase_if(running, [](const SequenceStatus& sequence) {
      return sequence.phase == engine::Phase::kWaiting;
    });
    const size_t busy = running.size();
    std::erase_if(running, [&](const SequenceStatus& sequence) {
      return std::ranges::find(own, sequence.id) == own.end();
    });
    const auto rows = static_cast<size_t>(model.engine->options().rows_max);
    const Query query(request.query);
    if (query.text("fail_on_no_slot") && busy >= rows) {
      return exchange->respond(
          openai::error_response(fail(Code::kUnavailable, "no slot available")));
    }
    Response response;
    JsonWriter json(response.body);
    json.begin_array();
    for (size_t i = 0; i < rows; ++i) {
      write_slot(json, static_cast<int>(i), model.context_tokens_max,
                 i < running.size() ? &running[i] : nullptr);
    }
    json.end_array();
    exchange->respond(std::move(response));
  };
}

}  // namespace pippin::api::llama
