#include "api/anthropic/read_message.h"

#include <limits>
#include <utility>

#include "api/anthropic/read_message_parts.h"
#include "api/shared/sampling.h"
#include "api/shared/thinking.h"
#include "service/json.h"

namespace pippin::api::anthropic {
namespace {

using service::JsonWriter;

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr size_t kStopsMax = 64;

void read_limits(FieldReader& reader, LimitField field, service::Request& request) {
  if (field == LimitField::kRequired && reader.any("max_tokens") == nullptr)
    reader.missing("max_tokens");
  if (const auto limit = reader.integer("max_tokens", 0, kIntMax))
    request.max_tokens = static_cast<int>(*limit);
  read_stop(reader, "stop_sequences", kStopsMax, request.stop);
}

/// What the request says of thinking; nothing means what the model does by itself.
Thinking read_thinking(FieldReader& reader, MessageRequest& asked) {
  Thinking thinking;
  const boost::json::object* object = reader.object("thinking");
  if (object == nullptr) return thinking;
  FieldReader fields(*object, "thinking", reader);
  fields.required_string("type");
  const std::string_view type =
      fields.word("type", {"enabled", "adaptive", "between_tools", "disabled"}).value_or("enabled");
  asked.show_thinking = fields.word("display", {"summarized", "omitted"}) != "omitted";
  thinking.enabled = type != "disabled";
  if (type != "enabled") return thinking;
  if (fields.any("budget_tokens") == nullptr) fields.missing("budget_tokens");
  const auto budget = fields.integer("budget_tokens", 1, kIntMax);
  if (!budget) return thinking;
  thinking.tokens_max = static_cast<int>(*budget);
  if (asked.request.max_tokens && *budget >= *asked.request.max_tokens &&
      *asked.request.max_tokens > 0)
    fields.wrong("budget_tokens",
                 "Invalid 'thinking.budget_tokens': `max_tokens` must be greater than "
                 "`thinking.budget_tokens`.");
  return thinking;
}

void read_format(FieldReader& fields, std::string_view name, service::Request& to) {
  const boost::json::object* object = fields.object(name);
  if (object == nullptr) return;
  FieldReader format(*object, fields.path_of(name), fields);
  format.required_string("type");
  format.word("type", {"json_schema"});
  const boost::json::object* schema = format.required_object("schema");
  if (schema == nullptr) return;
  service::JsonSchemaFormat wanted;
  JsonWriter(wanted.schema_json).value(*schema);
  to.format = std::move(wanted);
  to.format_field = format.path_of("schema");
}

void read_output(FieldReader& reader, Thinking& thinking, service::Request& request) {
  read_format(reader, "output_format", request);  // its older name
  const boost::json::object* object = reader.object("output_config");
  if (object == nullptr) return;
  FieldReader config(*object, "output_config", reader);
  if (const auto effort = config.word("effort", {"low", "medium", "high", "xhigh", "max"}))
    thinking.effort = find_effort(*effort);
  read_format(config, "format", request);
}

// What is checked and then has no effect here; docs/anthropic.md says why for each.
void read_without_effect(FieldReader& reader) {
  reader.word("service_tier", {"auto", "standard_only"});
  reader.word("speed", {"standard", "fast"});
  reader.string("inference_geo");
  reader.string("user_profile_id");
  const boost::json::object* metadata = reader.object("metadata");
  if (metadata == nullptr) return;
  FieldReader fields(*metadata, "metadata", reader);
  fields.string("user_id");
}

// What would run at Anthropic's.
void skip_hosted(FieldReader& reader, MessageRequest& asked) {
  const boost::json::array* servers = reader.array("mcp_servers");
  if (servers != nullptr && !servers->empty())
    asked.warnings.push_back({"unsupported_tool", "mcp_servers",
                              "MCP servers are not called from here; they are left out."});
  if (reader.any("container") != nullptr)
    asked.warnings.push_back(
        {"unsupported_tool", "container", "There are no containers here; it is left out."});
}

}  // namespace

MessageRequest read_message(FieldReader& reader, const service::Model& model, const Signer& signer,
                            LimitField limit) {
  MessageRequest asked;
  service::Conversation conversation;
  read_conversation(reader, signer, asked, conversation);
  read_tools(reader, asked, conversation);
  read_cache_control(reader, asked);
  read_limits(reader, limit, asked.request);
  read_sampling(reader, model, asked.request);
  Thinking thinking = read_thinking(reader, asked);
  read_output(reader, thinking, asked.request);
  JsonWriter json(conversation.template_kwargs_json);
  json.begin_object();
  apply_thinking(thinking, model, nullptr, json, asked.request);
  json.end_object();
  read_without_effect(reader);
  skip_hosted(reader, asked);
  asked.manages_context = reader.object("context_management") != nullptr;
  asked.stream = reader.boolean("stream").value_or(false);
  asked.request.prompts.emplace_back(std::move(conversation));
  return asked;
}

}  // namespace pippin::api::anthropic
