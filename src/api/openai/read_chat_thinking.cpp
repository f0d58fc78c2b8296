#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "api/openai/read_chat_parts.h"
#include "service/json.h"

namespace pippin::api::openai {
namespace {

using service::Conversation;

// Names that the template's context holds already.
constexpr std::string_view kContextNames[] = {"messages", "tools", "documents",
                                              "add_generation_prompt"};

/// What reasoning_effort means to a template that knows levels, and to a model that does not: how
/// many tokens of thinking it may spend. -1 = as many as it likes.
struct Effort {
  std::string_view name;
  std::string_view level;  // of the three that templates know; empty: no thinking
  int tokens_max;
};
constexpr Effort kEfforts[] = {
    {"none", "", 0},      {"minimal", "low", 256}, {"low", "low", 1024}, {"medium", "medium", 8192},
    {"high", "high", -1}, {"xhigh", "high", -1},   {"max", "high", -1},
};

/// What a request says of thinking, from whichever field.
struct Thinking {
  std::optional<bool> enabled;
  const Effort* effort = nullptr;
  std::optional<int> tokens_max;
};

const Effort* read_effort(FieldReader& reader, std::string_view field) {
  const std::optional<std::string_view> name = reader.string(field);
  if (!name) return nullptr;
  const Effort* found = std::ranges::find(kEfforts, *name, &Effort::name);
  if (found != std::end(kEfforts)) return found;
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
  const std::optional<std::string_view> type = fields.string("type");
  if (type == "enabled" || type == "adaptive") {
    to.enabled = true;
  } else if (type == "disabled") {
    to.enabled = false;
  } else if (type) {
    fields.wrong("type", fmt::format("Invalid value: '{}'. Supported values are: 'enabled' and "
                                     "'disabled'.",
                                     *type));
  }
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
void read_form(FieldReader& reader, ChatCall& call) {
  if (!reader.boolean("separate_reasoning").value_or(true)) call.request.reading.reasoning = false;
  if (!reader.boolean("include_reasoning").value_or(true)) call.options.show_reasoning = false;
  const std::optional<std::string_view> form = reader.string("reasoning_format");
  if (!form) return;
  if (*form == "none" || *form == "raw") {
    call.request.reading.reasoning = false;
  } else if (*form == "hidden") {
    call.options.show_reasoning = false;
  } else if (*form != "auto" && *form != "parsed" && *form != "deepseek") {
    reader.wrong("reasoning_format",
                 fmt::format("Invalid value: '{}'. Supported values are: 'auto', 'parsed', "
                             "'deepseek', 'none', 'raw' and 'hidden'.",
                             *form));
  }
}

bool template_knows(const service::Model& model, std::string_view variable) {
  return model.chat_template != nullptr &&
         model.chat_template->source().find(variable) != std::string::npos;
}

// Writes the template's variables into `json`, and into the request what no template does.
void apply(const Thinking& thinking, const service::Model& model, const boost::json::object* kwargs,
           service::JsonWriter& json, service::Request& request) {
  const auto add = [&](const char* name, auto value) {
    if (kwargs == nullptr || !kwargs->contains(name)) json.field(name, value);
  };
  std::optional<bool> enabled = thinking.enabled;
  std::optional<int> tokens_max = thinking.tokens_max;
  if (thinking.effort != nullptr) {
    if (thinking.effort->level.empty()) {
      if (!enabled) enabled = false;
    } else if (template_knows(model, "reasoning_effort")) {
      add("reasoning_effort", thinking.effort->level);
    } else if (!tokens_max && thinking.effort->tokens_max >= 0) {
      tokens_max = thinking.effort->tokens_max;
    }
  }
  if (tokens_max == 0 && !enabled) enabled = false;
  if (enabled) {
    add("enable_thinking", *enabled);
    add("thinking", *enabled);
  }
  if (enabled == false) tokens_max = 0;  // where the template cannot, the thinking is closed
  request.reading.reasoning_tokens_max = tokens_max;
}

}  // namespace

void read_thinking(FieldReader& reader, const service::Model& model, ChatCall& call,
                   Conversation& to) {
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
  Thinking thinking;
  thinking.enabled = reader.boolean("enable_thinking");
  thinking.effort = read_effort(reader, "reasoning_effort");
  for (const char* name : {"thinking_budget", "thinking_token_budget", "thinking_budget_tokens"})
    read_budget(reader, name, thinking);
  read_thinking_object(reader, thinking);
  read_reasoning_object(reader, thinking, call.options.show_reasoning);
  read_form(reader, call);
  apply(thinking, model, kwargs, json, call.request);
  json.end_object();
}

}  // namespace pippin::api::openai
