// parse_json, JsonWriter: JSON in by Boost.JSON within limits, JSON out straight into a string.
// Thread: any.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pippin::service {

struct JsonLimits {
  size_t bytes_max = size_t{32} << 20;
  size_t depth_max = 64;
};

/// Parses strict JSON (UTF-8, no comments, no NaN); of duplicate keys the last wins.
/// Errors: kInvalidArgument with the byte offset; kTooLarge over `limits.bytes_max`,
/// or for more values than a request has reason to hold.
Result<boost::json::value> parse_json(std::string_view text, JsonLimits limits = {});

/// Appends JSON to a string, putting the commas. Strings come out as valid UTF-8 whatever goes in
/// (bad bytes become U+FFFD). Requires: the caller nests and names correctly; keys are not checked
/// for duplicates.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  /// `name` must need no escaping; use key_text for names from outside.
  JsonWriter& key(std::string_view name);
  JsonWriter& key_text(std::string_view name);
  JsonWriter& string(std::string_view text);
  JsonWriter& integer(int64_t value);
  JsonWriter& integer(uint64_t value);
  /// Writes a decimal that always has a point or an exponent. Infinities and NaN, which JSON lacks,
  /// become +-9999 and null.
  JsonWriter& number(double value);
  JsonWriter& number(float value);  // in its own precision
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  /// Appends JSON text as a value. Requires: it is valid.
  JsonWriter& raw(std::string_view json);
  JsonWriter& value(const boost::json::value& value);

  JsonWriter& field(std::string_view name, std::string_view text) { return key(name).string(text); }
  JsonWriter& field(std::string_view name, const char* text) { return key(name).string(text); }
  JsonWriter& field(std::string_view name, int value) { return key(name).integer(int64_t{value}); }
  JsonWriter& field(std::string_view name, int64_t value) { return key(name).integer(value); }
  JsonWriter& field(std::string_view name, uint64_t value) { return key(name).integer(value); }
  JsonWriter& field(std::string_view name, bool value) { return key(name).boolean(value); }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  template <typename Float>
  JsonWriter& decimal(Float value);
  void separate();

  std::string& out_;
  bool comma_ = false;  // whether a value stands before, at this level
};

/// Appends `text` in quotes, escaped, as valid UTF-8.
void append_json_string(std::string& out, std::string_view text);

}  // namespace pippin::service
