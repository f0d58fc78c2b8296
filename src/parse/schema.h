// Kinds: which JSON kinds a tool's schema lets a parameter have. Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

namespace pippin::parse {

/// A set of JSON kinds. An integer counts as a number.
struct Kinds {
  enum : uint8_t { kString = 1, kNumber = 2, kBoolean = 4, kObject = 8, kArray = 16, kNull = 32 };
  uint8_t bits = 0;

  bool has(uint8_t kind) const { return (bits & kind) != 0; }
  bool only(uint8_t kind) const { return bits == kind; }
  static constexpr uint8_t kAny = 63;
};

/// Returns what `schema` allows for the property `key` of an object; anything if it does not say.
Kinds parameter_kinds(std::string_view schema, std::string_view key);

/// Returns the kind of a JSON value. Requires: `json` is not empty.
uint8_t kind_of(std::string_view json);

}  // namespace pippin::parse
