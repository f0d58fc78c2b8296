#include "api/openai/envelope.h"

#include "api/shared/names.h"
#include "base/unix_time.h"

namespace pippin::api::openai {
namespace {

void write_usage(service::JsonWriter& json, const service::Usage& usage) {
  json.begin_object().field("prompt_tokens", usage.prompt_tokens);
  json.field("completion_tokens", usage.completion_tokens);
  json.field("total_tokens", usage.prompt_tokens + usage.completion_tokens);
  json.key("prompt_tokens_details")
      .begin_object()
      .field("cached_tokens", usage.cached_tokens)
      .end_object();
  json.key("completion_tokens_details")
      .begin_object()
      .field("reasoning_tokens", usage.reasoning_tokens)
      .end_object();
  json.end_object();
}

}  // namespace

Envelope::Envelope(std::string_view id_prefix, std::string_view object, const service::Model& model,
                   bool include_usage, std::string_view service_tier)
    : id_(new_id(id_prefix)), include_usage_(include_usage) {
  service::JsonWriter json(head_);
  json.begin_object().field("id", id_).field("object", object);
  json.field("created", unix_now_s());
  json.field("model", model.id).field("system_fingerprint", model.fingerprint);
  if (!service_tier.empty()) json.field("service_tier", service_tier);
  json.key("choices").begin_array();
}

void Envelope::open_chunk(std::string& out) const {
  out += "data: ";
  out += head_;
}

void Envelope::close_chunk(std::string& out, const service::Usage* so_far,
                           std::string_view tail) const {
  if (so_far != nullptr) {
    out += "],\"usage\":";
    service::JsonWriter json(out);
    write_usage(json, *so_far);
  } else {
    out += include_usage_ ? "],\"usage\":null" : "]";
  }
  out += tail;
  out += "}\n\n";
}

void Envelope::end_stream(const service::Usage& usage, std::string& out) const {
  if (include_usage_) {
    open_chunk(out);
    out += "],\"usage\":";
    service::JsonWriter json(out);
    write_usage(json, usage);
    out += "}\n\n";
  }
  out += "data: [DONE]\n\n";
}

void Envelope::open_object(std::string& out) const { out += head_; }

void Envelope::close_object(const service::Usage& usage, std::string& out,
                            std::string_view tail) const {
  out += "],\"usage\":";
  service::JsonWriter json(out);
  write_usage(json, usage);
  out += tail;
  out += '}';
}

void write_finish_reason(service::JsonWriter& json, std::optional<service::FinishReason> reason) {
  json.key("finish_reason");
  if (!reason) {
    json.null();
  } else {
    json.string(*reason == service::FinishReason::kLength ? "length" : "stop");
  }
}

}  // namespace pippin::api::openai
