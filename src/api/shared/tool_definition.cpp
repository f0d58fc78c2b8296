#include "api/shared/tool_definition.h"

#include "service/json.h"

namespace pippin::api {

std::string tool_definition(std::string_view name, std::string_view description,
                            std::string_view parameters_json) {
  std::string out;
  service::JsonWriter json(out);
  json.begin_object().field("type", "function").key("function").begin_object();
  json.field("name", name);
  if (!description.empty()) json.field("description", description);
  json.key("parameters")
      .raw(parameters_json.empty() ? R"({"type":"object","properties":{}})" : parameters_json);
  json.end_object().end_object();
  return out;
}

}  // namespace pippin::api
