#include "api/shared/warning.h"

namespace pippin::api {

void write_warnings(service::JsonWriter& json, const std::vector<Warning>& warnings) {
  json.key("warnings").begin_array();
  for (const Warning& warning : warnings) {
    json.begin_object().field("code", warning.code).field("param", warning.param);
    json.field("message", warning.message).end_object();
  }
  json.end_array();
}

}  // namespace pippin::api
