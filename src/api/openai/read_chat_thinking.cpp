#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "api/openai/read_chat_parts.h"
#include "api/shared/thinking.h"
#include "service/json.h"

namespace pippin::api::openai {
namespace {

using service::Conversation;

// Names that the template's context holds already.
constexpr std::string_view kContextNames[] = {"messages", "tools", "documents",
                                              "add_generation_prompt"};

const Effort* read_effort(FieldReader& reader, std::string_view field) {
  const std::optional<std::string_view> name = reader.string(field);
  if (!name) return nullptr;
  if (const Effort* found = find_effort(*name)) return found;
  reader.wrong(field, fmt::format("Invalid value: '{}'. Supported values are: 'none', 'minimal', "
                                  "'low', 'medium', 'high' and 'xhigh'.",
                                  *name));
  return nullptr;
}

// A limit of thinking tokens; -1 means none.
void read_budget(FieldReader& reader, std::string_view field, Thinking& to) {
  const auto limit = reader.integer(field, -1, std::numeric_limits<int>::max());
  if (limit && *limit >= 0) to.tokens_max = static_cast<int>(*limit);
}

// "thinking": {"type": "enabled", "budget_tokens": 100}, as Anthropic's and DeepSeek's API have it.
void read_thinking_object(FieldReader& reader, Thinking& to) {
  const boost::json::object* object = reader.object("thinking");
  if (object == nullptr) return;
  FieldReader fields(*object, "thinking", reader);
  const auto type = fields.word("type", {"enabled", "adaptive", "disabled"});
  if (type) to.enabled = *type != "disabled";
  read_budget(fields, "budget_tokens", to);
}

// "reasoning": {"effort": "low", "max_tokens": 100, "enabled": true, "exclude": false}, as
// OpenRouter has it.
void read_reasoning_object(FieldReader& reader, Thinking& to, bool& show) {
  const boost::json::object* object = reader.object("reasoning");
  if (object == nullptr) return;
  FieldReader fields(*object, "reasoning", reader);
  if (const Effort* effort = read_effort(fields, "effort")) to.effort = effort;
  if (const std::optional<bool> enabled = fields.boolean("enabled")) to.enabled = enabled;
  read_budget(fields, "max_tokens", to);
  if (fields.boolean("exclude").value_or(false)) show = false;
}

// How thinking is given back: told apart, in the content, or not at all.
void read_form(FieldReader& reader, ChatRequest& chat) {
  if (!reader.boolean("separate_reasoning").value_or(true)) chat.request.reading.reasoning = false;
  if (!reader.boolean("include_reasoning").value_or(true)) chat.options.show_reasoning = false;
  const auto form =
      reader.word("reasoning_format", {"auto", "parsed", "deepseek", "none", "raw", "hidden"});
  if (form == "none" || form == "raw") chat.request.reading.reasoning = false;
  if (form == "hidden") chat.options.show_reasoning = false;
}

}  // namespace

void read_thinking(FieldReader& reader, const service::Model& model, std::string_view verbosity,
                   ChatRequest& chat, Conversation& to) {
  service::JsonWriter json(to.template_kwargs_json);
  json.begin_object();
  const boost::json::object* kwargs = reader.object("chat_template_kwargs");
  if (kwargs != nullptr) {
    for (const auto& [name, value] : *kwargs) {
      if (std::ranges::find(kContextNames, std::string_view(name)) != std::end(kContextNames)) {
        reader.wrong(fmt::format("chat_template_kwargs.{}", std::string_view(name)),
                     fmt::format("Invalid 'chat_template_kwargs': '{}' has a field of its own.",
                                 std::string_view(name)));
      }
      json.key_text(name).value(value);
    }
  }
  if (!verbosity.empty() && (kwargs == nullptr || !kwargs->contains("verbosity")))
    json.field("verbosity", verbosity);
  Thinking thinking;
  thinking.enabled = reader.boolean("enable_thinking");
  thinking.effort = read_effort(reader, "reasoning_effort");
  for (const char* name : {"thinking_budget", "thinking_token_budget", "thinking_budget_tokens"})
    read_budget(reader, name, thinking);
  read_thinking_object(reader, thinking);
  read_reasoning_object(reader, thinking, chat.options.show_reasoning);
  read_form(reader, chat);
  apply_thinking(thinking, model, kwargs, json, chat.request);
  json.end_object();
}

}  // namespace pippin::api::openai
