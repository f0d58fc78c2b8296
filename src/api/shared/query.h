// Query: the fields behind the "?" of a request's address. Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/shared/field_reader.h"

namespace pippin::api {

/// Of a field that comes twice the last counts. Every getter returns nothing for an absent field,
/// and nothing after noting a wrong one.
class Query {
 public:
  explicit Query(std::string_view query);

  std::optional<std::string_view> text(std::string_view name) const;
  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high);
  std::optional<bool> boolean(std::string_view name);
  void wrong(std::string_view name, std::string message);

  const std::optional<FieldError>& error() const { return error_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
  std::optional<FieldError> error_;
};

}  // namespace pippin::api
