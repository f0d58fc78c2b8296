// tool_definition: how templates are given a tool. Thread: any.
#pragma once

#include <string>
#include <string_view>

namespace pippin::api {

/// Returns {"type": "function", "function": {"name", "description", "parameters"}}. An empty
/// description is left out; empty parameters are those of a function that takes none.
std::string tool_definition(std::string_view name, std::string_view description,
                            std::string_view parameters_json);

}  // namespace pippin::api
