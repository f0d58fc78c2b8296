#include "api/openai/responses/response_object.h"

#include <chrono>

#include "api/openai/responses/read_items.h"
#include "api/shared/logprobs.h"
#include "base/unix_time.h"

namespace pippin::api::openai::responses {
namespace {

using service::JsonWriter;
using Kind = OutputItem::Kind;

void write_usage(JsonWriter& json, const service::Usage& usage) {
  json.begin_object().field("input_tokens", usage.prompt_tokens);
  json.key("input_tokens_details").begin_object();
  json.field("cached_tokens", usage.cached_tokens).field("cache_write_tokens", 0).end_object();
  json.field("output_tokens", usage.completion_tokens);
  json.key("output_tokens_details").begin_object();
  json.field("reasoning_tokens", usage.reasoning_tokens).end_object();
  json.field("total_tokens", usage.prompt_tokens + usage.completion_tokens).end_object();
}

void write_typed_text(JsonWriter& json, const char* type, std::string_view text) {
  json.begin_object().field("type", type).field("text", text).end_object();
}

void write_reasoning(JsonWriter& json, const OutputItem& item, bool with_text) {
  json.key("summary").begin_array();
  if (with_text && item.summary) write_typed_text(json, "summary_text", item.text);
  json.end_array();
  if (!item.summary) {
    json.key("content").begin_array();
    if (with_text) write_typed_text(json, "reasoning_text", item.text);
    json.end_array();
  }
  if (!item.encrypted) return;
  json.field("encrypted_content",
             std::string(kReasoningMark) + (with_text ? item.text : std::string()));
}

}  // namespace

void write_text_part(JsonWriter& json, std::string_view text,
                     const std::vector<service::ScoredToken>& tokens) {
  json.begin_object().field("type", "output_text").field("text", text);
  json.key("annotations").begin_array().end_array().key("logprobs");
  write_logprobs(json, tokens);
  json.end_object();
}

void write_item(JsonWriter& json, const OutputItem& item, std::string_view status, bool with_text) {
  const std::string_view text = with_text ? std::string_view(item.text) : std::string_view();
  json.begin_object();
  switch (item.kind) {
    case Kind::kReasoning:
      json.field("type", "reasoning").field("id", item.id);
      write_reasoning(json, item, with_text);
      break;
    case Kind::kMessage:
      json.field("type", "message").field("id", item.id).field("role", "assistant");
      json.key("content").begin_array();
      if (with_text) write_text_part(json, text, item.tokens);
      json.end_array();
      break;
    case Kind::kCall:
      json.field("type", "function_call").field("id", item.id).field("call_id", item.call_id);
      json.field("name", item.name).field("arguments", text);
      break;
    case Kind::kCustomCall:
      json.field("type", "custom_tool_call").field("id", item.id).field("call_id", item.call_id);
      json.field("name", item.name).field("input", text);
      break;
  }
  if (!item.name_space.empty()) json.field("namespace", item.name_space);
  json.field("status", status).end_object();
}

void write_response(JsonWriter& json, const Frame& frame, const Progress& progress) {
  json.begin_object().field("id", frame.id).field("object", "response");
  json.field("created_at", frame.created_unix_s).field("status", progress.status);
  json.key("completed_at");
  if (progress.status == "completed") {
    json.integer(unix_now_s());
  } else {
    json.null();
  }
  json.key("error");
  if (progress.error_code.empty()) {
    json.null();
  } else {
    json.begin_object().field("code", progress.error_code);
    json.field("message", progress.error_message).end_object();
  }
  json.key("incomplete_details");
  if (progress.incomplete_reason.empty()) {
    json.null();
  } else {
    json.begin_object().field("reason", progress.incomplete_reason).end_object();
  }
  json.field("model", frame.model).key("output").raw(progress.output_json);
  json.raw(std::string_view(frame.echo_json).substr(1, frame.echo_json.size() - 2));
  json.field("store", frame.store).key("usage");
  if (progress.usage) {
    write_usage(json, *progress.usage);
  } else {
    json.null();
  }
  if (!frame.warnings.empty()) write_warnings(json, frame.warnings);
  json.end_object();
}

}  // namespace pippin::api::openai::responses
