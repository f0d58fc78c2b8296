// Reads what an answer's text must be: response_format, and the fields of local servers for
// grammars. Thread: any.
#pragma once

#include "api/shared/field_reader.h"
#include "service/chat/request.h"

namespace pippin::api::openai {

/// response_format of /v1/chat/completions.
void read_response_format(FieldReader& reader, service::Request& to);

/// The fields of a json_schema format: name, description, strict, which the schema does not need,
/// and schema. Returns nothing without one.
std::optional<service::Format> read_named_schema(FieldReader& fields);

/// grammar, regex, choice, json_schema, guided_* and structured_outputs. At most one of these and
/// response_format may ask for something.
void read_guides(FieldReader& reader, service::Request& to);

/// {"syntax": "lark" or "gbnf" or "regex", "definition": ..} under `name`, as OpenAI's grammars are
/// written.
std::optional<service::Format> read_grammar(FieldReader& reader, std::string_view name);

}  // namespace pippin::api::openai
