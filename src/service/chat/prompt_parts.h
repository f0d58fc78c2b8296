// part_of: which part of a conversation a token of its prompt comes from, so that a status page can
// say what of it changed. Found by the texts themselves, since templates write them as they like.
// Thread: any.
#pragma once

#include <string>
#include <vector>

#include "service/chat/request.h"
#include "text/tokenizer.h"

namespace pippin::service {

/// Returns the name of the part that holds token number `token` of the prompt: "system", "tools",
/// "messages[2]", or "". A part goes up to the next one's beginning, the template's words around it
/// included; one whose text does not stand in the prompt as it is belongs to the part before it.
/// Cost: under a millisecond for 10,000 tokens.
std::string part_of(const Conversation& conversation, const std::vector<Token>& prompt,
                    const text::Tokenizer& tokenizer, int token);

}  // namespace pippin::service
