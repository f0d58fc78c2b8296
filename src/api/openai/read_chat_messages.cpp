#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/openai/custom_tool.h"
#include "api/openai/read_chat_parts.h"
#include "service/json.h"

namespace pippin::api::openai {
namespace {

using service::Conversation;
using service::Message;
using service::Role;

// Parts that a model may yet come to read; and what they are called in a sentence.
constexpr std::pair<std::string_view, std::string_view> kOtherParts[] = {
    {"image_url", "images"},   {"input_image", "images"}, {"image", "images"},
    {"input_audio", "audio"},  {"audio_url", "audio"},    {"file", "files"},
    {"input_file", "files"},   {"video_url", "video"},    {"video", "video"},
    {"image_embeds", "images"}};

void refuse_part(FieldReader& part, std::string_view type) {
  const auto* other =
      std::ranges::find(kOtherParts, type, [](const auto& row) { return row.first; });
  if (other != std::end(kOtherParts)) {
    return part.wrong(
        "type",
        fmt::format("Unsupported content part '{}': this model reads text only, no {}.", type,
                    other->second),
        "unsupported_value");
  }
  part.wrong("type",
             fmt::format("Invalid value: '{}'. Supported values are: 'text' and, of the assistant, "
                         "'refusal'.",
                         type));
}

void read_part(FieldReader& message, const std::string& name, const boost::json::value& value,
               Message& to) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return message.wrong_type(name, "an object", value);
  FieldReader part(*object, message.path_of(name), message);
  const std::optional<std::string_view> type = part.required_string("type");
  if (!type) return;
  const bool thinking = to.role == Role::kAssistant && *type == "thinking";
  const bool refusal = to.role == Role::kAssistant && *type == "refusal";
  if (*type != "text" && !thinking && !refusal) return refuse_part(part, *type);
  const std::optional<std::string_view> text = part.required_string(*type);
  if (!text) return;
  if (thinking) {
    to.reasoning += *text;
  } else {
    to.parts.emplace_back(service::TextPart{std::string(*text)});
  }
}

void read_content(FieldReader& message, Message& to) {
  const boost::json::value* content = message.any("content");
  if (content == nullptr) {
    if (to.role != Role::kAssistant) return message.missing("content");
    const std::optional<std::string_view> refusal = message.string("refusal");
    if (refusal) to.parts.emplace_back(service::TextPart{std::string(*refusal)});
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

void read_function(FieldReader& function, std::string_view id, Message& to) {
  const std::optional<std::string_view> called = function.required_string("name");
  if (!called) return;
  to.tool_calls.push_back({std::string(id), std::string(*called), read_arguments(function)});
}

void read_tool_call(FieldReader& message, const std::string& name, const boost::json::value& value,
                    Message& to) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return message.wrong_type(name, "an object", value);
  FieldReader call(*object, message.path_of(name), message);
  const std::string_view type = call.string("type").value_or("function");
  if (type != "function" && type != "custom") {
    return call.wrong("type",
                      fmt::format("Unsupported tool call type '{}': only 'function' and 'custom' "
                                  "are supported.",
                                  type),
                      "unsupported_value");
  }
  const boost::json::object* inner = call.required_object(type);
  if (inner == nullptr) return;
  FieldReader fields(*inner, call.path_of(type), call);
  const std::string_view id = call.string("id").value_or("");
  if (type == "function") return read_function(fields, id, to);
  const std::string_view called = fields.required_string("name").value_or("");
  const std::string_view input = fields.required_string("input").value_or("");
  to.tool_calls.push_back({std::string(id), std::string(called), custom_arguments(input)});
}

void read_calls(FieldReader& message, Message& to) {
  if (const boost::json::array* calls = message.array("tool_calls")) {
    for (size_t i = 0; i < calls->size(); ++i)
      read_tool_call(message, fmt::format("tool_calls[{}]", i), (*calls)[i], to);
  }
  if (const boost::json::object* old = message.object("function_call")) {  // the older form
    FieldReader function(*old, message.path_of("function_call"), message);
    read_function(function, {}, to);
  }
}

void read_message(FieldReader& body, size_t index, const boost::json::value& value,
                  Conversation& to) {
  const std::string name = fmt::format("messages[{}]", index);
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return body.wrong_type(name, "an object", value);
  FieldReader fields(*object, name, body);
  const std::optional<Role> role =
      read_role(fields, {"system", "developer", "user", "assistant", "tool", "function"});
  if (!role) return;
  Message message;
  message.role = *role;
  read_content(fields, message);
  message.name = fields.string("name").value_or("");
  message.tool_call_id = fields.string("tool_call_id").value_or("");
  for (const char* reasoning : {"reasoning", "reasoning_content"}) {
    // Some clients keep other things under these names; what is no text is not ours.
    const boost::json::value* text = fields.any(reasoning);
    if (text != nullptr && text->is_string())
      message.reasoning = std::string_view(text->get_string());
  }
  read_calls(fields, message);
  if (fields.any("audio") != nullptr) {
    fields.wrong("audio", "Unsupported parameter: 'audio': this model reads text only, no audio.",
                 "unsupported_parameter");
  }
  to.messages.push_back(std::move(message));
}

// The answer goes on with the last message, or begins one of its own.
void read_continuation(FieldReader& reader, Conversation& to) {
  to.continue_final_message = reader.boolean("continue_final_message").value_or(false);
  const std::optional<bool> opens = reader.boolean("add_generation_prompt");
  if (to.continue_final_message && opens.value_or(false)) {
    return reader.wrong("add_generation_prompt",
                        "Invalid 'add_generation_prompt': a message that is continued has no new "
                        "one behind it.");
  }
  to.add_generation_prompt = opens.value_or(!to.continue_final_message);
}

}  // namespace

void read_messages(FieldReader& reader, Conversation& to) {
  const boost::json::array* messages = reader.required_array("messages");
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
  read_continuation(reader, to);
}

}  // namespace pippin::api::openai
