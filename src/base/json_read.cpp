#include "base/json_read.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>

namespace pippin {

Result<boost::json::object> parse_object(std::string_view text, std::string_view what) {
  boost::json::error_code error;
  boost::json::parse_options options;
  options.max_depth = 32;
  boost::json::value value = boost::json::parse(text, error, {}, options);
  if (error)
    return fail(Code::kInvalidFile,
                fmt::format("{}: expected JSON, but {}", what, error.message()));
  if (!value.is_object())
    return fail(Code::kInvalidFile, fmt::format("{}: expected a JSON object", what));
  return std::move(value.get_object());
}

std::string_view string_in(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = object.if_contains(key);
  const boost::json::string* text = value != nullptr ? value->if_string() : nullptr;
  return text != nullptr ? std::string_view(text->data(), text->size()) : std::string_view();
}

std::optional<uint64_t> size_in(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = object.if_contains(key);
  if (value == nullptr) return std::nullopt;
  if (const int64_t* number = value->if_int64(); number != nullptr && *number >= 0)
    return static_cast<uint64_t>(*number);
  return std::nullopt;  // uint64 beyond int64 is no size of a file
}

const boost::json::object* object_in(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = object.if_contains(key);
  return value != nullptr ? value->if_object() : nullptr;
}

const boost::json::array* array_in(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = object.if_contains(key);
  return value != nullptr ? value->if_array() : nullptr;
}

}  // namespace pippin
