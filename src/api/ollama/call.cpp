#include "api/ollama/call.h"

#include <utility>

#include "api/ollama/errors.h"
#include "api/ollama/writer.h"
#include "api/wire/answer.h"
#include "api/wire/body.h"
#include "api/wire/model_access.h"
#include "api/wire/model_wait.h"
#include "service/generation.h"

namespace pippin::api::ollama {

std::optional<Call> open_call(const Library& library, Exchange& exchange) {
  const RequestTimes times = RequestTimes::begin();
  Result<boost::json::object> body = read_body(library.context(), exchange.request());
  if (body.ok()) return Call{std::move(*body), times};
  exchange.respond(error_response(body.error()));
  return std::nullopt;
}

std::optional<std::string_view> read_model_name(FieldReader& reader) {
  std::optional<std::string_view> name = reader.string("model");
  if (!name) name = reader.string("name");
  if (!name || name->empty()) {
    reader.missing("model");
    return std::nullopt;
  }
  return name;
}

std::optional<Wanted> find_model(const Library& library, Exchange& exchange, const Call& call) {
  FieldReader reader(call.body);
  const std::optional<std::string_view> name = read_model_name(reader);
  if (!name || !reader.ok()) {
    exchange.respond(error_response(*reader.error()));
    return std::nullopt;
  }
  Result<Wanted> wanted = library.find(*name, exchange.request().caller.get());
  if (wanted.ok()) return *std::move(wanted);
  exchange.respond(error_response(wanted.error()));
  return std::nullopt;
}

void with_served(const Library& library, std::shared_ptr<Exchange> exchange, Call call,
                 Wanted wanted, Then then) {
  const std::string base = wanted.base;
  // Lines of JSON know no comments: who waits for a stream hears nothing, as from Ollama.
  WaitForm form{[](const Error& error) { return error_response(error); }};
  auto kept = std::make_shared<std::pair<Call, Wanted>>(std::move(call), std::move(wanted));
  with_model(library.context(), std::move(exchange), base, std::move(form),
             [kept = std::move(kept), then = std::move(then)](std::shared_ptr<Exchange> ready,
                                                              service::ModelLease model) {
               auto& [own, asked] = *kept;
               own.times.mark_loaded();
               then(std::move(ready), std::move(own),
                    Served{std::move(asked.name), std::move(model), std::move(asked.made)});
             });
}

void answer_call(const Context& context, std::shared_ptr<Exchange> exchange,
                 const FieldReader& reader, Served served, AnswerCall call,
                 const RequestTimes& times) {
  if (!reader.ok()) return exchange->respond(error_response(*reader.error()));
  if (call.error) return exchange->respond(error_response(*call.error));
  call.shape.model = served.name;
  // How long a model stays loaded is for who may manage models; clients send it with every request.
  const bool manages = may_manage(exchange->request().caller.get());
  if (call.keep_alive && manages) {
    served.model.set_keep_alive(call.keep_alive->wish());
  } else {
    served.model.reset_keep_alive();
  }
  if (call.request.prompts.empty()) {
    const bool stream = call.shape.stream;
    return respond_line(*exchange, load_line(call.shape, call.keep_alive), stream);
  }
  Result<std::unique_ptr<service::Generation>> generation = service::Generation::start(
      std::move(served.model), std::move(call.request), exchange->request().caller);
  if (!generation.ok()) return exchange->respond(error_response(generation.error()));
  std::unique_ptr<AnswerWriter> writer = answer_writer(**generation, std::move(call.shape), times);
  Answer::start(context, std::move(exchange), std::move(*generation), std::move(writer));
}

void respond_line(Exchange& exchange, std::string line, bool stream) {
  if (stream) line += '\n';
  exchange.respond({200, stream ? kStreamType : "application/json", std::move(line), {}});
}

}  // namespace pippin::api::ollama
