#include "api/shared/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/percent.h"

namespace pippin::api {
namespace {

// A broken code stays as it is: the field's reader tells what is wrong with it.
std::string decoded(std::string_view text) {
  std::string spaced(text);
  std::ranges::replace(spaced, '+', ' ');
  return percent_decoded(spaced).value_or(spaced);
}

}  // namespace

Query::Query(std::string_view query) {
  while (!query.empty()) {
    const std::string_view field = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(field.size() + 1, query.size()));
    if (field.empty()) continue;
    const size_t equals = std::min(field.find('='), field.size());
    fields_.emplace_back(decoded(field.substr(0, equals)),
                         equals < field.size() ? decoded(field.substr(equals + 1)) : "");
  }
}

std::optional<std::string_view> Query::text(std::string_view name) const {
  const auto found = std::find_if(fields_.rbegin(), fields_.rend(),
                                  [&](const auto& f) { return f.first == name; });
  if (found == fields_.rend()) return std::nullopt;
  return std::string_view(found->second);
}

void Query::wrong(std::string_view name, std::string message) {
  if (!error_) error_ = FieldError{std::string(name), std::move(message)};
}

std::optional<int64_t> Query::integer(std::string_view name, int64_t low, int64_t high) {
  const std::optional<std::string_view> value = text(name);
  if (!value) return std::nullopt;
  int64_t number = 0;
  const auto end = std::from_chars(value->data(), value->data() + value->size(), number);
  const bool whole = end.ec == std::errc() && end.ptr == value->data() + value->size();
  if (whole && number >= low && number <= high) return number;
  wrong(name, fmt::format("Invalid '{}': an integer from {} to {} was expected, but got '{}'.",
                          name, low, high, *value));
  return std::nullopt;
}

std::optional<bool> Query::boolean(std::string_view name) {
  const std::optional<std::string_view> value = text(name);
  if (!value) return std::nullopt;
  if (*value == "true" || *value == "1") return true;
  if (*value == "false" || *value == "0") return false;
  wrong(name, fmt::format("Invalid '{}': true or false was expected, but got '{}'.", name, *value));
  return std::nullopt;
}

}  // namespace pippin::api
