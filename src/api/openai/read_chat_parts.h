// The parts of read_chat(): messages, tools, thinking. Each reports what is wrong to its reader.
// Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/openai/read_chat.h"
#include "api/shared/field_reader.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::openai {

/// messages, and whether the last one is to be continued.
void read_messages(FieldReader& reader, service::Conversation& to);

/// tools, tool_choice and parallel_tool_calls. The conversation gets the tools that its prompt
/// shows. Returns the names of the custom tools.
std::vector<std::string> read_tools(FieldReader& reader, service::Request& request,
                                    service::Conversation& to);

/// What decides how the model thinks and how that is shown; and chat_template_kwargs, which some of
/// it becomes, and `verbosity`, unless it is empty.
void read_thinking(FieldReader& reader, const service::Model& model, std::string_view verbosity,
                   ChatRequest& chat, service::Conversation& to);

}  // namespace pippin::api::openai
