// The parts of read_message(): the conversation, its blocks, tools. Each reports what is wrong to
// its reader. Thread: any.
#pragma once

#include <string>

#include "api/anthropic/read_message.h"
#include "api/shared/field_reader.h"
#include "service/chat/request.h"

namespace pippin::api::anthropic {

/// system and messages. A last message of the assistant is to be continued.
void read_conversation(FieldReader& reader, const Signer& signer, MessageRequest& asked,
                       service::Conversation& to);

/// tools and tool_choice. The conversation gets the tools that its prompt shows.
void read_tools(FieldReader& reader, MessageRequest& asked, service::Conversation& to);

/// cache_control of a block, a tool or the request: every prompt is cached as far as it goes, so
/// that it only decides how usage is told.
void read_cache_control(FieldReader& fields, MessageRequest& asked);

/// Reads a `content` of text: a string, or an array of blocks of which text, documents of text and
/// search results can be shown to the model. What else there is, is refused or, where a tool has
/// answered with it, left out with a warning.
enum class Others : uint8_t { kRefused, kLeftOut };
std::string read_text_content(FieldReader& fields, std::string_view name, Others others,
                              MessageRequest& asked);

/// Reads one block as the text that stands for it. Returns false, after reporting, if none does.
bool read_text_block(FieldReader& block, std::string_view type, Others others,
                     MessageRequest& asked, std::string& text);

}  // namespace pippin::api::anthropic
