// GET /api/tags, GET /api/ps, POST /api/show, GET /api/version and GET /.
#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "api/ollama/describe.h"
#include "api/ollama/errors.h"
#include "api/ollama/model_route.h"
#include "api/ollama/names.h"
#include "api/ollama/ollama.h"
#include "api/ollama/writer.h"
#include "api/shared/model_access.h"
#include "service/models/model_pool.h"

namespace pippin::api::ollama {
namespace {

using service::JsonWriter;

// Ollama's version whose API this is. Clients ask for it before they use what is newer than they
// know.
constexpr const char* kApiVersion = "0.14.0";

// A model that is not let go by time; Ollama's own lists show a year as far for it.
constexpr const char* kNever = "2318-01-01T00:00:00Z";

std::string unix_text(int64_t seconds) {
  return time_text(std::chrono::system_clock::time_point(std::chrono::seconds(seconds)));
}

/// All models that are served, with those made of them.
struct Inventory {
  Inventory(const Library& library, const RequestContext* caller)
      : served(usable(caller, library.context().models.list())), made(library.made_for(caller)) {
    for (const service::ModelStatus& status : served) {
      if (status.found && status.unreadable) continue;
      listed.push_back({full_name(status.info.id), status.info, nullptr});
      for (const DerivedHead& model : made) {
        if (model.from == status.info.id) listed.push_back({model.name, status.info, &model});
      }
    }
  }

  std::vector<service::ModelStatus> served;
  std::vector<DerivedHead> made;
  std::vector<Listed> listed;
};

std::string expiry_text(const service::ModelStatus& status) {
  if (!status.expires_in) return kNever;
  return time_text(
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(*status.expires_in));
}

// What the file says, but for the context, which is what is served.
void write_info(JsonWriter& json, const service::ModelInfo& model) {
  const std::string context = model.architecture + ".context_length";
  json.key("model_info").begin_object().field("general.architecture", model.architecture);
  json.key_text(context).integer(int64_t{model.context_tokens_max});
  const Result<boost::json::value> facts = service::parse_json(model.facts.metadata_json);
  if (facts.ok() && facts->is_object()) {
    for (const auto& [key, value] : facts->get_object()) {
      if (key != "general.architecture" && key != context) json.key_text(key).value(value);
    }
  }
  json.end_object();
}

void write_shown(JsonWriter& json, const Listed& listed, const DerivedModel* made, bool verbose) {
  const service::ModelInfo& model = listed.model;
  const bool own_license = made != nullptr && !made->license.empty();
  const bool own_template = made != nullptr && !made->template_text.empty();
  const service::ModelFacts& facts = model.facts;
  const std::string& license = facts.license_text.empty() ? facts.license : facts.license_text;
  json.begin_object().field("license", own_license ? made->license : license);
  json.field("modelfile", modelfile_text(listed, made));
  json.field("parameters", parameters_text(model, made));
  json.field("template", own_template          ? std::string_view(made->template_text)
                         : model.chat_template ? std::string_view(model.chat_template->source())
                                               : std::string_view());
  json.field("system", made != nullptr ? made->system : std::string());
  write_details(json, listed);
  if (made != nullptr) json.key("messages").value(made->messages);
  write_info(json, model);
  if (verbose) json.key("tensors").raw(facts.tensors_json);
  json.key("capabilities").begin_array();
  for (const std::string_view able : model.capabilities()) json.string(able);
  json.end_array();
  json.field("modified_at", unix_text(listed.modified_unix_s())).end_object();
}

}  // namespace

Handler list_models(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    const Inventory inventory(*home, exchange->request().caller.get());
    Response response;
    JsonWriter json(response.body);
    json.begin_object().key("models").begin_array();
    for (const Listed& listed : inventory.listed) {
      json.begin_object();
      write_identity(json, listed, listed.model.facts.bytes);
      json.field("modified_at", unix_text(listed.modified_unix_s()));
      json.end_object();
    }
    json.end_array().end_object();
    exchange->respond(std::move(response));
  };
}

Handler list_running(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    Response response;
    JsonWriter json(response.body);
    json.begin_object().key("models").begin_array();
    const RequestContext* caller = exchange->request().caller.get();
    for (const service::ModelStatus& status : usable(caller, home->context().models.list())) {
      if (status.loaded_part < 1) continue;
      json.begin_object();
      write_identity(json, {full_name(status.info.id), status.info, nullptr}, status.memory_bytes);
      json.field("expires_at", expiry_text(status));
      json.field("size_vram", status.on_gpu ? status.memory_bytes : 0);
      json.field("context_length", status.info.context_tokens_max);
      json.end_object();
    }
    json.end_array().end_object();
    exchange->respond(std::move(response));
  };
}

Handler show_model(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    std::optional<boost::json::object> body = open_body(*home, *exchange);
    if (!body) return;
    FieldReader reader(*body);
    const bool verbose = reader.boolean("verbose").value_or(false);
    if (!reader.ok()) return exchange->respond(error_response(*reader.error()));
    const std::optional<Wanted> wanted = find_model(*home, *exchange, reader);
    if (!reader.ok()) return exchange->respond(error_response(*reader.error()));
    if (!wanted) return;
    const Result<service::ModelStatus> status = home->context().models.look(wanted->base);
    if (!status.ok()) return exchange->respond(error_response(status.error()));
    const DerivedModel* made = wanted->made ? &*wanted->made : nullptr;
    Response response;
    JsonWriter json(response.body);
    write_shown(json, {full_name(wanted->name), status->info, made}, made, verbose);
    exchange->respond(std::move(response));
  };
}

Handler version() {
  return [](std::shared_ptr<Exchange> exchange) {
    Response response;
    JsonWriter(response.body)
        .begin_object()
        .field("version", kApiVersion)
        .field("pippin", PIPPIN_VERSION)
        .end_object();
    exchange->respond(std::move(response));
  };
}

Handler greeting() {
  return [](std::shared_ptr<Exchange> exchange) {
    exchange->respond({200, "text/plain", "Ollama is running", {}});
  };
}

}  // namespace pippin::api::ollama
