// names: ids of answers, and what a tool may be called. Thread: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pippin::api {

/// Returns prefix + 24 random letters and digits.
std::string new_id(std::string_view prefix);

/// Returns whether a tool may have this name: letters, digits, '_' and '-', at least one.
bool is_tool_name(std::string_view name, size_t length_max);

}  // namespace pippin::api
