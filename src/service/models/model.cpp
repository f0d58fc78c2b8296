#include "service/models/model.h"

#include "service/json.h"

namespace pippin::service {
namespace {

template <typename Dialect>
void write_name(JsonWriter& json, const char* key, const Dialect* dialect) {
  json.key(key);
  if (dialect == nullptr) {
    json.null();
  } else {
    json.string(dialect->name);
  }
}

}  // namespace

std::vector<std::string_view> ModelInfo::capabilities() const {
  std::vector<std::string_view> able = {"completion"};
  if (calls_tools()) able.push_back("tools");
  if (thinks()) able.push_back("thinking");
  if (supports_fim) able.push_back("insert");
  return able;
}

void ModelInfo::write_parsers(JsonWriter& json) const {
  write_name(json, "tool_parser", tool_dialect);
  write_name(json, "reasoning_parser", reasoning_dialect);
}

}  // namespace pippin::service
