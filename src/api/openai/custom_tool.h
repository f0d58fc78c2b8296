// Custom tools: their input is plain text, perhaps held to a grammar. Models know functions, so
// each is shown to them as one whose only argument is "input", a string. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "api/shared/field_reader.h"
#include "service/chat/request.h"

namespace pippin::api::openai {

/// Where a custom tool's format has its grammar: Responses write it flat, chats in an object
/// `grammar`.
enum class GrammarPlace : uint8_t { kFlat, kInner };

/// Reads a custom tool's `format` into the function that stands for the tool; the caller adds its
/// name and definition. A grammar is added to the description, since the model is told, too.
service::Tool read_custom_tool(FieldReader& tool, GrammarPlace place, std::string& description);

/// Returns the arguments that stand for a custom tool's input: {"input": "..."}.
std::string custom_arguments(std::string_view input);

}  // namespace pippin::api::openai
