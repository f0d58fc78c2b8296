// POST /api/chat and POST /api/generate
#include <utility>

#include "api/ollama/errors.h"
#include "api/ollama/model_route.h"
#include "api/ollama/ollama.h"
#include "api/ollama/writer.h"
#include "api/shared/model_access.h"
#include "service/models/model_pool.h"

namespace pippin::api::ollama {
namespace {

using Read = GenerateRequest (*)(FieldReader&, const Served&);

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
  ResponseOptions options;
  options.chat = chat;
  options.model = wanted.name;
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
  respond_line(exchange, load_line(options, KeepAlive{}), stream);
}

std::optional<ModelChoice> choose_model(const Library& library, bool chat, Exchange& exchange,
                                        FieldReader& body) {
  std::optional<Wanted> wanted = find_model(library, exchange, body);
  if (!wanted) return std::nullopt;
  // By a reader of its own: what is wrong with other fields is told once the model is loaded.
  if (FieldReader asked(body.source()); only_unloads(asked)) {
    unload(library, exchange, asked, *wanted, chat);
    return std::nullopt;
  }
  ModelChoice choice{.name = std::move(wanted->base), .asked = std::move(wanted->name)};
  if (wanted->made) choice.derived = std::make_shared<DerivedModel>(*std::move(wanted->made));
  return choice;
}

// How long a model stays loaded is for who may manage models; clients send it with every request.
void keep_loaded(const ApiRequest& request, const std::optional<KeepAlive>& keep_alive) {
  if (keep_alive && may_manage(request.exchange->request().caller.get())) {
    request.model.set_keep_alive(keep_alive->wish());
  } else {
    request.model.reset_keep_alive();
  }
}

// A request without a prompt only loads the model.
void serve(Read read, ApiRequest request) {
  FieldReader reader(request.body);
  GenerateRequest asked =
      read(reader, {request.choice.asked, *request.model, request.choice.derived.get()});
  if (!reader.ok()) return request.respond(*reader.error());
  if (asked.error) return request.respond(*asked.error);
  asked.options.model = request.choice.asked;
  keep_loaded(request, asked.keep_alive);
  if (asked.request.prompts.empty()) {
    const bool stream = asked.options.stream;
    return respond_line(*request.exchange, load_line(asked.options, asked.keep_alive), stream);
  }
  auto generation = request.generate(reader, std::move(asked.request));
  if (generation == nullptr) return;
  auto writer = response_writer(*generation, std::move(asked.options), request.times);
  ResponseStream::start(request.context, std::move(request.exchange), std::move(generation),
                        std::move(writer));
}

Handler handler_of(const Home& home, Read read) {
  const bool chat = read == read_chat;
  return make_handler(home->context(),
                      {.format = kFormat,
                       .choose =
                           [home, chat](Exchange& exchange, FieldReader& body) {
                             return choose_model(*home, chat, exchange, body);
                           },
                       .serve = [read](ApiRequest request) { serve(read, std::move(request)); }});
}

}  // namespace

Handler chat(const Home& home) { return handler_of(home, read_chat); }
Handler generate(const Home& home) { return handler_of(home, read_generate); }

}  // namespace pippin::api::ollama
