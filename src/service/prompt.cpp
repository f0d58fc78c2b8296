#include "service/prompt.h"

#include <string_view>
#include <utility>

#include "service/template_context.h"

namespace pippin::service {
namespace {

// Stands behind the last message's text while it is rendered, to tell where that ends. Private-use
// characters, which no template trims or looks for.
constexpr std::string_view kEndMark = "\uF8F1\uE07A\uF8F1";

// Smaller texts are tokenised at once: then the error's number is the true one.
constexpr size_t kLargeBytes = size_t{1} << 20;

Error too_long(const Prompt& prompt, size_t tokens_max, size_t tokens, bool at_least) {
  const bool chat = std::holds_alternative<Conversation>(prompt);
  const std::string came = std::to_string(tokens);
  const std::string most = std::to_string(tokens_max);
  // Two wordings, for the clients that look for either to shorten a conversation by themselves.
  return fail(Code::kContextLength,
              "prompt is too long: " + came + " tokens > " + most +
                  " maximum. This model's maximum context length is " + most +
                  " tokens, prompt and answer together. However, your " +
                  (chat ? "messages" : "prompt") + " resulted in " + (at_least ? "at least " : "") +
                  came + " tokens. Please shorten it.",
              chat ? "messages" : "prompt");
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

// Refuses a large text that cannot have fewer than `tokens_max` tokens.
Result<void> check_bound(const Model& model, const Prompt& prompt, std::string_view text,
                         std::optional<size_t> tokens_max) {
  if (!tokens_max || text.size() < kLargeBytes) return {};
  const size_t least = model.token_bound.at_least(text);
  if (least >= *tokens_max) return too_long(prompt, *tokens_max, least, true);
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
  RETURN_IF_ERROR(check_bound(model, prompt, said_by_user(conversation), tokens_max));
  std::vector<std::string_view> rules = model.prompt_rules.apply(conversation);
  ASSIGN_OR_RETURN(const std::vector<text::Span> spans, conversation.continue_final_message
                                                            ? render_continued(model, conversation)
                                                            : render(model, conversation));
  std::string text = joined(spans);
  RETURN_IF_ERROR(check_bound(model, prompt, text, tokens_max));
  ASSIGN_OR_RETURN(std::vector<Token> tokens, model.tokenizer->encode(spans, false));
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
    RETURN_IF_ERROR(check_bound(model, prompt, raw->text, tokens_max));
    ASSIGN_OR_RETURN(rendered.tokens,
                     model.tokenizer->encode(raw->text, true, text::Specials::kParse));
  } else {
    ASSIGN_OR_RETURN(rendered.tokens, checked_tokens(model, std::get<TokenPrompt>(prompt).tokens));
  }
  return rendered;
}

}  // namespace

Result<RenderedPrompt> render_prompt(const Model& model, const Prompt& prompt,
                                     std::optional<size_t> tokens_max) {
  ASSIGN_OR_RETURN(RenderedPrompt rendered, render_any(model, prompt, tokens_max));
  const size_t size = rendered.tokens.size();
  if (tokens_max && size >= *tokens_max) return too_long(prompt, *tokens_max, size, false);
  return rendered;
}

Result<std::vector<Token>> prompt_tokens(const Model& model, const Prompt& prompt) {
  ASSIGN_OR_RETURN(RenderedPrompt rendered, render_prompt(model, prompt));
  return std::move(rendered.tokens);
}

}  // namespace pippin::service
