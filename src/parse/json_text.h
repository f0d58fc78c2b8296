// JSON as text: just what calls and tools' schemas need, without a tree. Thread: any.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "parse/cursor.h"

namespace pippin::parse {

/// Appends `text` escaped as the inside of a JSON string.
void append_escaped(std::string& out, std::string_view text);
/// Returns `text` as a JSON string, with its quotes.
std::string quoted(std::string_view text);

/// Takes a value in any form that ValueReader knows; returns it as JSON. Fails on anything else.
std::string take_value(Cursor& in);
/// Takes a string; returns its text. Fails on other values.
std::string take_string(Cursor& in);

/// Returns the whole text as JSON, if it is one value.
std::optional<std::string> to_json(std::string_view text);
/// Returns the text of a JSON string. Requires: `json` is one.
std::string unquoted(std::string_view json);

/// Calls `visit` with each member's key and JSON value, in order; does nothing for other values.
void for_each_member(std::string_view json,
                     const std::function<void(std::string_view, std::string_view)>& visit);
/// The same for the items of an array.
void for_each_item(std::string_view json, const std::function<void(std::string_view)>& visit);
/// Returns an object's member as JSON, or "".
std::string member(std::string_view json, std::string_view key);

}  // namespace pippin::parse
