#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "api/anthropic/read_message_parts.h"
#include "service/json.h"

namespace pippin::api::anthropic {
namespace {

using service::Message;
using service::Role;

constexpr size_t kMessagesMax = 100'000;

/// Reads messages one after another. Turns of one speaker that follow each other are one turn.
class ConversationReader {
 public:
  ConversationReader(FieldReader& body, const Signer& signer, MessageRequest& asked,
                     std::vector<Message>& messages)
      : body_(body), signer_(signer), asked_(asked), messages_(messages) {}

  void read_system() {
    if (body_.any("system") == nullptr) return;
    Message message;
    message.role = Role::kSystem;
    read_system_parts(body_, "system", message);
    if (!message.parts.empty()) messages_.push_back(std::move(message));
  }

  void read(const boost::json::array& messages) {
    for (size_t i = 0; i < messages.size() && body_.ok(); ++i) {
      const std::string path = fmt::format("messages[{}]", i);
      const boost::json::object* object = messages[i].if_object();
      if (object == nullptr) return body_.wrong_type(path, "an object", messages[i]);
      FieldReader message(*object, path, body_);
      read_message(message);
    }
  }

 private:
  void read_message(FieldReader& message) {
    const std::optional<std::string_view> role = message.required_string("role");
    if (message.any("content") == nullptr) message.missing("content");
    if (!role || !body_.ok()) return;
    if (*role == "user") return read_user(message);
    if (*role == "assistant") return read_assistant(message);
    if (*role != "system") {
      return message.wrong("role", fmt::format("Invalid '{}': '{}'. Supported values are: 'user', "
                                               "'assistant' and 'system'.",
                                               message.path_of("role"), *role));
    }
    // It stays where it stands: what is in front of it is computed already.
    Message system;
    system.role = Role::kSystem;
    read_system_parts(message, "content", system);
    messages_.push_back(std::move(system));
  }

  // Each block is a part of its own, so that a rule can look at one.
  void read_system_parts(FieldReader& fields, std::string_view name, Message& to) {
    const boost::json::value* content = fields.any(name);
    if (const auto* text = content->if_string()) return add_text(to, {text->data(), text->size()});
    const boost::json::array* blocks = content->if_array();
    if (blocks == nullptr)
      return fields.wrong_type(name, "a string or an array of text blocks", *content);
    for_each_block(fields, name, *blocks, [&](FieldReader& block, std::string_view type) {
      std::string text;
      if (type != "text") {
        return block.wrong(
            "type", fmt::format("Invalid '{}': only text can stand here.", block.path_of("type")));
      }
      read_text_block(block, type, Others::kRefused, asked_, text);
      add_text(to, std::move(text));
    });
  }

  template <typename Read>
  void for_each_block(FieldReader& fields, std::string_view name, const boost::json::array& blocks,
                      Read read) {
    for (size_t i = 0; i < blocks.size() && fields.ok(); ++i) {
      const std::string path = fmt::format("{}[{}]", name, i);
      const boost::json::object* object = blocks[i].if_object();
      if (object == nullptr) return fields.wrong_type(path, "an object", blocks[i]);
      FieldReader block(*object, fields.path_of(path), fields);
      const std::optional<std::string_view> type = block.required_string("type");
      if (type) read(block, *type);
    }
  }

  static void add_text(Message& to, std::string text) {
    to.parts.emplace_back(service::TextPart{std::move(text)});
  }

  /// Returns the message under way of this role, a new one if the last is another's.
  Message& turn(Role role) {
    if (messages_.empty() || messages_.back().role != role) {
      messages_.emplace_back();
      messages_.back().role = role;
    }
    return messages_.back();
  }

  void read_user(FieldReader& message) {
    const boost::json::value& content = *message.any("content");
    if (const auto* text = content.if_string())
      return add_text(turn(Role::kUser), {text->data(), text->size()});
    const boost::json::array* blocks = content.if_array();
    if (blocks == nullptr) return wrong_content(message, content);
    for_each_block(message, "content", *blocks, [&](FieldReader& block, std::string_view type) {
      if (type == "tool_result") return read_result(block);
      if (skip_hosted(block, type)) return;
      std::string text;
      if (read_text_block(block, type, Others::kRefused, asked_, text))
        add_text(turn(Role::kUser), std::move(text));
    });
  }

  static void wrong_content(FieldReader& message, const boost::json::value& content) {
    message.wrong_type("content", "a string or an array of content blocks", content);
  }

  void read_result(FieldReader& block) {
    read_cache_control(block, asked_);
    const std::string_view id = block.required_string("tool_use_id").value_or("");
    std::string text = read_text_content(block, "content", Others::kLeftOut, asked_);
    if (block.boolean("is_error").value_or(false) && !text.starts_with("Error"))
      text = "Error: " + text;  // templates have no other word for it
    Message result;
    result.role = Role::kTool;
    result.tool_call_id = id;
    if (const auto call = called_.find(result.tool_call_id); call != called_.end())
      result.name = call->second;
    add_text(result, std::move(text));
    messages_.push_back(std::move(result));
  }

  void read_assistant(FieldReader& message) {
    Message& to = turn(Role::kAssistant);
    const boost::json::value& content = *message.any("content");
    if (const auto* text = content.if_string()) return add_text(to, {text->data(), text->size()});
    const boost::json::array* blocks = content.if_array();
    if (blocks == nullptr) return wrong_content(message, content);
    for_each_block(message, "content", *blocks, [&](FieldReader& block, std::string_view type) {
      if (type == "tool_use") return read_call(block, to);
      if (type == "thinking" || type == "redacted_thinking") return read_thinking(block, type, to);
      if (skip_hosted(block, type)) return;
      std::string text;
      if (read_text_block(block, type, Others::kRefused, asked_, text))
        add_text(to, std::move(text));
    });
  }

  void read_call(FieldReader& block, Message& to) {
    read_cache_control(block, asked_);
    const std::string_view id = block.required_string("id").value_or("");
    const std::string_view name = block.required_string("name").value_or("");
    const boost::json::object* input = block.required_object("input");
    if (!body_.ok() || input == nullptr) return;
    std::string arguments;
    service::JsonWriter(arguments).value(*input);
    called_[std::string(id)] = name;
    to.tool_calls.push_back({std::string(id), std::string(name), std::move(arguments)});
  }

  // Thinking is believed only if this installation has signed it: what others have signed, or
  // nobody, is left out, as the model never thought it.
  void read_thinking(FieldReader& block, std::string_view type, Message& to) {
    const bool redacted = type == "redacted_thinking";
    const std::optional<std::string_view> shown =
        redacted ? std::string_view() : block.required_string("thinking");
    const std::optional<std::string_view> signature =
        redacted ? block.required_string("data") : block.required_string("signature");
    if (!shown || !signature) return;
    const std::optional<std::string> thinking = signer_.verify(*shown, *signature);
    if (!thinking) {
      asked_.warnings.push_back({"unknown_signature", block.path_of(""),
                                 "This thinking was not signed here, or was changed since; it is "
                                 "left out."});
      return;
    }
    if (!to.reasoning.empty() && !thinking->empty()) to.reasoning += '\n';
    to.reasoning += *thinking;
  }

  // What tools that run at Anthropic's have left in a conversation.
  bool skip_hosted(FieldReader& block, std::string_view type) {
    const bool hosted = type == "server_tool_use" || type == "mcp_tool_use" ||
                        type == "container_upload" || type == "compaction" ||
                        (type.ends_with("_tool_result"));
    if (!hosted) return false;
    read_cache_control(block, asked_);
    asked_.warnings.push_back(
        {"unsupported_block", block.path_of(""),
         fmt::format("Blocks of type '{}' cannot be shown to the model; this one is left out.",
                     type)});
    return true;
  }

  FieldReader& body_;
  const Signer& signer_;
  MessageRequest& asked_;
  std::vector<Message>& messages_;
  std::map<std::string, std::string> called_;  // names by tool_use's id
};

}  // namespace

void read_conversation(FieldReader& reader, const Signer& signer, MessageRequest& asked,
                       service::Conversation& to) {
  ConversationReader conversation(reader, signer, asked, to.messages);
  conversation.read_system();
  const boost::json::array* messages = reader.required_array("messages");
  if (messages == nullptr) return;
  if (messages->empty() || messages->size() > kMessagesMax) {
    return reader.wrong("messages",
                        fmt::format("Invalid 'messages': 1 to {} messages were expected, but got "
                                    "{}.",
                                    kMessagesMax, messages->size()));
  }
  conversation.read(*messages);
  if (!reader.ok() || to.messages.empty()) return;
  if (to.messages.back().role != Role::kAssistant) return;
  if (!to.messages.back().tool_calls.empty()) {
    return reader.wrong(fmt::format("messages[{}]", messages->size() - 1),
                        "Invalid 'messages': behind a tool_use its tool_result is expected.");
  }
  to.continue_final_message = true;
  to.add_generation_prompt = false;
}

}  // namespace pippin::api::anthropic
