#include "service/prompt.h"

#include <string_view>

#include "service/json.h"

namespace pippin::service {
namespace {

std::string_view role_name(Role role, bool knows_developer) {
  switch (role) {
    case Role::kSystem:
      return "system";
    case Role::kDeveloper:
      return knows_developer ? "developer" : "system";
    case Role::kUser:
      return "user";
    case Role::kAssistant:
      return "assistant";
    case Role::kTool:
      return "tool";
  }
  return "user";
}

// Most templates take content as one string only, so text parts are joined by line breaks.
std::string joined_text(const Message& message) {
  std::string text;
  for (const Part& part : message.parts) {
    if (!text.empty()) text += '\n';
    text += std::get<TextPart>(part).text;
  }
  return text;
}

// Templates want arguments as an object; what does not parse as one stays the string that the model
// wrote.
void write_arguments(JsonWriter& json, const std::string& arguments) {
  const Result<boost::json::value> parsed = parse_json(arguments);
  if (parsed.ok() && parsed->is_object()) {
    json.value(*parsed);
  } else {
    json.string(arguments);
  }
}

void write_tool_calls(JsonWriter& json, const std::vector<ToolCall>& calls) {
  json.key("tool_calls").begin_array();
  for (const ToolCall& call : calls) {
    json.begin_object().field("id", call.id).field("type", "function");
    json.key("function").begin_object().field("name", call.name).key("arguments");
    write_arguments(json, call.arguments_json);
    json.end_object().end_object();
  }
  json.end_array();
}

void write_message(JsonWriter& json, const Message& message, bool knows_developer) {
  json.begin_object().field("role", role_name(message.role, knows_developer));
  // A call without text has null content in the wire; templates that print it would print "None".
  json.field("content", joined_text(message));
  if (!message.name.empty()) json.field("name", message.name);
  if (!message.tool_call_id.empty()) json.field("tool_call_id", message.tool_call_id);
  if (!message.reasoning.empty()) json.field("reasoning_content", message.reasoning);
  if (!message.tool_calls.empty()) write_tool_calls(json, message.tool_calls);
  json.end_object();
}

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

Result<RenderedPrompt> render_conversation(const Model& model, const Conversation& conversation) {
  if (model.chat_template == nullptr) {
    return fail(Code::kUnsupported,
                "The model `" + model.id + "` has no chat template; use /v1/completions",
                "messages");
  }
  Result<std::vector<text::Span>> spans =
      model.chat_template->render_spans(template_context(model, conversation), *model.tokenizer);
  if (!spans.ok()) {
    Error error = spans.error();
    error.message = "The model's chat template refuses this conversation: " + error.message;
    error.param = "messages";
    return error;
  }
  ASSIGN_OR_RETURN(std::vector<Token> tokens, model.tokenizer->encode(*spans, false));
  // Most templates write BOS themselves; where one does not and the model wants it, it is put here,
  // once.
  const std::optional<Token> bos = model.tokenizer->bos();
  if (model.tokenizer->adds_bos() && bos && (tokens.empty() || tokens.front() != *bos)) {
    tokens.insert(tokens.begin(), *bos);
  }
  RenderedPrompt rendered{std::move(tokens), {}};
  for (const text::Span& span : *spans) rendered.text += span.text;
  return rendered;
}

Result<std::vector<Token>> checked_tokens(const Model& model, const std::vector<Token>& tokens) {
  for (const Token token : tokens) {
    if (token < 0 || token >= model.tokenizer->vocab_size()) {
      return fail(Code::kInvalidArgument,
                  "a token id in [0, " + std::to_string(model.tokenizer->vocab_size()) +
                      ") was expected, " + std::to_string(token) + " came",
                  "prompt");
    }
  }
  return tokens;
}

}  // namespace

std::string template_context(const Model& model, const Conversation& conversation) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  const bool knows_developer = model.chat_template->source().find("developer") != std::string::npos;
  json.key("messages").begin_array();
  for (const Message& message : conversation.messages)
    write_message(json, message, knows_developer);
  json.end_array();
  write_tools(json, conversation.tools);
  json.key("documents").null();
  json.field("add_generation_prompt", conversation.add_generation_prompt);
  json.field("bos_token", model.bos_text).field("eos_token", model.eos_text);
  // The kwargs' members follow, so that they win over the tokens above.
  const std::string_view kwargs = conversation.template_kwargs_json;
  if (kwargs.size() > 2) json.raw(kwargs.substr(1, kwargs.size() - 2));
  json.end_object();
  return out;
}

Result<RenderedPrompt> render_prompt(const Model& model, const Prompt& prompt) {
  if (const auto* conversation = std::get_if<Conversation>(&prompt))
    return render_conversation(model, *conversation);
  RenderedPrompt rendered;
  if (const auto* raw = std::get_if<TextPrompt>(&prompt)) {
    ASSIGN_OR_RETURN(rendered.tokens,
                     model.tokenizer->encode(raw->text, true, text::Specials::kParse));
  } else {
    ASSIGN_OR_RETURN(rendered.tokens, checked_tokens(model, std::get<TokenPrompt>(prompt).tokens));
  }
  return rendered;
}

Result<std::vector<Token>> prompt_tokens(const Model& model, const Prompt& prompt) {
  ASSIGN_OR_RETURN(RenderedPrompt rendered, render_prompt(model, prompt));
  return std::move(rendered.tokens);
}

}  // namespace pippin::service
