// FieldReader: reads typed fields of a JSON object and keeps the first thing that is wrong, with
// the field's path. Lives during one request's reading.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace pippin::api {

/// What is wrong with a field. `code` is OpenAI's word for it ("invalid_type"), which other APIs
/// map or leave out.
struct FieldError {
  std::string field;  // "messages[0].content"
  std::string message;
  const char* code = "invalid_value";
};

/// Returns how messages call a value's type: "a string", "an object", ...
std::string_view type_text(const boost::json::value& value);

/// Every getter returns nothing for an absent or null field, and nothing after reporting for a
/// wrong one; so a reader reads all its fields first and looks at error() once.
class FieldReader {
 public:
  explicit FieldReader(const boost::json::object& object) : FieldReader(object, {}, nullptr) {}
  /// A reader of a member object; it reports to `parent`.
  FieldReader(const boost::json::object& object, std::string path, FieldReader& parent)
      : FieldReader(object, std::move(path), &parent) {}
  FieldReader(const FieldReader&) = delete;
  FieldReader& operator=(const FieldReader&) = delete;

  /// Numbers outside [low, high] are errors.
  std::optional<double> number(std::string_view name, double low, double high);
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string_view> string(std::string_view name);
  /// A string that must be one of `allowed`.
  std::optional<std::string_view> word(std::string_view name,
                                       std::initializer_list<std::string_view> allowed);
  const boost::json::array* array(std::string_view name);
  const boost::json::object* object(std::string_view name);
  /// The same, but an absent field is an error, too.
  std::optional<std::string_view> required_string(std::string_view name);
  const boost::json::array* required_array(std::string_view name);
  const boost::json::object* required_object(std::string_view name);
  /// The field whatever its type; null if absent or JSON null.
  const boost::json::value* any(std::string_view name) const;

  /// Reports a required field as missing.
  void missing(std::string_view name);
  /// Reports "Invalid type for '<field>': expected <expected>, but got <the value's type> instead."
  void wrong_type(std::string_view name, std::string_view expected, const boost::json::value& got);
  /// Reports in own words.
  void wrong(std::string_view name, std::string message, const char* code = "invalid_value");

  /// Returns the object that is read.
  const boost::json::object& source() const { return object_; }
  /// Returns "path.name", as errors name a field. A name that begins with '[' is an index.
  std::string path_of(std::string_view name) const;
  bool ok() const { return !root_->error_.has_value(); }
  const std::optional<FieldError>& error() const { return root_->error_; }

 private:
  FieldReader(const boost::json::object& object, std::string path, FieldReader* parent)
      : object_(object), path_(std::move(path)), root_(parent != nullptr ? parent->root_ : this) {}

  template <typename Number>
  bool in_range(std::string_view name, Number value, Number low, Number high, const char* below,
                const char* above);

  const boost::json::object& object_;
  const std::string path_;
  FieldReader* const root_;
  std::optional<FieldError> error_;  // of the root only
};

}  // namespace pippin::api
