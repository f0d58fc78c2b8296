// prompt_tokens: what a request asks, as the model's tokens. Thread: any; milliseconds for a long
// conversation.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/model.h"
#include "service/request.h"

namespace pippin::service {

struct RenderedPrompt {
  std::vector<Token> tokens;
  std::string text;                     // of a conversation: what the template wrote
  std::vector<std::string_view> rules;  // and those of the model's PromptRules that changed it
};

/// Renders and encodes a prompt. User text cannot form special tokens; template text and raw
/// prompts can. Fewer than `tokens_max` tokens are allowed, if it is given; a large text that
/// cannot have so few is refused before it is rendered, or before it is tokenised. Errors:
/// kUnsupported (no chat template), kInvalidArgument (the template refuses, an id out of range,
/// nothing to read), kContextLength (tokens_max).
Result<RenderedPrompt> render_prompt(const Model& model, const Prompt& prompt,
                                     std::optional<size_t> tokens_max = std::nullopt);
Result<std::vector<Token>> prompt_tokens(const Model& model, const Prompt& prompt);

}  // namespace pippin::service
