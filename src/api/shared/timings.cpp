#include "api/shared/timings.h"

#include <chrono>
#include <string>

namespace pippin::api {

void write_timings(service::JsonWriter& json, const ResponseTimes& times,
                   const service::Usage& usage) {
  const ResponseTimes::Spans spans = times.spans();
  const auto measure = [&](const std::string& name, int count, Duration time) {
    const double ms = std::chrono::duration<double, std::milli>(time).count();
    json.key(name + "_n").integer(int64_t{count});
    json.key(name + "_ms").number(ms);
    json.key(name + "_per_token_ms").number(count > 0 ? ms / count : 0.0);
    json.key(name + "_per_second").number(ms > 0 ? count * 1000.0 / ms : 0.0);
  };
  json.key("timings").begin_object().field("cache_n", usage.cached_tokens);
  measure("prompt", usage.prompt_tokens - usage.cached_tokens, spans.prompt);
  measure("predicted", usage.completion_tokens, spans.answer);
  json.end_object();
}

}  // namespace pippin::api
