// POST /api/chat and POST /api/generate
#include <utility>

#include "api/ollama/call.h"
#include "api/ollama/errors.h"
#include "api/ollama/ollama.h"
#include "api/ollama/writer.h"
#include "api/wire/model_access.h"

namespace pippin::api::ollama {
namespace {

using Read = AnswerCall (*)(FieldReader&, const Served&);

// Whether a request asks for nothing but a model's end: then it is not loaded for that.
bool only_unloads(FieldReader& reader) {
  const boost::json::array* messages = reader.array("messages");
  const bool asks =
      (messages != nullptr && !messages->empty()) || !reader.string("prompt").value_or("").empty();
  const std::optional<KeepAlive> keep_alive = read_keep_alive(reader);
  return !asks && keep_alive && keep_alive->unloads() && reader.ok();
}

void unload(const Library& library, Exchange& exchange, FieldReader& reader, const Wanted& wanted,
            bool chat) {
  AnswerShape shape;
  shape.chat = chat;
  shape.model = wanted.name;
  const bool stream = reader.boolean("stream").value_or(true);
  if (!reader.ok()) return exchange.respond(error_response(*reader.error()));
  if (!may_manage(exchange.request().caller.get())) {
    return exchange.respond(error_response(
        fail(Code::kPermissionDenied, "this key may not unload models", "keep_alive")));
  }
  service::ModelPool& models = library.context().models;
  const Result<service::ModelStatus> status = models.look(wanted.base);
  // A pinned model stays, whatever a client wants to keep it for.
  if (status.ok() && !status->pinned) {
    const Result<service::ModelState> state = models.unload(wanted.base);
    if (!state.ok()) return exchange.respond(error_response(state.error()));
  }
  respond_line(exchange, load_line(shape, KeepAlive{}), stream);
}

Handler answer_by(const Home& home, Read read) {
  return [home, read](std::shared_ptr<Exchange> exchange) {
    std::optional<Call> call = open_call(*home, *exchange);
    if (!call) return;
    std::optional<Wanted> wanted = find_model(*home, *exchange, *call);
    if (!wanted) return;
    FieldReader asked(call->body);
    if (only_unloads(asked)) return unload(*home, *exchange, asked, *wanted, read == read_chat);
    with_served(*home, std::move(exchange), *std::move(call), *std::move(wanted),
                [home, read](std::shared_ptr<Exchange> ready, Call own, Served served) {
                  FieldReader reader(own.body);
                  AnswerCall answer = read(reader, served);
                  answer_call(home->context(), std::move(ready), reader, std::move(served),
                              std::move(answer), own.times);
                });
  };
}

}  // namespace

Handler chat(const Home& home) { return answer_by(home, read_chat); }
Handler generate(const Home& home) { return answer_by(home, read_generate); }

}  // namespace pippin::api::ollama
