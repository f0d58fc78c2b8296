// fim_prompt: a prompt that asks a model to fill in the middle, by its own tokens. Thread: any.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::service {

struct FimPrompt {
  std::vector<Token> prompt;
  std::vector<Token> stop_tokens;  // beside the model's own: where another file would begin
};

/// Another file of the same project, shown before the one with the gap.
struct FimFile {
  std::string name, text;
};

/// Returns whether a model that has those tokens can fill in the middle.
bool has_fim_tokens(const std::function<bool(std::string_view text)>& has_token);

/// Puts what stands before and behind the gap in the order and between the marks that the model was
/// trained with. Special tokens in `suffix` and in a text before it stay text. Errors:
/// kUnsupported, for a model without such tokens; kInvalidArgument (an id out of range);
/// kContextLength, of a text that is too long alone. Requires:
/// `prefix` is no conversation. Other files come first, behind the model's tokens for that, or as
/// snippets if it has none. Source: Hui et al. 2024, arXiv:2409.12186 (the form of a repository).
Result<FimPrompt> fim_prompt(const Model& model, const Prompt& prefix, std::string_view suffix,
                             std::span<const FimFile> others = {});

}  // namespace pippin::service
