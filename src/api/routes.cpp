#include "api/routes.h"

#include "api/openai/openai.h"

namespace pippin::api {

void add_routes(Router& router, const Context& context) {
  router.add("GET", "/health", health(context));
  router.add("GET", "/metrics", metrics(context));
  router.add("GET", "/v1/status", status(context));
  router.add("POST", "/v1/requests/{id}/cancel", cancel_request(context));
  router.add("DELETE", "/v1/requests/{id...}", cancel_request(context));
  router.add("GET", "/v1/models", openai::list_models(context));
  router.add("GET", "/v1/models/{id...}", openai::get_model(context));
  router.add("POST", "/v1/chat/completions", openai::chat_completions(context));
  router.add("POST", "/v1/completions", openai::completions(context));
}

}  // namespace pippin::api
