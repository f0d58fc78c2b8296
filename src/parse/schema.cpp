#include "parse/schema.h"

#include <string>

#include "parse/json_text.h"

namespace pippin::parse {
namespace {

constexpr int kDepthMax = 8;

uint8_t named(std::string_view type) {
  if (type == "\"string\"") return Kinds::kString;
  if (type == "\"number\"" || type == "\"integer\"") return Kinds::kNumber;
  if (type == "\"boolean\"") return Kinds::kBoolean;
  if (type == "\"object\"") return Kinds::kObject;
  if (type == "\"array\"") return Kinds::kArray;
  if (type == "\"null\"") return Kinds::kNull;
  return Kinds::kAny;
}

uint8_t kinds(std::string_view root, std::string_view schema, int depth);

// "#/$defs/Place" -> what stands there in `root`.
std::string resolve(std::string_view root, std::string_view pointer) {
  std::string at(root);
  if (!pointer.starts_with("#/")) return {};
  pointer.remove_prefix(2);
  while (!pointer.empty()) {
    const size_t slash = pointer.find('/');
    at = member(at, pointer.substr(0, slash));
    pointer = slash == std::string_view::npos ? "" : pointer.substr(slash + 1);
  }
  return at;
}

uint8_t alternatives(std::string_view root, std::string_view list, int depth) {
  uint8_t all = 0;
  for_each_item(list, [&](std::string_view item) { all |= kinds(root, item, depth + 1); });
  return all == 0 ? static_cast<uint8_t>(Kinds::kAny) : all;
}

uint8_t kinds(std::string_view root, std::string_view schema, int depth) {
  uint8_t allowed = Kinds::kAny;
  if (depth > kDepthMax) return allowed;
  for_each_member(schema, [&](std::string_view key, std::string_view value) {
    if (key == "type") {
      uint8_t types = value.starts_with('"') ? named(value) : 0;
      for_each_item(value, [&](std::string_view item) { types |= named(item); });
      if (types != 0) allowed &= types;
    } else if (key == "enum") {
      uint8_t types = 0;
      for_each_item(value, [&](std::string_view item) { types |= kind_of(item); });
      if (types != 0) allowed &= types;
    } else if (key == "const") {
      allowed &= kind_of(value);
    } else if (key == "anyOf" || key == "oneOf") {
      allowed &= alternatives(root, value, depth);
    } else if (key == "allOf") {
      for_each_item(value, [&](std::string_view item) { allowed &= kinds(root, item, depth + 1); });
    } else if (key == "$ref" && value.starts_with('"')) {
      allowed &= kinds(root, resolve(root, unquoted(value)), depth + 1);
    } else if (key == "properties") {
      allowed &= Kinds::kObject;
    } else if (key == "items") {
      allowed &= Kinds::kArray;
    }
  });
  return allowed == 0 ? static_cast<uint8_t>(Kinds::kAny) : allowed;
}

}  // namespace

Kinds parameter_kinds(std::string_view schema, std::string_view key) {
  const std::string property = member(member(schema, "properties"), key);
  return Kinds{kinds(schema, property, 0)};
}

uint8_t kind_of(std::string_view json) {
  switch (json.front()) {
    case '"':
      return Kinds::kString;
    case '{':
      return Kinds::kObject;
    case '[':
      return Kinds::kArray;
    case 't':
    case 'f':
      return Kinds::kBoolean;
    case 'n':
      return Kinds::kNull;
    default:
      return Kinds::kNumber;
  }
}

}  // namespace pippin::parse
