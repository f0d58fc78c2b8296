#include "api/openai/responses/read_items.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "api/openai/custom_tool.h"
#include "api/openai/read_common.h"

namespace pippin::api::openai::responses {
namespace {

using service::Message;
using service::Role;

constexpr std::string_view kTextParts[] = {"input_text", "output_text", "text", "summary_text",
                                           "reasoning_text"};

bool is_text_part(std::string_view type) {
  return std::ranges::find(kTextParts, type) != std::end(kTextParts);
}

// Reads one content part; text parts are joined as they are.
void read_part(FieldReader& item, const std::string& path, const boost::json::value& value,
               std::string& text) {
  const boost::json::object* object = value.if_object();
  if (object == nullptr) return item.wrong_type(path, "an object", value);
  FieldReader part(*object, item.path_of(path), item);
  const std::optional<std::string_view> type = part.required_string("type");
  if (!type) return;
  const bool refusal = *type == "refusal";
  if (!refusal && !is_text_part(*type)) {
    return part.wrong(
        "type", fmt::format("Unsupported content part '{}': this model reads text only.", *type),
        "unsupported_value");
  }
  const std::optional<std::string_view> piece = part.required_string(refusal ? "refusal" : "text");
  if (!piece) return;
  if (!text.empty() && !piece->empty()) text += '\n';
  text += *piece;
}

std::string arguments_of(FieldReader& item) {
  return std::string(item.required_string("arguments").value_or(""));
}

std::string_view type_of(const boost::json::object& item) {
  const boost::json::value* type = item.if_contains("type");
  if (type != nullptr && type->is_string()) return type->get_string();
  return type == nullptr && item.contains("role") ? "message" : "";
}

std::string_view id_prefix(std::string_view type) {
  constexpr std::pair<std::string_view, std::string_view> kPrefixes[] = {
      {"message", "msg"},          {"reasoning", "rs"},
      {"function_call", "fc"},     {"function_call_output", "fco"},
      {"custom_tool_call", "ctc"}, {"custom_tool_call_output", "ctco"},
  };
  for (const auto& [known, prefix] : kPrefixes) {
    if (known == type) return prefix;
  }
  return "item";
}

}  // namespace

void ItemsReader::instructions(std::string_view text) {
  if (text.empty()) return;
  Message message;
  message.role = Role::kSystem;
  message.parts.emplace_back(service::TextPart{std::string(text)});
  add(std::move(message));
}

void ItemsReader::read(FieldReader& body, const std::string& path,
                       const boost::json::object& object) {
  FieldReader item(object, path, body);
  if (object.contains("type")) {
    if (!item.required_string("type")) return;
  }
  const std::string_view type = type_of(object);
  if (type.empty()) return item.missing("type");
  if (type == "message") return read_message(item);
  if (type == "function_call") return read_call(item, false);
  if (type == "custom_tool_call") return read_call(item, true);
  if (type == "function_call_output" || type == "custom_tool_call_output") return read_output(item);
  if (type == "reasoning") return read_reasoning(item);
  warnings_.push_back({"unsupported_item", item.path_of(""),
                       fmt::format("Items of type '{}' cannot be shown to the model; this one is "
                                   "left out.",
                                   type)});
}

void ItemsReader::read_message(FieldReader& item) {
  const std::optional<Role> role = read_role(item, {"assistant", "developer", "system", "user"});
  const std::string text = read_parts(item, "content", true);
  if (!role || !item.ok()) return;
  if (*role == Role::kAssistant) {
    if (!turn().tool_calls.empty()) end_turn();
    turn().parts.emplace_back(service::TextPart{text});
    return;
  }
  Message message;
  message.role = *role;
  message.parts.emplace_back(service::TextPart{text});
  add(std::move(message));
}

void ItemsReader::read_call(FieldReader& item, bool custom) {
  const std::optional<std::string_view> id = item.required_string("call_id");
  const std::optional<std::string_view> name = item.required_string("name");
  const std::string_view name_space = item.string("namespace").value_or("");
  const std::string arguments =
      custom ? custom_arguments(item.required_string("input").value_or("")) : arguments_of(item);
  if (!id || !name || !item.ok()) return;
  const OfferedTool* tool = tools_.find_named(*name, name_space);
  const std::string shown = tool != nullptr ? tool->shown : std::string(*name);
  called_[std::string(*id)] = shown;
  turn().tool_calls.push_back({std::string(*id), shown, arguments});
}

void ItemsReader::read_output(FieldReader& item) {
  const std::optional<std::string_view> id = item.required_string("call_id");
  const std::string text = read_parts(item, "output", true);
  if (!id || !item.ok()) return;
  Message message;
  message.role = Role::kTool;
  message.tool_call_id = *id;
  if (const auto call = called_.find(*id); call != called_.end()) message.name = call->second;
  message.parts.emplace_back(service::TextPart{text});
  add(std::move(message));
}

// The thinking itself where it is there, else what this server put into `encrypted_content`, else
// the summary.
void ItemsReader::read_reasoning(FieldReader& item) {
  std::string text = read_parts(item, "content", false);
  const std::string_view encrypted = item.string("encrypted_content").value_or("");
  const std::string summary = read_parts(item, "summary", false);
  if (!item.ok()) return;
  if (text.empty() && encrypted.starts_with(kReasoningMark))
    text = encrypted.substr(kReasoningMark.size());
  if (text.empty()) text = summary;
  if (text.empty()) return;
  if (in_turn_ && !(turn_.parts.empty() && turn_.tool_calls.empty())) end_turn();
  std::string& reasoning = turn().reasoning;
  if (!reasoning.empty()) reasoning += '\n';
  reasoning += text;
}

// Reads a string or an array of parts.
std::string ItemsReader::read_parts(FieldReader& item, std::string_view name, bool required) {
  const boost::json::value* value = item.any(name);
  if (value == nullptr) {
    if (required) item.missing(name);
    return {};
  }
  if (const auto* text = value->if_string()) return {text->data(), text->size()};
  const boost::json::array* parts = value->if_array();
  std::string text;
  if (parts == nullptr) {
    item.wrong_type(name, "a string or an array of content parts", *value);
    return text;
  }
  for (size_t i = 0; i < parts->size() && item.ok(); ++i)
    read_part(item, fmt::format("{}[{}]", name, i), (*parts)[i], text);
  return text;
}

void ItemsReader::add(Message message) {
  end_turn();
  const auto is_head = [](const Message& of) {
    return of.role == Role::kSystem || of.role == Role::kDeveloper;
  };
  if (messages_.size() == 1 && is_head(messages_.front()) && is_head(message)) {
    Message& head = messages_.front();
    if (message.role == Role::kSystem) head.role = Role::kSystem;
    std::get<service::TextPart>(head.parts.front()).text +=
        "\n\n" + std::get<service::TextPart>(message.parts.front()).text;
    return;
  }
  messages_.push_back(std::move(message));
}

Message& ItemsReader::turn() {
  if (!in_turn_) turn_.role = Role::kAssistant;
  in_turn_ = true;
  return turn_;
}

void ItemsReader::end_turn() {
  if (in_turn_) messages_.push_back(std::move(turn_));
  turn_ = Message{};
  in_turn_ = false;
}

std::vector<Message> ItemsReader::take() {
  end_turn();
  return std::exchange(messages_, {});
}

boost::json::object listed_item(const boost::json::object& item, std::string_view id_end) {
  boost::json::object listed(item);
  const std::string type(type_of(item));
  listed["type"] = type;
  if (const boost::json::value* id = item.if_contains("id"); id == nullptr || !id->is_string())
    listed["id"] = fmt::format("{}_{}", id_prefix(type), id_end);
  const bool whole = type == "message" || type.starts_with("function_call");
  if (const boost::json::value* status = item.if_contains("status");
      whole && (status == nullptr || !status->is_string()))
    listed["status"] = "completed";
  const boost::json::value* content = item.if_contains("content");
  if (type == "message" && content != nullptr && content->is_string()) {
    const boost::json::value* role = item.if_contains("role");
    const bool said = role != nullptr && role->is_string() && role->get_string() == "assistant";
    boost::json::object part;
    part["type"] = said ? "output_text" : "input_text";
    part["text"] = content->get_string();
    if (said) part["annotations"] = boost::json::array();
    listed["content"] = boost::json::array({std::move(part)});
  }
  return listed;
}

}  // namespace pippin::api::openai::responses
