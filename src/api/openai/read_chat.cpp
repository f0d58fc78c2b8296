#include "api/openai/read_chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "service/json.h"

namespace pippin::api::openai {
namespace {

using service::Conversation;
using service::Message;
using service::Role;

constexpr size_t kToolsMax = 512;
constexpr size_t kToolNameMax = 64;
constexpr int kTopLogprobsMax = 20;

constexpr std::pair<std::string_view, Role> kRoles[] = {
    {"system", Role::kSystem},       {"developer", Role::kDeveloper}, {"user", Role::kUser},
    {"assistant", Role::kAssistant}, {"tool", Role::kTool},           {"function", Role::kTool},
};

constexpr RefusedField kRefused[] = {
    {"functions", "use 'tools'"},
    {"function_call", "use 'tools' and 'tool_choice'"},
    {"audio", "audio output is not supported"},
    {"web_search_options", "there is no web search here"},
    {"continue_final_message", "continuing a message is not supported yet"},
};

// Names that the template's context holds already.
constexpr std::string_view kContextNames[] = {"messages", "tools", "documents",
                                              "add_generation_prompt"};

std::optional<Role> read_role(FieldReader& message) {
  const std::optional<std::string_view> name = message.string("role");
  if (!name) {
    if (message.any("role") == nullptr) message.missing("role");
    return std::nullopt;
  }
  for (const auto& [known, role] : kRoles) {
    if (known == *name) return role;
  }
  message.wrong(
      "role",
      fmt::format("Invalid value: '{}'. Supported values are: 'system', 'developer', 'user', "
                  "'assistant' and 'tool'.",
                  *name));
  return std::nullopt;
}

void read_part(FieldReader& message, const std::string& name, const boost::json::value& value,
               Message& to) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return message.wrong_type(name, "an object", value);
  FieldReader part(*object, message.path_of(name), message);
  const std::optional<std::string_view> type = part.string("type");
  if (!type) {
    if (part.any("type") == nullptr) part.missing("type");
    return;
  }
  if (*type != "text" && *type != "refusal") {
    return part.wrong(
        "type", fmt::format("Unsupported content part '{}': this model reads text only.", *type),
        "unsupported_value");
  }
  const std::optional<std::string_view> text = part.string(*type);
  if (text) {
    to.parts.emplace_back(service::TextPart{std::string(*text)});
  } else if (part.any(*type) == nullptr) {
    part.missing(*type);
  }
}

void read_content(FieldReader& message, Message& to) {
  const boost::json::value* content = message.any("content");
  if (content == nullptr) {
    if (to.role != Role::kAssistant) message.missing("content");
    return;
  }
  if (const auto* text = content->if_string()) {
    to.parts.emplace_back(service::TextPart{std::string(text->data(), text->size())});
    return;
  }
  const boost::json::array* parts = content->if_array();
  if (parts == nullptr)
    return message.wrong_type("content", "a string or an array of content parts", *content);
  for (size_t i = 0; i < parts->size(); ++i)
    read_part(message, fmt::format("content[{}]", i), (*parts)[i], to);
}

std::string read_arguments(FieldReader& function) {
  const boost::json::value* arguments = function.any("arguments");
  if (arguments == nullptr) return "{}";
  if (const auto* text = arguments->if_string()) return {text->data(), text->size()};
  if (!arguments->is_object()) function.wrong_type("arguments", "a string", *arguments);
  std::string out;  // some clients send the object itself
  service::JsonWriter(out).value(*arguments);
  return out;
}

void read_tool_call(FieldReader& message, const std::string& name, const boost::json::value& value,
                    Message& to) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return message.wrong_type(name, "an object", value);
  FieldReader call(*object, message.path_of(name), message);
  const boost::json::object* inner = call.object("function");
  if (inner == nullptr) return call.missing("function");
  FieldReader function(*inner, call.path_of("function"), call);
  const std::optional<std::string_view> called = function.string("name");
  if (!called) return function.missing("name");
  to.tool_calls.push_back({std::string(call.string("id").value_or("")), std::string(*called),
                           read_arguments(function)});
}

void read_message(FieldReader& body, size_t index, const boost::json::value& value,
                  Conversation& to) {
  const std::string name = fmt::format("messages[{}]", index);
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return body.wrong_type(name, "an object", value);
  FieldReader fields(*object, name, body);
  const std::optional<Role> role = read_role(fields);
  if (!role) return;
  Message message;
  message.role = *role;
  read_content(fields, message);
  message.name = fields.string("name").value_or("");
  message.tool_call_id = fields.string("tool_call_id").value_or("");
  for (const char* reasoning : {"reasoning_content", "reasoning"}) {
    // Some clients keep other things under these names; what is no text is not ours.
    const boost::json::value* text = fields.any(reasoning);
    if (text != nullptr && text->is_string())
      message.reasoning = std::string_view(text->get_string());
  }
  if (const boost::json::array* calls = fields.array("tool_calls")) {
    for (size_t i = 0; i < calls->size(); ++i) {
      read_tool_call(fields, fmt::format("tool_calls[{}]", i), (*calls)[i], message);
    }
  }
  to.messages.push_back(std::move(message));
}

void read_messages(FieldReader& reader, Conversation& to) {
  if (reader.any("messages") == nullptr) return reader.missing("messages");
  const boost::json::array* messages = reader.array("messages");
  if (messages == nullptr) return;
  if (messages->empty()) {
    return reader.wrong(
        "messages",
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got "
        "an empty array instead.",
        "empty_array");
  }
  to.messages.reserve(messages->size());
  for (size_t i = 0; i < messages->size() && reader.ok(); ++i)
    read_message(reader, i, (*messages)[i], to);
}

bool is_tool_name(std::string_view name) {
  const auto fits = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= kToolNameMax && std::ranges::all_of(name, fits);
}

void read_tool(FieldReader& reader, const std::string& name, const boost::json::value& value,
               service::Tool& to) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return reader.wrong_type(name, "an object", value);
  FieldReader tool(*object, name, reader);
  const std::optional<std::string_view> type = tool.string("type");
  if (type.value_or("function") != "function") {
    return tool.wrong(
        "type", fmt::format("Unsupported tool type '{}': only 'function' is supported.", *type),
        "unsupported_value");
  }
  const boost::json::object* inner = tool.object("function");
  if (inner == nullptr) return tool.missing("function");
  FieldReader function(*inner, tool.path_of("function"), tool);
  const std::optional<std::string_view> called = function.string("name");
  if (!called) return function.missing("name");
  if (!is_tool_name(*called)) {
    function.wrong(
        "name", fmt::format("Invalid '{}': letters, digits, '_' and '-' were expected, at most {}.",
                            function.path_of("name"), kToolNameMax));
  }
  const boost::json::object* parameters = function.object("parameters");
  function.string("description");
  to.name = *called;
  if (parameters != nullptr)
    service::JsonWriter(to.parameters_json).value(*function.any("parameters"));
  to.strict = function.boolean("strict").value_or(false);
  service::JsonWriter(to.definition_json).value(value);
}

// Returns whether the tools go into the prompt.
bool read_tool_choice(FieldReader& reader) {
  const boost::json::value* choice = reader.any("tool_choice");
  if (choice == nullptr) return true;
  const boost::json::string* name = choice->if_string();
  if (name != nullptr && *name == "auto") return true;
  if (name != nullptr && *name == "none") return false;
  if ((name != nullptr && *name == "required") || choice->is_object()) {
    reader.wrong("tool_choice",
                 "Unsupported value: 'tool_choice' cannot force a call yet; use 'auto' or 'none'.",
                 "unsupported_value");
  } else if (name != nullptr) {
    reader.wrong("tool_choice",
                 fmt::format("Invalid value: '{}'. Supported values are: 'none' and 'auto'.",
                             std::string_view(*name)));
  } else {
    reader.wrong_type("tool_choice", "a string or an object", *choice);
  }
  return false;
}

void read_tools(FieldReader& reader, service::ToolChoice& tool_choice, Conversation& to) {
  const bool wanted = read_tool_choice(reader);
  tool_choice.parallel = reader.boolean("parallel_tool_calls").value_or(true);
  const boost::json::array* tools = reader.array("tools");
  if (tools == nullptr || tools->empty()) return;
  if (tools->size() > kToolsMax) {
    return reader.wrong(
        "tools",
        fmt::format("Invalid 'tools': array too long. Expected at most {} tools.", kToolsMax),
        "array_above_max_length");
  }
  for (size_t i = 0; i < tools->size(); ++i) {
    service::Tool tool;
    read_tool(reader, fmt::format("tools[{}]", i), (*tools)[i], tool);
    if (wanted) to.tools.push_back(std::move(tool));
  }
}

void read_template_kwargs(FieldReader& reader, Conversation& to) {
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
  const auto is_new = [&](const char* name) {
    return kwargs == nullptr || !kwargs->contains(name);
  };
  const std::optional<bool> thinking = reader.boolean("enable_thinking");
  if (thinking && is_new("enable_thinking")) json.field("enable_thinking", *thinking);
  const std::optional<std::string_view> effort = reader.string("reasoning_effort");
  if (effort && is_new("reasoning_effort")) json.field("reasoning_effort", *effort);
  json.end_object();
  to.add_generation_prompt = reader.boolean("add_generation_prompt").value_or(true);
}

void read_response_format(FieldReader& reader) {
  const boost::json::object* object = reader.object("response_format");
  if (object == nullptr) return;
  FieldReader format(*object, "response_format", reader);
  const std::optional<std::string_view> type = format.string("type");
  if (!type) {
    format.missing("type");
  } else if (*type == "json_object" || *type == "json_schema") {
    format.wrong(
        "type",
        fmt::format("Unsupported value: 'response_format.type' of '{}' is not supported yet.",
                    *type),
        "unsupported_value");
  } else if (*type != "text") {
    format.wrong("type", fmt::format("Invalid value: '{}'. Supported values are: 'text'.", *type));
  }
}

void read_modalities(FieldReader& reader) {
  const boost::json::array* modalities = reader.array("modalities");
  if (modalities == nullptr) return;
  for (const boost::json::value& value : *modalities) {
    if (value.is_string() && value.get_string() == "text") continue;
    reader.wrong("modalities", "Unsupported value: only 'text' is supported in 'modalities'.",
                 "unsupported_value");
  }
}

void read_logprobs(FieldReader& reader, engine::SamplingParams& sampling) {
  const bool wanted = reader.boolean("logprobs").value_or(false);
  const std::optional<int64_t> top = reader.integer("top_logprobs", 0, kTopLogprobsMax);
  if (top.value_or(0) > 0 && !wanted) {
    reader.wrong("top_logprobs",
                 "Invalid 'top_logprobs': it is only allowed when 'logprobs' is true.");
  }
  if (wanted) sampling.logprobs = static_cast<int>(top.value_or(0));
}

}  // namespace

ChatCall read_chat(FieldReader& reader, const service::Model& model) {
  ChatCall call;
  Conversation conversation;
  read_messages(reader, conversation);
  read_tools(reader, call.request.tool_choice, conversation);
  read_template_kwargs(reader, conversation);
  call.request.prompts.emplace_back(std::move(conversation));
  read_sampling(reader, model, call.request);
  read_limits(reader, model, 1, call.request);
  read_logprobs(reader, call.request.sampling);
  read_response_format(reader);
  read_modalities(reader);
  refuse(reader, kRefused);
  refuse(reader, common_refused_fields());
  call.options.stream = read_stream(reader);
  return call;
}

}  // namespace pippin::api::openai
