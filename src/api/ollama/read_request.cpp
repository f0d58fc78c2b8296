#include "api/ollama/read_request.h"

#include <fmt/format.h>

#include <utility>

#include "api/ollama/go_template.h"
#include "api/ollama/read_messages.h"
#include "api/openai/read_chat_parts.h"
#include "api/shared/sampling.h"
#include "service/chat/fim.h"
#include "service/chat/prompt.h"

namespace pippin::api::ollama {
namespace {

using service::Conversation;
using service::Message;
using service::Model;
using service::Role;

constexpr int kTopLogprobsMax = 20;

Message text_message(Role role, std::string_view text) {
  Message message;
  message.role = role;
  message.parts.emplace_back(service::TextPart{std::string(text)});
  return message;
}

// "json", a schema, or nothing.
void read_format(FieldReader& reader, service::Request& to) {
  const boost::json::value* format = reader.any("format");
  if (format == nullptr) return;
  to.format_field = "format";
  if (format->is_object()) {
    service::JsonSchemaFormat schema;
    service::JsonWriter(schema.schema_json).value(*format);
    to.format = std::move(schema);
  } else if (!format->is_string()) {
    reader.wrong_type("format", "\"json\" or a JSON Schema", *format);
  } else if (format->get_string() == "json") {
    to.format = service::JsonObjectFormat{};
  } else if (!format->get_string().empty()) {
    reader.wrong("format", fmt::format("invalid format: '{}'; expected \"json\" or a valid JSON "
                                       "Schema object",
                                       std::string_view(format->get_string())));
  }
}

void read_logprobs(FieldReader& reader, engine::SamplingParams& sampling) {
  const bool wanted = reader.boolean("logprobs").value_or(false);
  const std::optional<int64_t> top = reader.integer("top_logprobs", 0, kTopLogprobsMax);
  if (wanted) sampling.logprobs = static_cast<int>(top.value_or(0));
}

/// What a made model sets and a request may set again.
struct Overlay {
  std::string_view system, template_text;
};

Overlay overlay_of(const Served& served) {
  if (!served.made) return {};
  return {served.made->system, served.made->template_text};
}

Overlay read_overlay(FieldReader& reader, const Served& served) {
  Overlay overlay = overlay_of(served);
  // An empty text asks for nothing, as clients with empty fields send it.
  const std::string_view system = reader.string("system").value_or("");
  const std::string_view text = reader.string("template").value_or("");
  if (!system.empty()) overlay.system = system;
  if (!text.empty()) overlay.template_text = text;
  return overlay;
}

// The fields that both routes share. The model's own parameters stand below the request's.
void read_common(FieldReader& reader, const Served& served, GenerateRequest& asked) {
  boost::json::object options;
  if (served.made) options = served.made->parameters;
  if (const boost::json::object* given = reader.object("options")) {
    for (const auto& [name, value] : *given) options[name] = value;
  }
  FieldReader fields(options, "options", reader);
  read_options(fields, served.model, asked.request);
  asked.options.warnings = options_without_effect(fields);
  read_format(reader, asked.request);
  read_logprobs(reader, asked.request.sampling);
  asked.keep_alive = read_keep_alive(reader);
  asked.options.stream = reader.boolean("stream").value_or(true);
}

// The messages that a made model puts first.
void put_first(FieldReader& reader, const Served& served, std::string_view system,
               Conversation& to) {
  if (!served.made) return;
  std::vector<Message> first;
  read_messages(reader, "messages", served.made->messages, first);
  to.messages.insert(to.messages.begin(), first.begin(), first.end());
  const bool has_system = !to.messages.empty() && to.messages.front().role == Role::kSystem;
  if (!system.empty() && !has_system)
    to.messages.insert(to.messages.begin(), text_message(Role::kSystem, system));
}

// A prompt through a template of Go's; thinking and calls are then part of the text.
void use_template(const Model& model, std::string_view text, const Conversation& conversation,
                  GenerateRequest& asked) {
  const auto tokens_of = [&]() -> Result<std::vector<service::Token>> {
    ASSIGN_OR_RETURN(const std::vector<text::Span> spans, render_go_template(text, conversation));
    return service::text_tokens(model, spans, true, "prompt",
                                static_cast<size_t>(model.context_tokens_max));
  };
  Result<std::vector<service::Token>> tokens = tokens_of();
  if (!tokens.ok()) {
    asked.error = tokens.error();
    return;
  }
  asked.request.prompts.emplace_back(service::TokenPrompt{std::move(*tokens)});
}

// Puts the tokens of an earlier answer before a prompt.
void continue_context(FieldReader& reader, const boost::json::array& context, const Model& model,
                      GenerateRequest& asked) {
  service::TokenPrompt whole;
  read_tokens(reader, "context", context, model, whole.tokens);
  if (!reader.ok() || asked.request.prompts.empty()) return;
  Result<std::vector<service::Token>> tokens = service::prompt_tokens(
      model, asked.request.prompts.front(), static_cast<size_t>(model.context_tokens_max));
  if (!tokens.ok()) {
    asked.error = tokens.error();
    return;
  }
  const std::optional<service::Token> bos = model.tokenizer->bos();
  const bool again = model.tokenizer->adds_bos() && bos && !tokens->empty() &&
                     tokens->front() == *bos && !whole.tokens.empty();
  whole.tokens.insert(whole.tokens.end(), tokens->begin() + (again ? 1 : 0), tokens->end());
  asked.request.prompts.front() = std::move(whole);
}

void use_infill(const Model& model, std::string_view prompt, std::string_view suffix,
                GenerateRequest& asked) {
  Result<service::FimPrompt> infill =
      service::fim_prompt(model, service::TextPrompt{std::string(prompt)}, suffix);
  if (!infill.ok()) {
    asked.error = infill.error();
    return;
  }
  asked.request.prompts.emplace_back(service::TokenPrompt{std::move(infill->prompt)});
  asked.request.stop_tokens = std::move(infill->stop_tokens);
}

// A prompt as the only message of a conversation.
void use_conversation(FieldReader& reader, const Served& served, std::string_view prompt,
                      const Overlay& overlay, std::string&& kwargs, GenerateRequest& asked) {
  Conversation conversation;
  conversation.messages.push_back(text_message(Role::kUser, prompt));
  put_first(reader, served, overlay.system, conversation);
  const bool has_system = conversation.messages.front().role == Role::kSystem;
  if (!overlay.system.empty() && !has_system) {
    conversation.messages.insert(conversation.messages.begin(),
                                 text_message(Role::kSystem, overlay.system));
  }
  conversation.template_kwargs_json = std::move(kwargs);
  if (!overlay.template_text.empty())
    return use_template(served.model, overlay.template_text, conversation, asked);
  if (served.model.chat_template != nullptr) {
    asked.request.prompts.emplace_back(std::move(conversation));
    return;
  }
  std::string text(overlay.system);
  if (!text.empty()) text += '\n';
  asked.request.prompts.emplace_back(service::TextPrompt{text + std::string(prompt)});
}

}  // namespace

GenerateRequest read_chat(FieldReader& reader, const Served& served) {
  GenerateRequest asked;
  asked.options.chat = true;
  Conversation conversation;
  const boost::json::array* messages = reader.array("messages");
  if (messages != nullptr) read_messages(reader, "messages", *messages, conversation.messages);
  const bool loads_only = conversation.messages.empty();
  const Overlay overlay = overlay_of(served);
  put_first(reader, served, overlay.system, conversation);
  openai::read_tools(reader, asked.request, conversation);
  asked.options.show_thinking = read_think(reader, served.model, served.name, asked.request,
                                           conversation.template_kwargs_json);
  read_common(reader, served, asked);
  if (loads_only || !reader.ok()) return asked;
  // The answer goes on with a last message of the assistant, as Ollama's templates leave it open.
  const Message& last = conversation.messages.back();
  const bool goes_on =
      last.role == Role::kAssistant && last.tool_calls.empty() && !last.parts.empty();
  conversation.continue_final_message = goes_on;
  conversation.add_generation_prompt = !goes_on;
  if (!overlay.template_text.empty()) {
    use_template(served.model, overlay.template_text, conversation, asked);
  } else {
    asked.request.prompts.emplace_back(std::move(conversation));
  }
  return asked;
}

GenerateRequest read_generate(FieldReader& reader, const Served& served) {
  GenerateRequest asked;
  const std::string_view prompt = reader.string("prompt").value_or("");
  const std::string_view suffix = reader.string("suffix").value_or("");
  const bool raw = reader.boolean("raw").value_or(false);
  const Overlay overlay = read_overlay(reader, served);
  refuse_images(reader);
  std::string kwargs;
  asked.options.show_thinking =
      read_think(reader, served.model, served.name, asked.request, kwargs);
  read_common(reader, served, asked);
  const boost::json::array* context = reader.array("context");
  if (raw && context != nullptr && !context->empty())
    reader.wrong("context", "raw mode does not support template, system, or context");
  if (!reader.ok() || (prompt.empty() && suffix.empty())) return asked;
  if (!suffix.empty()) {
    use_infill(served.model, prompt, suffix, asked);
  } else if (raw) {
    asked.request.prompts.emplace_back(service::TextPrompt{std::string(prompt)});
  } else {
    use_conversation(reader, served, prompt, overlay, std::move(kwargs), asked);
    if (context != nullptr && !asked.error) continue_context(reader, *context, served.model, asked);
    asked.options.context = true;
  }
  return asked;
}

}  // namespace pippin::api::ollama
