// A strict JSON reader of the tests' own, so that what is under test does not judge itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pippin::parse {

/// Returns the JSON without whitespace outside strings, or nothing if it is not one valid value.
std::optional<std::string> compact_json(std::string_view text);
/// Returns whether some text behind this could make it valid JSON.
bool starts_json(std::string_view text);

}  // namespace pippin::parse
