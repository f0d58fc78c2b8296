#include "api/routes.h"

namespace pippin::api {

Handler health(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    const service::Readiness::State state = context.readiness.state();
    Response response;
    service::JsonWriter json(response.body);
    json.begin_object().field("status", state.ready ? "ok" : "unavailable");
    if (!state.ready) {
      response.status = 503;
      response.headers.emplace_back("retry-after", "1");
      json.field("reason", state.reason);
    }
    if (!state.degraded.empty()) {
      json.key("degraded").begin_object();
      for (const auto& [what, why] : state.degraded) json.field(what, why);
      json.end_object();
    }
    json.end_object();
    exchange->respond(std::move(response));
  };
}

}  // namespace pippin::api
