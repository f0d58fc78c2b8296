// Reading JSON that a server or a file claims to be: nothing throws, nothing is taken for granted.
// Thread: any.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace pippin {

/// Parses an object. Errors: kInvalidFile, "WHAT: expected a JSON object, ...".
Result<boost::json::object> parse_object(std::string_view text, std::string_view what);

/// The member of that type, or none: empty, nothing, null.
std::string_view string_in(const boost::json::object& object, std::string_view key);
std::optional<uint64_t> size_in(const boost::json::object& object, std::string_view key);
const boost::json::object* object_in(const boost::json::object& object, std::string_view key);
const boost::json::array* array_in(const boost::json::object& object, std::string_view key);

}  // namespace pippin
