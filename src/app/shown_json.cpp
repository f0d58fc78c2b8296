#include "app/model_output.h"
#include "app/shown_model.h"
#include "service/chat/template_abilities.h"
#include "service/json.h"

namespace pippin::app {
namespace {

using service::JsonWriter;
using service::ModelFacts;
using service::ModelInfo;

void write_facts(JsonWriter& json, const ModelFacts& facts) {
  json.field("format", facts.format).field("architecture", facts.architecture);
  json.field("quantization", facts.quantization);
  json.field("quantization_method", facts.quantization_method);
  json.field("parameters", facts.parameters).field("active_parameters", facts.active_parameters);
  json.field("experts", facts.experts).field("experts_used", facts.experts_used);
  json.field("weights_bytes", facts.weights_bytes);
  json.key("bits_per_weight").number(facts.bits_per_weight());
  json.field("layers", facts.layers).field("embedding_length", facts.embedding);
  json.field("vocab_size", facts.vocab);
  json.key("context").begin_object().field("tokens", facts.context.tokens);
  json.field("trained_tokens", facts.context.trained_tokens);
  json.field("rope_scaling", facts.context.rope_scaling);
  json.key("rope_factor").number(facts.context.rope_factor).end_object();
  json.field("license", facts.license).field("license_text", facts.license_text);
}

void write_template(JsonWriter& json, const ModelInfo& info) {
  json.key("chat_template");
  if (info.chat_template == nullptr) {
    json.null();
    return;
  }
  const service::TemplateAbilities abilities(info.chat_template->source());
  json.begin_object().field("tools", abilities.tools()).field("tool_calls", abilities.calls());
  json.field("system_role", abilities.system()).field("images", abilities.images());
  json.key("thinking_variables").begin_array();
  for (const std::string_view name : abilities.thinking_variables()) json.string(name);
  json.end_array().key("reasoning_efforts").begin_array();
  if (abilities.effort())
    for (const char* level : {"low", "medium", "high"}) json.string(level);
  json.end_array().end_object();
}

void write_abilities(JsonWriter& json, const ModelInfo& info) {
  json.key("capabilities").begin_array();
  for (const std::string_view able : info.capabilities()) json.string(able);
  json.end_array();
  json.field("vision_in_model", info.facts.sees).field("vision_served", false);
  write_template(json, info);
  info.write_parsers(json);
}

void write_sampling(JsonWriter& json, const service::ModelDescription& described) {
  const std::vector<SamplingDefault> options = sampling_defaults_of(described);
  json.key("sampling").begin_object();
  for (const SamplingDefault& option : options) {
    json.key(option.name);
    if (option.is_whole) {
      json.integer(static_cast<int64_t>(option.value));
    } else {
      json.number(static_cast<float>(option.value));
    }
  }
  json.key("of_the_model").begin_array();
  for (const SamplingDefault& option : options)
    if (option.in_file) json.string(option.name);
  json.end_array().end_object();
}

void write_kv(JsonWriter& json, const ShownModel& shown) {
  json.key("kv").begin_object().field("type", shown.described.sizing->needs.kv_type);
  json.key("groups").begin_array();
  for (const service::KvGroupFacts& group : shown.groups()) {
    json.begin_object().field("kind", group.kind).field("layers", group.layers);
    json.field("window", group.window).field("latent_values", group.latent_values);
    json.field("bytes_per_token", group.bytes_per_token);
    json.field("bytes_per_sequence", group.bytes_per_sequence).end_object();
  }
  json.end_array().end_object();
}

void write_plan(JsonWriter& json, const ShownModel& shown) {
  json.key("served");
  if (!shown.plan) {
    json.begin_object().field("error", shown.plan_error).end_object();
    return;
  }
  const service::MemoryPlan& plan = *shown.plan;
  json.begin_object().field("context_tokens", plan.context_tokens_max);
  json.field("weights_bytes", plan.weights_bytes).field("kv_bytes", plan.kv_bytes);
  json.field("scratch_bytes", plan.scratch_bytes).field("bytes", plan.bytes_total());
  json.field("kv_tokens", plan.positions()).end_object();
}

void write_memory(JsonWriter& json, const ShownModel& shown) {
  json.key("memory").begin_object().field("device", shown.device);
  json.field("budget_bytes", shown.budget_bytes).key("contexts").begin_array();
  for (const service::MemoryAt& at : shown.memory) {
    json.begin_object().field("context_tokens", at.context_tokens);
    json.field("weights_bytes", at.weights_bytes).field("kv_bytes", at.kv_bytes);
    json.field("scratch_bytes", at.scratch_bytes).field("bytes", at.bytes());
    json.field("fits", at.fits).end_object();
  }
  json.end_array();
  write_plan(json, shown);
  json.end_object();
}

}  // namespace

std::string ShownModel::to_json() const {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  write_identity(json, model);
  json.field("servable", described.unserved.empty());
  if (!described.unserved.empty()) json.field("error", described.unserved);
  write_facts(json, described.info.facts);
  write_abilities(json, described.info);
  if (described.unserved.empty()) write_sampling(json, described);
  if (described.sizing) {
    write_kv(json, *this);
    write_memory(json, *this);
  }
  json.end_object();
  return text;
}

}  // namespace pippin::app
