#include "service/chat/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "service/chat/template_context.h"

namespace pippin::service {
namespace {

// Stands behind the last message's text while it is rendered, to tell where that ends. Private-use
// characters, which no template trims or looks for.
constexpr std::string_view kEndMark = "\uF8F1\uE07A\uF8F1";

// Smaller texts are tokenised at once: then the error's number is the true one.
constexpr size_t kLargeBytes = size_t{1} << 20;

std::string_view field_of(const Prompt& prompt) {
  return std::holds_alternative<Conversation>(prompt) ? "messages" : "prompt";
}

// `came`: "5000 tokens". Two wordings, for the clients that look for either to shorten a
// conversation by themselves.
Error too_long(std::string_view field, size_t tokens_max, const std::string& came,
               const std::string& most) {
  return fail(
      Code::kContextLength,
      fmt::format("prompt is too long: {} > {} maximum. This model's maximum context length is {} "
                  "tokens, prompt and answer together. However, your {} resulted in {}. Please "
                  "shorten it.",
                  came.starts_with("at least ") ? came.substr(9) : came, most, tokens_max, field,
                  came),
      std::string(field));
}

Error too_many_tokens(std::string_view field, size_t tokens_max, size_t tokens, bool at_least) {
  return too_long(field, tokens_max,
                  fmt::format("{}{} tokens", at_least ? "at least " : "", tokens),
                  fmt::format("{}", tokens_max));
}

// Refuses so many bytes of text, whatever they are.
Result<void> check_bytes(const Model& model, std::string_view field, size_t bytes,
                         std::optional<size_t> tokens_max) {
  if (!tokens_max) {
    if (bytes <= kCountedBytesMax) return {};
    return fail(Code::kTooLarge,
                fmt::format("Invalid '{}': at most {} bytes of text are read where no answer is "
                            "asked for, {} came.",
                            field, kCountedBytesMax, bytes),
                std::string(field));
  }
  const size_t most = std::max(kLargeBytes, model.token_bound.bytes_max(*tokens_max));
  if (bytes <= most) return {};
  return too_long(field, *tokens_max, fmt::format("{} bytes of text", bytes),
                  fmt::format("{}", most));
}

// Of a large text that is too long it is enough to know that.
size_t encoded_max(size_t bytes, std::optional<size_t> tokens_max) {
  return bytes < kLargeBytes ? SIZE_MAX : tokens_max.value_or(SIZE_MAX);
}

// The text that every template shows: what the user says. Of other messages it may leave some out.
std::string said_by_user(const Conversation& conversation) {
  std::string text;
  for (const Message& message : conversation.messages) {
    if (message.role != Role::kUser) continue;
    for (const Part& part : message.parts)
      if (const auto* piece = std::get_if<TextPart>(&part)) text += piece->text;
  }
  return text;
}

std::string joined(const std::vector<text::Span>& spans) {
  std::string text;
  for (const text::Span& span : spans) text += span.text;
  return text;
}

// Refuses a large text that is too long for sure.
Result<void> check_text(const Model& model, std::string_view field, std::string_view text,
                        std::optional<size_t> tokens_max) {
  RETURN_IF_ERROR(check_bytes(model, field, text.size(), tokens_max));
  if (!tokens_max || text.size() < kLargeBytes) return {};
  const size_t least = model.token_bound.at_least(text);
  if (least >= *tokens_max) return too_many_tokens(field, *tokens_max, least, true);
  return {};
}

Error refusal(Error error) {
  error.message = "The model's chat template refuses this conversation: " + error.message;
  error.param = "messages";
  return error;
}

// Renders as the template likes it best: as the conversation is or, if it refuses that, bent to it.
Result<std::vector<text::Span>> render(const Model& model, const Conversation& conversation) {
  const auto attempt = [&](Adaptation adaptation) {
    return model.chat_template->render_spans(template_context(model, conversation, adaptation),
                                             *model.tokenizer);
  };
  Result<std::vector<text::Span>> spans = attempt(Adaptation::kPlain);
  if (spans.ok()) return spans;
  Result<std::vector<text::Span>> bent = attempt(Adaptation::kStrict);
  return bent.ok() ? std::move(bent) : Result<std::vector<text::Span>>(refusal(spans.error()));
}

// Cuts off all that the template wrote behind the mark, and the mark.
Result<void> cut_at_mark(std::vector<text::Span>& spans) {
  for (size_t i = spans.size(); i-- > 0;) {
    const size_t at = spans[i].text.rfind(kEndMark);
    if (at == std::string::npos) continue;
    spans[i].text.resize(at);
    spans.resize(i + 1);
    return {};
  }
  return fail(
      Code::kUnsupported,
      "The model's chat template does not show the last message as it is, so that it cannot "
      "be continued",
      "continue_final_message");
}

Result<std::vector<text::Span>> render_continued(const Model& model, Conversation conversation) {
  if (conversation.messages.empty() || conversation.messages.back().role != Role::kAssistant ||
      !conversation.messages.back().tool_calls.empty()) {
    return fail(Code::kInvalidArgument,
                "Only a text of the assistant, as the last message, can be continued",
                "continue_final_message");
  }
  std::vector<Part>& parts = conversation.messages.back().parts;
  if (parts.empty()) parts.emplace_back(TextPart{});
  std::get<TextPart>(parts.back()).text += kEndMark;
  ASSIGN_OR_RETURN(std::vector<text::Span> spans, render(model, conversation));
  RETURN_IF_ERROR(cut_at_mark(spans));
  return spans;
}

Result<RenderedPrompt> render_conversation(const Model& model, const Prompt& prompt,
                                           std::optional<size_t> tokens_max) {
  Conversation conversation = std::get<Conversation>(prompt);
  if (model.chat_template == nullptr) {
    return fail(Code::kUnsupported,
                "The model `" + model.id + "` has no chat template; use /v1/completions",
                "messages");
  }
  // What others say a template may leave out; but not so much more than anybody could read.
  RETURN_IF_ERROR(check_bytes(model, "messages", text_bytes(conversation), tokens_max));
  RETURN_IF_ERROR(check_text(model, "messages", said_by_user(conversation), tokens_max));
  std::vector<std::string_view> rules = model.prompt_rules.apply(conversation);
  ASSIGN_OR_RETURN(const std::vector<text::Span> spans, conversation.continue_final_message
                                                            ? render_continued(model, conversation)
                                                            : render(model, conversation));
  std::string text = joined(spans);
  RETURN_IF_ERROR(check_text(model, "messages", text, tokens_max));
  ASSIGN_OR_RETURN(std::vector<Token> tokens,
                   model.tokenizer->encode(spans, false, encoded_max(text.size(), tokens_max)));
  // Most templates write BOS themselves; where one does not and the model wants it, it is put here,
  // once.
  const std::optional<Token> bos = model.tokenizer->bos();
  if (model.tokenizer->adds_bos() && bos && (tokens.empty() || tokens.front() != *bos)) {
    tokens.insert(tokens.begin(), *bos);
  }
  return RenderedPrompt{std::move(tokens), std::move(text), std::move(rules)};
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

Result<RenderedPrompt> render_any(const Model& model, const Prompt& prompt,
                                  std::optional<size_t> tokens_max) {
  if (std::holds_alternative<Conversation>(prompt))
    return render_conversation(model, prompt, tokens_max);
  RenderedPrompt rendered;
  if (const auto* raw = std::get_if<TextPrompt>(&prompt)) {
    RETURN_IF_ERROR(check_text(model, "prompt", raw->text, tokens_max));
    ASSIGN_OR_RETURN(rendered.tokens,
                     model.tokenizer->encode(raw->text, true, text::Specials::kParse,
                                             encoded_max(raw->text.size(), tokens_max)));
  } else {
    ASSIGN_OR_RETURN(rendered.tokens, checked_tokens(model, std::get<TokenPrompt>(prompt).tokens));
  }
  return rendered;
}

// The size of the text that was encoded.
size_t text_size(const Prompt& prompt, const RenderedPrompt& rendered) {
  const auto* raw = std::get_if<TextPrompt>(&prompt);
  return raw != nullptr ? raw->text.size() : rendered.text.size();
}

}  // namespace

Result<RenderedPrompt> render_prompt(const Model& model, const Prompt& prompt,
                                     std::optional<size_t> tokens_max) {
  ASSIGN_OR_RETURN(RenderedPrompt rendered, render_any(model, prompt, tokens_max));
  const size_t size = rendered.tokens.size();
  if (tokens_max && size >= *tokens_max) {
    const bool cut = size > *tokens_max && text_size(prompt, rendered) >= kLargeBytes;
    return too_many_tokens(field_of(prompt), *tokens_max, size, cut);
  }
  return rendered;
}

Result<std::vector<Token>> prompt_tokens(const Model& model, const Prompt& prompt,
                                         std::optional<size_t> tokens_max) {
  ASSIGN_OR_RETURN(RenderedPrompt rendered, render_prompt(model, prompt, tokens_max));
  return std::move(rendered.tokens);
}

Result<std::vector<Token>> text_tokens(const Model& model, const std::vector<text::Span>& spans,
                                       bool add_special, std::string_view field,
                                       std::optional<size_t> tokens_max) {
  size_t bytes = 0;
  for (const text::Span& span : spans) bytes += span.text.size();
  RETURN_IF_ERROR(check_bytes(model, field, bytes, tokens_max));
  if (bytes >= kLargeBytes) RETURN_IF_ERROR(check_text(model, field, joined(spans), tokens_max));
  const size_t encoded = encoded_max(bytes, tokens_max);
  ASSIGN_OR_RETURN(std::vector<Token> tokens, model.tokenizer->encode(spans, add_special, encoded));
  if (tokens_max && tokens.size() >= *tokens_max)
    return too_many_tokens(field, *tokens_max, tokens.size(), encoded != SIZE_MAX);
  return tokens;
}

size_t text_bytes(const Conversation& conversation) {
  size_t bytes = conversation.template_kwargs_json.size();
  for (const Tool& tool : conversation.tools) bytes += tool.definition_json.size();
  for (const Message& message : conversation.messages) {
    bytes += message.reasoning.size();
    for (const Part& part : message.parts)
      if (const auto* piece = std::get_if<TextPart>(&part)) bytes += piece->text.size();
    for (const ToolCall& call : message.tool_calls) bytes += call.arguments_json.size();
  }
  return bytes;
}

}  // namespace pippin::service
