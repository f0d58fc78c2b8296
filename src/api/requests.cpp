// POST /v1/requests/{id}/cancel and DELETE /v1/requests/{id}
#include "api/openai/errors.h"
#include "api/routes.h"

namespace pippin::api {

Handler cancel_request(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    const std::string& id = exchange->request().captures.front();
    if (context.live->cancel(id, exchange->request().caller.get()) == 0) {
      return exchange->respond(openai::error_response(
          fail(Code::kNotFound, "No request `" + id + "` is being answered.", "id")));
    }
    Response response;
    service::JsonWriter(response.body)
        .begin_object()
        .field("object", "request.cancel")
        .field("id", id)
        .field("cancelled", true)
        .end_object();
    exchange->respond(std::move(response));
  };
}

}  // namespace pippin::api
