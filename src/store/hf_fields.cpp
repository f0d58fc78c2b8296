#include "store/hf_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <limits>

#include "store/quoted.h"

namespace pippin::store {

namespace json = boost::json;

Error HfFields::wrong(std::string_view key, std::string_view what) const {
  const std::string full = within_ + std::string(key);
  return fail(Code::kInvalidFile, fmt::format("[config] {}: {}: {}", path_, full, what), full);
}

Error HfFields::unsupported(std::string_view key, std::string_view what) const {
  Error error = wrong(key, what);
  error.code = Code::kUnsupported;
  return error;
}

const json::value* HfFields::find(std::string_view key) const {
  read_->emplace(key);
  const json::value* value = object_.if_contains(key);
  if (value == nullptr) {
    const auto own = std::ranges::find(names_, key, &FieldName::usual);
    if (own != names_.end()) {
      read_->emplace(own->own);
      value = object_.if_contains(own->own);
    }
  }
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::vector<std::string> HfFields::unread() const {
  std::vector<std::string> keys;
  for (const json::key_value_pair& field : object_)
    if (!read_->contains(std::string_view(field.key()))) keys.emplace_back(field.key());
  return keys;
}

Result<int> HfFields::size(std::string_view key, int min, int max,
                           std::optional<int> otherwise) const {
  const json::value* value = find(key);
  if (value == nullptr && otherwise) return *otherwise;
  const int64_t* number = value != nullptr ? value->if_int64() : nullptr;
  if (number == nullptr)
    return wrong(key, value == nullptr ? "it is missing" : "expected an integer");
  if (*number < min || *number > max)
    return wrong(key, fmt::format("expected {} to {}, but found {}", min, max, *number));
  return static_cast<int>(*number);
}

Result<int> HfFields::size_of_all(std::string_view key, int min, int max,
                                  std::optional<int> otherwise) const {
  const json::value* value = find(key);
  if (value == nullptr || !value->is_array()) return size(key, min, max, otherwise);
  const json::array& each = value->get_array();
  const int64_t* first = each.empty() ? nullptr : each.front().if_int64();
  if (first == nullptr) return wrong(key, "expected integers");
  if (*first < min || *first > max)
    return wrong(key, fmt::format("expected {} to {}, but found {}", min, max, *first));
  for (const json::value& one : each)
    if (one != each.front()) return unsupported(key, "layers that differ are not supported");
  return static_cast<int>(*first);
}

Result<double> HfFields::number(std::string_view key, double min, double max,
                                std::optional<double> otherwise) const {
  const json::value* value = find(key);
  if (value == nullptr && otherwise) return *otherwise;
  if (value == nullptr) return wrong(key, "it is missing");
  if (!value->is_number()) return wrong(key, "expected a number");
  const auto number = value->to_number<double>();
  if (!(number >= min && number <= max))
    return wrong(key, fmt::format("expected {} to {}, but found {}", min, max, number));
  return number;
}

Result<bool> HfFields::flag(std::string_view key, bool otherwise) const {
  const json::value* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_bool()) return wrong(key, "expected true or false");
  return value->get_bool();
}

Result<std::string> HfFields::text(std::string_view key,
                                   std::optional<std::string> otherwise) const {
  const json::value* value = find(key);
  if (value == nullptr && otherwise) return *otherwise;
  if (value == nullptr || !value->is_string())
    return wrong(key, value == nullptr ? "it is missing" : "expected a text");
  return std::string(value->get_string());
}

Result<std::vector<std::string>> HfFields::texts(std::string_view key, size_t count) const {
  const json::value* value = find(key);
  const json::array* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->size() != count)
    return wrong(key, fmt::format("expected a list of {} texts", count));
  std::vector<std::string> texts;
  for (const json::value& one : *list) {
    if (!one.is_string()) return wrong(key, "expected texts");
    texts.emplace_back(one.get_string());
  }
  return texts;
}

std::optional<int> HfFields::length(std::string_view key) const {
  const json::value* value = find(key);
  const json::array* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->size() > 1 << 20) return std::nullopt;
  return static_cast<int>(list->size());
}

Result<std::vector<double>> HfFields::numbers(std::string_view key, size_t count) const {
  const json::value* value = find(key);
  const json::array* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->size() != count)
    return wrong(key, fmt::format("expected a list of {} numbers", count));
  std::vector<double> numbers;
  for (const json::value& one : *list) {
    // JSON has no infinity; transformers writes an object in its place.
    const json::object* other = one.if_object();
    const bool infinite =
        other != nullptr && other->contains("__float__") && other->at("__float__") == "Infinity";
    if (!one.is_number() && !infinite) return wrong(key, "expected numbers");
    numbers.push_back(infinite ? std::numeric_limits<double>::infinity() : one.to_number<double>());
  }
  return numbers;
}

Result<std::optional<HfFields>> HfFields::object(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return std::optional<HfFields>();
  if (!value->is_object()) return wrong(key, "expected an object");
  return std::optional<HfFields>(
      HfFields(value->get_object(), path_, within_ + std::string(key) + "."));
}

}  // namespace pippin::store
