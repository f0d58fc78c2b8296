#include "api/shared/model_status.h"

#include <chrono>
#include <cmath>

namespace pippin::api {

using service::ModelState;

void write_status(service::JsonWriter& json, const service::ModelStatus& status) {
  const auto seconds_or_null = [&](const char* name, std::optional<Duration> time) {
    json.key(name);
    if (time) {
      json.number(std::round(std::chrono::duration<double, std::milli>(*time).count()) / 1000);
    } else {
      json.null();
    }
  };
  // A model whose load has failed is not loaded; the next request tries again.
  const bool failed = status.state == ModelState::kFailed;
  json.begin_object();
  json.field("value", word_of(failed ? ModelState::kUnloaded : status.state));
  json.field("failed", failed).field("pinned", status.pinned);
  json.field("memory_bytes", status.memory_bytes);
  json.key("progress").number(std::round(100 * status.loaded_part) / 100);
  json.field("requests", status.requests).field("waiting", status.waiting);
  seconds_or_null("keep_alive_s", status.keep_alive);
  seconds_or_null("expires_in_s", status.expires_in);
  if (!status.error.empty()) json.field("error", status.error);
  json.end_object();
}

}  // namespace pippin::api
