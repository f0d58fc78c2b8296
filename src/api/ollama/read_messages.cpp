#include "api/ollama/read_messages.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "service/json.h"

namespace pippin::api::ollama {
namespace {

using service::Message;
using service::Role;

constexpr std::pair<std::string_view, Role> kRoles[] = {
    {"system", Role::kSystem},
    {"user", Role::kUser},
    {"assistant", Role::kAssistant},
    {"tool", Role::kTool},
};

std::optional<Role> read_role(FieldReader& message) {
  const std::optional<std::string_view> name = message.required_string("role");
  if (!name) return std::nullopt;
  for (const auto& [known, role] : kRoles) {
    if (known == *name) return role;
  }
  message.wrong("role", fmt::format("invalid role: '{}', must be one of [system, user, assistant, "
                                    "tool]",
                                    *name));
  return std::nullopt;
}

void read_call(FieldReader& message, const std::string& name, const boost::json::value& value,
               Message& to) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return message.wrong_type(name, "an object", value);
  FieldReader call(*object, message.path_of(name), message);
  const boost::json::object* inner = call.required_object("function");
  if (inner == nullptr) return;
  FieldReader function(*inner, call.path_of("function"), call);
  const std::optional<std::string_view> called = function.required_string("name");
  if (!called) return;
  service::ToolCall made{std::string(call.string("id").value_or("")), std::string(*called), "{}"};
  const boost::json::value* arguments = function.any("arguments");
  if (arguments != nullptr && arguments->is_string()) {  // as OpenAI's clients write them
    made.arguments_json = std::string_view(arguments->get_string());
  } else if (arguments != nullptr) {
    if (!arguments->is_object()) return function.wrong_type("arguments", "an object", *arguments);
    made.arguments_json.clear();
    service::JsonWriter(made.arguments_json).value(*arguments);
  }
  to.tool_calls.push_back(std::move(made));
}

Message read_message(FieldReader& fields, Role role) {
  Message message;
  message.role = role;
  if (const std::optional<std::string_view> text = fields.string("content"))
    message.parts.emplace_back(service::TextPart{std::string(*text)});
  message.reasoning = fields.string("thinking").value_or("");
  message.name = fields.string("tool_name").value_or("");
  if (message.name.empty()) message.name = fields.string("name").value_or("");
  message.tool_call_id = fields.string("tool_call_id").value_or("");
  refuse_images(fields);
  if (const boost::json::array* calls = fields.array("tool_calls")) {
    for (size_t i = 0; i < calls->size(); ++i)
      read_call(fields, fmt::format("tool_calls[{}]", i), (*calls)[i], message);
  }
  return message;
}

/// Gives ids to calls and their results, in the order in which they stand.
class CallIds {
 public:
  void give(Message& message) {
    for (service::ToolCall& call : message.tool_calls) {
      if (call.id.empty()) call.id = fmt::format("call_{}", count_);
      ++count_;
      open_.emplace_back(call.id, call.name);
    }
    if (message.role != Role::kTool) return;
    for (auto call = open_.begin(); call != open_.end(); ++call) {
      const bool answers = message.tool_call_id.empty()
                               ? message.name.empty() || message.name == call->second
                               : message.tool_call_id == call->first;
      if (!answers) continue;
      message.tool_call_id = call->first;
      message.name = call->second;
      open_.erase(call);
      return;
    }
  }

 private:
  std::vector<std::pair<std::string, std::string>> open_;  // id and name, not answered yet
  int count_ = 0;
};

}  // namespace

void read_messages(FieldReader& reader, std::string_view name, const boost::json::array& array,
                   std::vector<Message>& to) {
  CallIds ids;
  for (size_t i = 0; i < array.size() && reader.ok(); ++i) {
    const std::string path = fmt::format("{}[{}]", name, i);
    const boost::json::object* object = array[i].if_object();
    if (object == nullptr) return reader.wrong_type(path, "an object", array[i]);
    FieldReader fields(*object, reader.path_of(path), reader);
    const std::optional<Role> role = read_role(fields);
    if (!role) return;
    Message message = read_message(fields, *role);
    ids.give(message);
    to.push_back(std::move(message));
  }
}

void refuse_images(FieldReader& reader) {
  const boost::json::array* images = reader.array("images");
  if (images == nullptr || images->empty()) return;
  reader.wrong("images", fmt::format("Unsupported '{}': this model reads text only, no images.",
                                     reader.path_of("images")));
}

}  // namespace pippin::api::ollama
