#include "api/openai/responses/read_create.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "api/openai/read_chat_parts.h"
#include "api/openai/read_common.h"
#include "api/openai/read_format.h"
#include "api/openai/responses/read_items.h"
#include "api/openai/responses/read_tools.h"
#include "service/json.h"

namespace pippin::api::openai::responses {
namespace {

using service::JsonWriter;

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr int kTopLogprobsMax = 20;
constexpr size_t kItemsMax = 100'000;

constexpr RefusedField kRefused[] = {
    {"conversation", "conversations are not kept here; use 'previous_response_id'"},
    {"prompt", "there are no prompt templates here; use 'instructions' and 'input'"},
    {"context_management", "compaction is not supported; 'truncation' may be 'auto'"},
    {"moderation", "there is no moderation here"},
    {"max_tokens", "use 'max_output_tokens'"},
    {"max_completion_tokens", "use 'max_output_tokens'"},
    {"n", "a response is one answer"},
    {"messages", "use 'input'"},
    {"response_format", "use 'text.format'"},
};

constexpr std::string_view kIncludable[] = {
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    // What tools that do not run here would tell: nothing to include.
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
};

void read_include(FieldReader& body, CreateRequest& asked) {
  const boost::json::array* include = body.array("include");
  if (include == nullptr) return;
  for (size_t i = 0; i < include->size(); ++i) {
    const std::string path = fmt::format("include[{}]", i);
    const boost::json::string* word = (*include)[i].if_string();
    if (word == nullptr) return body.wrong_type(path, "a string", (*include)[i]);
    if (std::ranges::find(kIncludable, std::string_view(*word)) == std::end(kIncludable)) {
      return body.wrong(
          path, fmt::format("Invalid value: '{}' cannot be included.", std::string_view(*word)));
    }
    if (*word == kIncludable[0]) asked.encrypted = true;
    if (*word == kIncludable[1]) asked.request.sampling.logprobs = 0;
  }
}

void read_logprobs(FieldReader& body, CreateRequest& asked) {
  const std::optional<int64_t> top = body.integer("top_logprobs", 0, kTopLogprobsMax);
  read_include(body, asked);
  engine::SamplingParams& sampling = asked.request.sampling;
  if (top && (*top > 0 || sampling.logprobs >= 0)) sampling.logprobs = static_cast<int>(*top);
}

std::string_view read_text(FieldReader& body, service::Request& to) {
  const boost::json::object* object = body.object("text");
  if (object == nullptr) return {};
  FieldReader text(*object, "text", body);
  const std::string_view verbosity = text.word("verbosity", {"low", "medium", "high"}).value_or("");
  const boost::json::object* inner = text.object("format");
  if (inner == nullptr) return verbosity;
  FieldReader format(*inner, "text.format", text);
  if (format.any("type") == nullptr) format.missing("type");
  const std::string_view type =
      format.word("type", {"text", "json_object", "json_schema"}).value_or("text");
  if (type == "text") return verbosity;
  to.format_field = "text.format";
  if (!std::holds_alternative<std::monostate>(to.format)) {
    text.wrong("format", "Invalid 'text.format': the answer's format is given twice.");
  } else if (type == "json_object") {
    to.format = service::JsonObjectFormat{};
  } else {
    for (const char* name : {"name", "schema"})
      if (format.any(name) == nullptr) format.missing(name);
    to.format = read_named_schema(format).value_or(service::JsonObjectFormat{});
    to.format_field = format.path_of("schema");
  }
  return verbosity;
}

// The model's thinking and the verbosity, read as chat completions do it.
void read_thinking_of(FieldReader& body, const service::Model& model, std::string_view verbosity,
                      CreateRequest& asked, service::Conversation& to) {
  ChatRequest chat;
  read_thinking(body, model, verbosity, chat, to);
  asked.request.reading = chat.request.reading;
  asked.show_reasoning = chat.options.show_reasoning;
  const boost::json::object* object = body.object("reasoning");
  if (object == nullptr) return;
  FieldReader reasoning(*object, "reasoning", body);
  for (const char* name : {"summary", "generate_summary"})
    if (reasoning.word(name, {"auto", "concise", "detailed"})) asked.summary = true;
}

void read_own_limits(FieldReader& body, const service::Model& model, CreateRequest& asked) {
  refuse(body, kRefused);
  refuse(body, common_refused_fields());
  read_sampling(body, model, asked.request);
  read_limits(body, model, 1, asked.request);
  if (const auto limit = body.integer("max_output_tokens", 1, kIntMax))
    asked.request.max_tokens = static_cast<int>(*limit);
  // Counts calls of tools that run on the server, of which there are none here.
  body.integer("max_tool_calls", 1, kIntMax);
}

void read_handling(FieldReader& body, CreateRequest& asked) {
  asked.stream = read_stream(body).stream;
  asked.background = body.boolean("background").value_or(false);
  asked.store = body.boolean("store");
  if (asked.background && asked.store == false)
    body.wrong("background", "Invalid 'background': it needs 'store' to be true.");
  asked.previous_response_id = body.string("previous_response_id").value_or("");
  asked.truncate = body.word("truncation", {"auto", "disabled"}) == "auto";
  asked.service_tier = read_tier(body, asked.request);
  read_labels(body);
}

/// Reads `input` and what came before it into a conversation.
class InputReader {
 public:
  InputReader(FieldReader& body, const History& history, CreateRequest& asked)
      : body_(body),
        history_(history),
        asked_(asked),
        items_(asked.tools, asked.warnings),
        referenced_(history) {}

  std::vector<service::Message> read(const std::string& id_end) {
    items_.instructions(body_.string("instructions").value_or(""));
    if (!asked_.previous_response_id.empty()) read_history();
    const boost::json::value* input = body_.any("input");
    if (input == nullptr) {
      if (asked_.previous_response_id.empty()) body_.missing("input");
    } else if (const boost::json::string* text = input->if_string()) {
      boost::json::object message;
      message["role"] = "user";
      message["content"] = *text;
      take(message, "input", id_end);
    } else if (const boost::json::array* list = input->if_array()) {
      read_list(*list, id_end);
    } else {
      body_.wrong_type("input", "a string or an array of items", *input);
    }
    return items_.take();
  }

 private:
  void read_history() {
    const Result<boost::json::array> before = history_.up_to(asked_.previous_response_id);
    if (!before.ok()) return fail_with(before.error());
    for (const boost::json::value& item : *before)
      items_.read(body_, "previous_response_id", item.get_object());
  }

  void read_list(const boost::json::array& list, const std::string& id_end) {
    if (list.empty() && asked_.previous_response_id.empty()) {
      return body_.wrong("input", "Invalid 'input': at least one item was expected.",
                         "empty_array");
    }
    if (list.size() > kItemsMax) {
      return body_.wrong("input",
                         fmt::format("Invalid 'input': at most {} items were expected.", kItemsMax),
                         "array_above_max_length");
    }
    for (size_t i = 0; i < list.size() && body_.ok() && !asked_.not_found; ++i) {
      const std::string path = fmt::format("input[{}]", i);
      const boost::json::object* item = list[i].if_object();
      if (item == nullptr) return body_.wrong_type(path, "an object", list[i]);
      take(*item, path, fmt::format("{}{}", id_end, i));
    }
  }

  void take(const boost::json::object& item, const std::string& path, const std::string& id_end) {
    if (is_reference(item)) return take_reference(item, path);
    items_.read(body_, path, item);
    if (body_.ok()) asked_.input.push_back(listed_item(item, id_end));
  }

  static bool is_reference(const boost::json::object& item) {
    const boost::json::value* type = item.if_contains("type");
    if (type != nullptr && type->is_string()) return type->get_string() == "item_reference";
    return (type == nullptr || type->is_null()) && item.size() <= 2 && item.contains("id");
  }

  void take_reference(const boost::json::object& item, const std::string& path) {
    FieldReader reference(item, path, body_);
    const std::optional<std::string_view> id = reference.string("id");
    if (!id) {
      if (reference.any("id") == nullptr) reference.missing("id");
      return;
    }
    const Result<const boost::json::object*> found = referenced_.item(*id);
    if (!found.ok()) return fail_with(found.error());
    items_.read(body_, path, **found);
    if (body_.ok()) asked_.input.push_back(**found);
  }

  void fail_with(const Error& error) {
    if (!asked_.not_found) asked_.not_found = error;
  }

  FieldReader& body_;
  const History& history_;
  CreateRequest& asked_;
  ItemsReader items_;
  ReferencedItems referenced_;
};

// `text` as it was given; it always has a format.
void write_text_form(JsonWriter& json, const boost::json::value* text) {
  boost::json::object form;
  if (text != nullptr) form = text->get_object();
  boost::json::value& format = form["format"];
  if (format.is_null()) format = {{"type", "text"}};
  json.value(form);
}

// Both fields are always there.
void write_reasoning(JsonWriter& json, const boost::json::value* asked) {
  boost::json::object form;
  if (asked != nullptr && asked->is_object()) form = asked->get_object();
  for (const char* name : {"effort", "summary"}) form[name];  // null, where it is absent
  json.value(form);
}

// The fields that a response repeats. Requires: the body is right.
std::string echo(const FieldReader& body, const CreateRequest& asked) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  const auto same = [&](const char* name, std::string_view absent) {
    const boost::json::value* value = body.any(name);
    json.key(name);
    if (value != nullptr) {
      json.value(*value);
    } else {
      json.raw(absent);
    }
  };
  json.field("background", asked.background);
  for (const char* name : {"instructions", "max_output_tokens", "max_tool_calls"})
    same(name, "null");
  json.field("parallel_tool_calls", asked.request.tool_choice.parallel);
  for (const char* name : {"previous_response_id", "prompt_cache_key"}) same(name, "null");
  write_reasoning(json.key("reasoning"), body.any("reasoning"));
  same("safety_identifier", "null");
  json.key("frequency_penalty").number(asked.request.sampling.frequency_penalty);
  json.key("presence_penalty").number(asked.request.sampling.presence_penalty);
  json.field("service_tier", asked.service_tier.empty() ? "default" : asked.service_tier);
  json.key("temperature").number(asked.request.sampling.temperature);
  write_text_form(json.key("text"), body.any("text"));
  same("tool_choice", R"("auto")");
  same("tools", "[]");
  json.field("top_logprobs", std::max(0, asked.request.sampling.logprobs));
  json.key("top_p").number(asked.request.sampling.top_p);
  json.field("truncation", asked.truncate ? "auto" : "disabled");
  same("user", "null");
  same("metadata", "{}");
  json.end_object();
  return out;
}

}  // namespace

CreateRequest read_create(FieldReader& body, const service::Model& model, const History& history,
                          const std::string& id_end) {
  CreateRequest asked;
  service::Conversation conversation;
  read_own_limits(body, model, asked);
  read_tools(body, asked.tools, conversation.tools, asked.warnings);
  asked.request.tool_choice = read_tool_choice(body, asked.tools);
  hide_tools(asked.request.tool_choice, conversation.tools);
  read_logprobs(body, asked);
  const std::string_view verbosity = read_text(body, asked.request);
  read_thinking_of(body, model, verbosity, asked, conversation);
  read_handling(body, asked);
  conversation.messages = InputReader(body, history, asked).read(id_end);
  if (!body.ok()) return asked;
  asked.echo_json = echo(body, asked);
  asked.request.prompts.emplace_back(std::move(conversation));
  return asked;
}

}  // namespace pippin::api::openai::responses
