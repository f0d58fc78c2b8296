#include "api/anthropic/call.h"

#include <optional>
#include <string>
#include <utility>

#include "api/anthropic/errors.h"
#include "api/anthropic/writer.h"
#include "api/wire/body.h"
#include "api/wire/field_reader.h"
#include "api/wire/model_wait.h"

namespace pippin::api::anthropic {

void open_call(const Context& context, std::shared_ptr<Exchange> exchange, Then then) {
  Result<boost::json::object> body = read_body(context, exchange->request());
  if (!body.ok()) return refuse(*exchange, body.error());
  FieldReader reader(*body);
  const std::optional<std::string_view> named = reader.required_string("model");
  if (!reader.ok()) return refuse(*exchange, error_of(*reader.error()));
  const std::string name(pool_name(context, *named));
  WaitForm form{
      [id = exchange->request().id](const Error& error) { return error_response(error, id); }};
  form.events = asks_for_stream(*body);
  form.ping = kPing;
  form.error_head = "event: error\ndata: ";
  auto kept = std::make_shared<boost::json::object>(std::move(*body));
  with_model(context, std::move(exchange), name, std::move(form),
             [then = std::move(then), kept = std::move(kept)](std::shared_ptr<Exchange> ready,
                                                              service::ModelLease model) {
               then(std::move(ready), Call{std::move(*kept), std::move(model)});
             });
}

std::string_view pool_name(const Context& context, std::string_view name) {
  if (context.strict_model_ids || !name.starts_with("claude")) return name;
  return context.models.knows(name) ? name : "default";
}

void refuse(Exchange& exchange, const Error& error) {
  exchange.respond(error_response(error, exchange.request().id));
}

}  // namespace pippin::api::anthropic
