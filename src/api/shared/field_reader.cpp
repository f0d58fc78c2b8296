#include "api/shared/field_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace pippin::api {

std::string_view type_text(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return "null";
    case boost::json::kind::bool_:
      return "a boolean";
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
      return "an integer";
    case boost::json::kind::double_:
      return "a decimal number";
    case boost::json::kind::string:
      return "a string";
    case boost::json::kind::array:
      return "an array";
    case boost::json::kind::object:
      return "an object";
  }
  return "an unknown type";
}

std::string FieldReader::path_of(std::string_view name) const {
  if (path_.empty()) return std::string(name);
  if (name.empty()) return path_;
  return path_ + (name.front() == '[' ? "" : ".") + std::string(name);
}

void FieldReader::wrong(std::string_view name, std::string message, const char* code) {
  if (!root_->error_) root_->error_ = FieldError{path_of(name), std::move(message), code};
}

void FieldReader::missing(std::string_view name) {
  wrong(name, fmt::format("Missing required parameter: '{}'.", path_of(name)),
        "missing_required_parameter");
}

void FieldReader::wrong_type(std::string_view name, std::string_view expected,
                             const boost::json::value& got) {
  wrong(name,
        fmt::format("Invalid type for '{}': expected {}, but got {} instead.", path_of(name),
                    expected, type_text(got)),
        "invalid_type");
}

const boost::json::value* FieldReader::any(std::string_view name) const {
  const boost::json::value* value = object_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

template <typename Number>
bool FieldReader::in_range(std::string_view name, Number value, Number low, Number high,
                           const char* below, const char* above) {
  const char* kind = std::is_floating_point_v<Number> ? "decimal" : "integer";
  if (value < low) {
    wrong(name,
          fmt::format(
              "Invalid '{}': {} below minimum value. Expected a value >= {}, but got {} instead.",
              path_of(name), kind, low, value),
          below);
    return false;
  }
  if (value > high) {
    wrong(name,
          fmt::format(
              "Invalid '{}': {} above maximum value. Expected a value <= {}, but got {} instead.",
              path_of(name), kind, high, value),
          above);
    return false;
  }
  return true;
}

std::optional<double> FieldReader::number(std::string_view name, double low, double high) {
  const boost::json::value* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    wrong_type(name, "a decimal", *value);
    return std::nullopt;
  }
  const double number = value->to_number<double>();
  // JSON has no NaN, but "1e999" reads as infinity, which is out of any range.
  if (!in_range(name, number, low, high, "decimal_below_min_value", "decimal_above_max_value"))
    return std::nullopt;
  return number;
}

std::optional<int64_t> FieldReader::integer(std::string_view name, int64_t low, int64_t high) {
  const boost::json::value* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_uint64()) {  // above what int64 holds, so above any bound
    wrong(name,
          fmt::format("Invalid '{}': integer above maximum value. Expected a value <= {}, but got "
                      "{} instead.",
                      path_of(name), high, value->get_uint64()),
          "integer_above_max_value");
    return std::nullopt;
  }
  int64_t number = 0;
  if (value->is_int64()) {
    number = value->get_int64();
  } else if (const double* real = value->if_double(); real != nullptr &&
                                                      std::trunc(*real) == *real &&
                                                      std::fabs(*real) <= 9007199254740992.0) {
    number = static_cast<int64_t>(*real);  // some clients write 16.0
  } else {
    wrong_type(name, "an integer", *value);
    return std::nullopt;
  }
  if (!in_range(name, number, low, high, "integer_below_min_value", "integer_above_max_value"))
    return std::nullopt;
  return number;
}

std::optional<bool> FieldReader::boolean(std::string_view name) {
  const boost::json::value* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_bool()) return value->get_bool();
  wrong_type(name, "a boolean", *value);
  return std::nullopt;
}

std::optional<std::string_view> FieldReader::string(std::string_view name) {
  const boost::json::value* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return std::string_view(value->get_string());
  wrong_type(name, "a string", *value);
  return std::nullopt;
}

std::optional<std::string_view> FieldReader::word(std::string_view name,
                                                  std::initializer_list<std::string_view> allowed) {
  const std::optional<std::string_view> text = string(name);
  if (!text || std::ranges::find(allowed, *text) != allowed.end()) return text;
  const std::vector<std::string_view> others(allowed.begin(), allowed.end() - 1);
  const std::string all = others.empty() ? "" : fmt::format("'{}' and ", fmt::join(others, "', '"));
  wrong(name, fmt::format("Invalid value: '{}'. Supported values are: {}'{}'.", *text, all,
                          *(allowed.end() - 1)));
  return std::nullopt;
}

const boost::json::array* FieldReader::array(std::string_view name) {
  const boost::json::value* value = any(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) wrong_type(name, "an array", *value);
  return value->if_array();
}

const boost::json::object* FieldReader::object(std::string_view name) {
  const boost::json::value* value = any(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) wrong_type(name, "an object", *value);
  return value->if_object();
}

std::optional<std::string_view> FieldReader::required_string(std::string_view name) {
  if (any(name) == nullptr) missing(name);
  return string(name);
}

const boost::json::array* FieldReader::required_array(std::string_view name) {
  if (any(name) == nullptr) missing(name);
  return array(name);
}

const boost::json::object* FieldReader::required_object(std::string_view name) {
  if (any(name) == nullptr) missing(name);
  return object(name);
}

}  // namespace pippin::api
