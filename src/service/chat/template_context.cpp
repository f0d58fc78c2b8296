#include "service/chat/template_context.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <string_view>
#include <utility>

#include "parse/registry.h"
#include "service/chat/template_abilities.h"
#include "service/json.h"

namespace pippin::service {
namespace {

// Most templates take content as one string only, so text parts are joined by line breaks.
std::string joined_text(const Message& message) {
  std::string text;
  for (const Part& part : message.parts) {
    if (!text.empty()) text += '\n';
    text += std::get<TextPart>(part).text;
  }
  return text;
}

void set_text(Message& message, std::string text) { message.parts = {TextPart{std::move(text)}}; }

// Joins two texts by a line break, if there are two.
std::string beside(std::string one, const std::string& other) {
  if (!one.empty() && !other.empty()) one += '\n';
  return one + other;
}

/// A conversation on its way to the template.
class Adapted {
 public:
  Adapted(const Model& model, const Conversation& conversation, const TemplateAbilities& abilities)
      : model_(model), abilities_(abilities), messages_(conversation.messages) {
    if (!abilities.tools() && !conversation.tools.empty()) offer(conversation.tools);
    for (Message& message : messages_) {
      if (!message.reasoning.empty() && !abilities.reasoning()) write_reasoning(message);
      const bool lost = abilities.calls_want_no_content() && !joined_text(message).empty();
      if (!message.tool_calls.empty() && (lost || !abilities.calls())) write_calls(message);
    }
    if (!abilities.results()) write_results();
    if (!abilities.system()) give_system_to_user();
  }

  void make_strict() {
    for (size_t i = 1; i < messages_.size(); ++i) {
      if (is_system(messages_[i])) messages_[i].role = Role::kUser;
    }
    std::vector<Message> joined;
    for (Message& message : messages_) {
      // gpt-oss' template takes one of the two beside calls.
      if (!message.tool_calls.empty() && !joined_text(message).empty()) message.reasoning.clear();
      const bool plain = message.tool_calls.empty() && message.role != Role::kTool;
      if (plain && !joined.empty() && joined.back().role == message.role &&
          joined.back().tool_calls.empty()) {
        set_text(joined.back(), joined_text(joined.back()) + "\n\n" + joined_text(message));
      } else {
        joined.push_back(std::move(message));
      }
    }
    messages_ = std::move(joined);
  }

  const std::vector<Message>& messages() const { return messages_; }

 private:
  static bool is_system(const Message& message) {
    return message.role == Role::kSystem || message.role == Role::kDeveloper;
  }

  const parse::ToolDialect& dialect() const {
    return model_.tool_dialect ? *model_.tool_dialect : *parse::find_tool_dialect("generic");
  }

  // Tells of the tools in the system message, for a template that cannot.
  void offer(const std::vector<Tool>& tools) {
    std::string text =
        "# Tools\n\nYou may call one or more functions to help with the user's request. They are, "
        "as "
        "JSON:\n<tools>\n";
    for (const Tool& tool : tools) text += tool.definition_json + '\n';
    text +=
        "</tools>\n\nTo call a function, answer with exactly this, its name and arguments put "
        "in:\n";
    text += parse::render_calls(dialect(), {{"function_name", R"({"argument_name": "value"})"}});
    if (messages_.empty() || !is_system(messages_.front())) {
      messages_.insert(messages_.begin(), Message{});
      messages_.front().role = Role::kSystem;
      set_text(messages_.front(), std::move(text));
    } else {
      set_text(messages_.front(), joined_text(messages_.front()) + "\n\n" + text);
    }
  }

  void write_calls(Message& message) const {
    std::vector<parse::PastCall> calls;
    for (const ToolCall& call : message.tool_calls)
      calls.push_back({call.name, call.arguments_json});
    set_text(message, beside(joined_text(message), parse::render_calls(dialect(), calls)));
    message.tool_calls.clear();
  }

  // Templates of thinking models drop earlier thinking from the text, or keep it, as is right for
  // the model; but only if they know its marks. Elsewhere it is left out.
  void write_reasoning(Message& message) const {
    const std::string thinking = std::exchange(message.reasoning, {});
    if (model_.reasoning_dialect == nullptr) return;
    std::string_view open, close;
    for (const parse::Mark& mark : model_.reasoning_dialect->marks) {
      if (mark.turn == parse::Mark::Turn::kOpen && open.empty()) open = mark.text;
      if (mark.turn == parse::Mark::Turn::kClose && close.empty()) close = mark.text;
    }
    if (close.empty() || !abilities_.knows(close)) return;
    set_text(message, std::string(open) + "\n" + thinking + "\n" + std::string(close) + "\n\n" +
                          joined_text(message));
  }

  // Results that follow each other come from one turn of the model.
  void write_results() {
    std::vector<Message> written;
    bool after_result = false;
    for (Message& message : messages_) {
      const bool result = message.role == Role::kTool;
      if (result) {
        const std::string text = "<tool_response>\n" + joined_text(message) + "\n</tool_response>";
        if (after_result) {
          set_text(written.back(), beside(joined_text(written.back()), text));
        } else {
          written.emplace_back();
          set_text(written.back(), text);
        }
      } else {
        written.push_back(std::move(message));
      }
      after_result = result;
    }
    messages_ = std::move(written);
  }

  // What begins the conversation goes to the first user message. What comes later stays where it
  // is, as the user's: all that stands in front of it is cached.
  void give_system_to_user() {
    std::string text;
    const auto head_end = std::ranges::find_if_not(messages_, is_system);
    for (auto at = messages_.begin(); at != head_end; ++at)
      text = beside(std::move(text), joined_text(*at));
    messages_.erase(messages_.begin(), head_end);
    for (Message& message : messages_) {
      if (is_system(message)) message.role = Role::kUser;
    }
    if (text.empty()) return;
    const auto user = std::ranges::find(messages_, Role::kUser, &Message::role);
    if (user != messages_.end()) {
      set_text(*user, text + "\n\n" + joined_text(*user));
    } else {
      messages_.insert(messages_.begin(), Message{});
      set_text(messages_.front(), std::move(text));
    }
  }

  const Model& model_;
  const TemplateAbilities& abilities_;
  std::vector<Message> messages_;
};

/// Writes the messages as JSON.
class MessageWriter {
 public:
  MessageWriter(JsonWriter& json, const TemplateAbilities& abilities, bool strict)
      : json_(json),
        abilities_(abilities),
        strict_(strict),
        text_arguments_(abilities.text_arguments()),
        short_ids_(abilities.knows("length != 9") || abilities.knows("length == 9")),
        numbered_ids_(abilities.knows("<|tool_call_argument_begin|>")) {}

  void write(const Message& message) {
    json_.begin_object().field("role", role_name(message.role));
    // A call without text has null content in the APIs; templates that print it would print "None".
    if (!message.tool_calls.empty() && abilities_.calls_want_no_content())
      json_.key("content").null();
    else
      json_.field("content", joined_text(message));
    if (!message.name.empty()) json_.field("name", message.name);
    if (!message.tool_call_id.empty()) json_.field("tool_call_id", id_of(message.tool_call_id));
    if (!message.reasoning.empty()) {
      json_.field("reasoning_content", message.reasoning);
      json_.field("reasoning", message.reasoning).field("thinking", message.reasoning);
    }
    if (!message.tool_calls.empty()) write_calls(message.tool_calls);
    json_.end_object();
  }

 private:
  std::string_view role_name(Role role) const {
    switch (role) {
      case Role::kSystem:
        return "system";
      case Role::kDeveloper:
        return abilities_.developer() ? "developer" : "system";
      case Role::kUser:
        return "user";
      case Role::kAssistant:
        return "assistant";
      case Role::kTool:
        return "tool";
    }
    return "user";
  }

  void write_calls(const std::vector<ToolCall>& calls) {
    json_.key("tool_calls").begin_array();
    for (const ToolCall& call : calls) {
      if (numbered_ids_ && !call.id.empty() && !call.id.starts_with("functions.")) {
        ids_.emplace_back(call.id, "functions." + call.name + ":" + std::to_string(calls_));
      }
      ++calls_;
      json_.begin_object().field("id", id_of(call.id)).field("type", "function");
      json_.key("function").begin_object().field("name", call.name).key("arguments");
      write_arguments(call.arguments_json);
      json_.end_object().end_object();
    }
    json_.end_array();
  }

  // Templates want arguments as an object; what does not parse as one stays the text that the model
  // wrote.
  void write_arguments(const std::string& arguments) {
    const Result<boost::json::value> parsed = parse_json(arguments);
    const bool object = parsed.ok() && parsed->is_object();
    if (object && !(text_arguments_ && !strict_)) {
      json_.value(*parsed);
    } else if (strict_) {
      json_.begin_object().field("arguments", arguments).end_object();
    } else {
      json_.string(arguments);
    }
  }

  // An id in the form that the template insists on, or that its model has learnt.
  std::string id_of(const std::string& id) const {
    for (const auto& [given, written] : ids_) {
      if (given == id) return written;
    }
    if (!short_ids_) return id;
    std::string letters;
    for (const char c : id) {
      if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) letters += c;
    }
    constexpr size_t kLength = 9;
    if (letters.size() < kLength) letters.insert(0, kLength - letters.size(), '0');
    return letters.substr(letters.size() - kLength);
  }

  JsonWriter& json_;
  const TemplateAbilities& abilities_;
  const bool strict_, text_arguments_, short_ids_, numbered_ids_;
  std::vector<std::pair<std::string, std::string>> ids_;
  int calls_ = 0;
};

void write_tools(JsonWriter& json, const std::vector<Tool>& tools) {
  json.key("tools");
  if (tools.empty()) {
    json.null();  // an empty list is true enough for some templates to write their tool preamble
    return;
  }
  json.begin_array();
  for (const Tool& tool : tools) json.raw(tool.definition_json);
  json.end_array();
}

// Firefunction's template is given the functions as text, and the day; the time would change the
// prompt's beginning with every request.
void write_functions(JsonWriter& json, const std::vector<Tool>& tools) {
  boost::json::array functions;
  for (const Tool& tool : tools) {
    const Result<boost::json::value> definition = parse_json(tool.definition_json);
    const boost::json::object* object = definition.ok() ? definition->if_object() : nullptr;
    const boost::json::value* function = object ? object->if_contains("function") : nullptr;
    if (function != nullptr) functions.push_back(*function);
  }
  json.field("functions", boost::json::serialize(functions));
  const auto now = std::chrono::system_clock::now();
  json.field("datetime",
             fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(now))));
}

}  // namespace

std::string template_context(const Model& model, const Conversation& conversation,
                             Adaptation adaptation) {
  const bool strict = adaptation == Adaptation::kStrict;
  const TemplateAbilities abilities(model.chat_template->source());
  Adapted adapted(model, conversation, abilities);
  if (strict) adapted.make_strict();
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("messages").begin_array();
  MessageWriter writer(json, abilities, strict);
  for (const Message& message : adapted.messages()) writer.write(message);
  json.end_array();
  write_tools(json, conversation.tools);
  if (abilities.functions()) write_functions(json, conversation.tools);
  json.key("documents").null();
  json.field("add_generation_prompt", conversation.add_generation_prompt);
  json.field("bos_token", model.bos_text).field("eos_token", model.eos_text);
  // The kwargs' members follow, so that they win over the tokens above.
  const std::string_view kwargs = conversation.template_kwargs_json;
  if (kwargs.size() > 2) json.raw(kwargs.substr(1, kwargs.size() - 2));
  json.end_object();
  return out;
}

}  // namespace pippin::service
