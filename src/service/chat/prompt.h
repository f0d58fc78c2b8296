// prompt_tokens: what a request asks, as the model's tokens. Thread: any; milliseconds for a long
// conversation.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::service {

struct RenderedPrompt {
  std::vector<Token> tokens;
  std::string text;                     // of a conversation: what the template wrote
  std::vector<std::string_view> rules;  // and those of the model's PromptRules that changed it
};

/// The most bytes of text that are read where tokens are only counted.
inline constexpr size_t kCountedBytesMax = size_t{4} << 20;

/// Renders and encodes a prompt. User text cannot form special tokens; template text and raw
/// prompts can. Fewer than `tokens_max` tokens are allowed: a large text that cannot have so few is
/// refused before it is rendered, or before it is tokenised, or while it is. Without `tokens_max`
/// kCountedBytesMax are read. Errors: kUnsupported (no chat template), kInvalidArgument (the
/// template refuses, an id out of range, nothing to read), kContextLength (tokens_max), kTooLarge
/// (without it).
Result<RenderedPrompt> render_prompt(const Model& model, const Prompt& prompt,
                                     std::optional<size_t> tokens_max = std::nullopt);
Result<std::vector<Token>> prompt_tokens(const Model& model, const Prompt& prompt,
                                         std::optional<size_t> tokens_max = std::nullopt);
/// Encodes pieces of text that are no whole prompt, within the same bounds; `field` is what errors
/// name. Errors: kContextLength, kTooLarge.
Result<std::vector<Token>> text_tokens(const Model& model, const std::vector<text::Span>& spans,
                                       bool add_special, std::string_view field,
                                       std::optional<size_t> tokens_max = std::nullopt);

/// Returns the bytes of all texts that a template is given.
size_t text_bytes(const Conversation& conversation);

}  // namespace pippin::service
