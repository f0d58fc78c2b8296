// Reads `tools`, `tool_choice` and `parallel_tool_calls` of POST /v1/responses. Thread: any.
#pragma once

#include <vector>

#include "api/openai/responses/tool_table.h"
#include "api/shared/field_reader.h"
#include "service/chat/request.h"

namespace pippin::api::openai::responses {

/// Reads what may be called. Function and custom tools, also inside namespaces, are offered to the
/// model; tools of other types would have to run here and cannot, so they are left out with a
/// warning.
void read_tools(FieldReader& body, ToolTable& table, std::vector<service::Tool>& offered,
                std::vector<Warning>& warnings);

/// Reads which calls the answer may or must hold. Requires: the tools have been read.
service::ToolChoice read_tool_choice(FieldReader& body, const ToolTable& table);

}  // namespace pippin::api::openai::responses
