// prompt_parts: which part of a conversation each place of its prompt comes from, so that a status
// page can say what of it changed. Found by the texts themselves, since templates write them as
// they like. Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "service/request.h"
#include "text/tokenizer.h"

namespace pippin::service {

/// What goes up to the next part's beginning, the template's words around it included.
struct PromptPart {
  int first_token = 0;
  std::string name;  // "system", "tools", "messages[2]"
};

/// Returns the parts in their order. One whose text does not stand in the prompt as it is belongs
/// to the part before it. Cost: under a millisecond for 10,000 tokens.
std::vector<PromptPart> prompt_parts(const Conversation& conversation, std::string_view prompt,
                                     const std::vector<Token>& tokens,
                                     const text::Tokenizer& tokenizer);

/// Returns the name of the part that holds a token, or "".
std::string_view part_at(const std::vector<PromptPart>& parts, int token);

}  // namespace pippin::service
