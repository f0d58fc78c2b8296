#include "api/shared/body.h"

#include <string>
#include <utility>

#include "api/shared/field_reader.h"

namespace pippin::api {

Result<boost::json::object> read_body(const Context& context, const Request& request) {
  const service::Readiness::State state = context.readiness.state();
  if (!state.ready) return fail(Code::kUnavailable, "The server is not ready: " + state.reason);
  Result<boost::json::value> body = service::parse_json(request.body, context.json);
  if (!body.ok()) {
    if (body.error().code == Code::kTooLarge) return body.error();
    return fail(Code::kInvalidArgument, "The body is not JSON: " + body.error().message);
  }
  boost::json::object* object = body->if_object();
  if (object == nullptr) {
    return fail(Code::kInvalidArgument,
                "The body must be a JSON object, but is " + std::string(type_text(*body)) + ".");
  }
  return std::move(*object);
}

}  // namespace pippin::api
