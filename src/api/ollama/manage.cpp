// POST /api/copy, DELETE /api/delete, POST /api/pull, POST /api/push.
#include <fmt/format.h>

#include <utility>

#include "api/model_store.h"
#include "api/ollama/errors.h"
#include "api/ollama/model_route.h"
#include "api/ollama/names.h"
#include "api/ollama/ollama.h"
#include "api/ollama/pull_jobs.h"
#include "api/shared/model_access.h"
#include "service/models/model_pool.h"

namespace pippin::api::ollama {
namespace {

constexpr const char* kSuccess = R"({"status":"success"})";

Error not_found(std::string_view name) {
  return fail(Code::kNotFound, fmt::format("model '{}' not found", name), "model");
}

/// Opens a body and reads its model's name. If that fails, answers and returns nothing.
std::optional<std::string> open_named(const Library& library, Exchange& exchange, bool& stream) {
  std::optional<boost::json::object> body = open_body(library, exchange);
  if (!body) return std::nullopt;
  FieldReader reader(*body);
  const std::optional<std::string_view> name = read_model_name(reader);
  stream = reader.boolean("stream").value_or(true);
  if (name && reader.ok()) return std::string(*name);
  exchange.respond(error_response(*reader.error()));
  return std::nullopt;
}

}  // namespace

Handler copy_model(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    const std::optional<boost::json::object> body = open_body(*home, *exchange);
    if (!body) return;
    FieldReader reader(*body);
    const std::string_view source = reader.required_string("source").value_or("");
    const std::string_view destination = reader.required_string("destination").value_or("");
    if (!reader.ok()) return exchange->respond(error_response(*reader.error()));
    Result<Wanted> wanted = home->find(source, exchange->request().caller.get());
    if (!wanted.ok()) return exchange->respond(error_response(wanted.error()));
    const Result<service::ModelStatus> base = home->context().models.look(wanted->base);
    if (!base.ok()) return exchange->respond(error_response(base.error()));
    DerivedModel made;
    if (wanted->made) made = *std::move(wanted->made);
    made.name = full_name(destination);
    made.from = base->info.id;
    const Result<void> kept = home->keep(std::move(made), exchange->request().caller.get());
    exchange->respond(kept.ok() ? Response{} : error_response(kept.error()));
  };
}

Handler delete_model(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    bool stream = false;
    const std::optional<std::string> name = open_named(*home, *exchange, stream);
    if (!name) return;
    const RequestContext* caller = exchange->request().caller.get();
    const Result<bool> removed = home->made_by(caller).remove(*name);
    if (!removed.ok()) return exchange->respond(error_response(removed.error()));
    if (*removed) return exchange->respond({});
    if (!may_manage(caller)) {
      // What it may use but has not made is told from what is not there at all.
      const Error error =
          home->find(*name, caller).ok()
              ? fail(Code::kPermissionDenied,
                     fmt::format("model '{}' was not made by this key, which may manage no models",
                                 *name),
                     "model")
              : not_found(*name);
      return exchange->respond(error_response(error));
    }
    std::string base;
    if (const Result<Wanted> wanted = home->find(*name, exchange->request().caller.get());
        wanted.ok()) {
      service::ModelPool& models = home->context().models;
      const Result<service::ModelStatus> status = models.look(wanted->base);
      if (status.ok() && !status->found) {
        return exchange->respond(error_response(
            fail(Code::kUnsupported,
                 fmt::format("model '{}' is being served from a file: it is not deleted", *name),
                 "model")));
      }
      base = status.ok() ? status->info.id : wanted->base;
    }
    ModelStore* const store = home->context().model_store;
    const Result<void> gone = store != nullptr ? store->remove(*name) : not_found(*name);
    // Running answers still end: their model is in memory.
    if (gone.ok() && !base.empty()) home->context().models.refresh(base);
    exchange->respond(gone.ok() ? Response{} : error_response(gone.error()));
  };
}

Handler pull_model(const Home& home) {
  return [home, jobs = std::make_shared<PullJobs>()](std::shared_ptr<Exchange> exchange) {
    bool stream = true;
    const std::optional<std::string> name = open_named(*home, *exchange, stream);
    if (!name) return;
    ModelStore* const store = home->context().model_store;
    // What was named at the start is here; clients pull to make sure of that. What lies on disk may
    // have a newer version.
    if (const Result<Wanted> wanted = home->find(*name, exchange->request().caller.get());
        wanted.ok()) {
      const Result<service::ModelStatus> status = home->context().models.look(wanted->base);
      if (store == nullptr || wanted->made || !status.ok() || !status->found)
        return respond_line(*exchange, kSuccess, stream);
    }
    if (store == nullptr) {
      return exchange->respond(error_response(
          fail(Code::kUnsupported,
               fmt::format("model '{}' is not served, and this server does not fetch "
                           "models: name it when the server is started",
                           *name),
               "model")));
    }
    service::ModelPool& models = home->context().models;
    jobs->start(*store, *name, stream, std::move(exchange),
                [&models, name = *name] { models.refresh(name); });
  };
}

Handler push_model(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    bool stream = true;
    const std::optional<std::string> name = open_named(*home, *exchange, stream);
    if (!name) return;
    exchange->respond(error_response(
        fail(Code::kUnsupported, "pippin publishes no models: push is not supported", "model")));
  };
}

}  // namespace pippin::api::ollama
