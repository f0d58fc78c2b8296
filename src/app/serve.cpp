// pippin serve: listens first, so that a taken port shows at once and /health can tell of the
// loading; then loads, and serves until a signal.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

#include "api/anthropic/errors.h"
#include "api/context.h"
#include "api/ollama/errors.h"
#include "api/openai/errors.h"
#include "api/routes.h"
#include "app/audit_log.h"
#include "app/chat.h"
#include "app/commands.h"
#include "app/connect_help.h"
#include "app/default_model.h"
#include "app/hub_model_store.h"
#include "app/interrupts.h"
#include "app/key.h"
#include "app/listeners.h"
#include "app/loading.h"
#include "app/served_models.h"
#include "app/signing_key.h"
#include "base/alarm.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "base/worker_pool.h"
#include "http/server.h"
#include "service/access/authenticator.h"
#include "service/models/memory_plan.h"
#include "service/models/model_pool.h"
#include "service/readiness.h"
#include "service/storage/batch_store.h"
#include "service/storage/response_store.h"

namespace pippin::app {
namespace {

/// An http::ErrorForm for errors below the routes: Anthropic's below /v1/messages, Ollama's below
/// /api, else OpenAI's.
api::Response error_form(std::string_view path, int status, const Error& error) {
  if (path.starts_with("/v1/messages")) return api::anthropic::error_response(status, error);
  if (path.starts_with("/api/"))
    return {status, "application/json", api::ollama::error_json(error.message), {}};
  const api::openai::ApiError api_error = api::openai::api_error(error);
  return {status, "application/json", api::openai::error_json(api_error), {}};
}

http::Options http_options(const Settings& settings) {
  http::Options options;
  options.host = settings.host;
  options.port = static_cast<uint16_t>(settings.port);
  options.allowed_hosts = settings.allowed_hosts;
  options.error_form = error_form;
  options.tls_cert_path = settings.tls_cert_path;
  options.tls_key_path = settings.tls_key_path;
  options.cors_origins.insert(options.cors_origins.end(), settings.cors_origins.begin(),
                              settings.cors_origins.end());
  return options;
}

Result<void> check_tls(const Settings& settings) {
  if (settings.tls_cert_path.empty() == settings.tls_key_path.empty()) return {};
  return fail(Code::kInvalidArgument, "--tls-cert and --tls-key belong together", "--tls-cert");
}

/// Checks keys, TLS and the audit log against each other.
Result<void> check_access(const Settings& settings, service::Authenticator* authenticator) {
  RETURN_IF_ERROR(check_tls(settings));
  if (settings.audit_required && settings.audit_path.empty())
    return fail(Code::kInvalidArgument, "--audit-required needs --audit-log", "--audit-required");
  const bool asks_for_keys = authenticator != nullptr && authenticator->asks_for_keys().value();
  RETURN_IF_ERROR(check_exposure(settings.host, asks_for_keys, settings.allow_unauthenticated));
  if (!is_loopback(settings.host) && settings.tls_cert_path.empty())
    log::warn(
        "[serve] without --tls-cert, keys, prompts and answers cross the network unencrypted");
  return {};
}

/// Returns the folder for what clients of Ollama's API make; empty: none.
std::string ollama_folder(const Settings& settings, const Environment& environment) {
  if (settings.ollama_folder == "off") return {};
  if (!settings.ollama_folder.empty()) return settings.ollama_folder;
  return models_folder(environment).replace_filename("ollama").string();
}

/// Returns the store of responses; null where the settings turn it off. A file that cannot be used
/// now is a warning: each request that needs it tries again.
std::unique_ptr<service::ResponseStore> response_store(const Settings& settings,
                                                       const Environment& environment) {
  if (settings.responses_path == "off") return nullptr;
  service::ResponseStoreOptions options;
  options.path = settings.responses_path;
  if (options.path.empty())
    options.path = history_file(environment).replace_filename("responses.db").string();
  options.responses_max = settings.responses_max;
  options.bytes_max = settings.responses_bytes;
  auto store = std::make_unique<service::ResponseStore>(std::move(options));
  if (const Result<void> open = store->open(); !open.ok())
    log::warn("[responses] answers are not kept: {}", open.error().message);
  return store;
}

/// The same for batches.
std::unique_ptr<service::BatchStore> batch_store(const Settings& settings,
                                                 const Environment& environment) {
  if (settings.batches_path == "off") return nullptr;
  service::BatchStoreOptions options;
  options.path = settings.batches_path;
  if (options.path.empty())
    options.path = history_file(environment).replace_filename("batches.db").string();
  return std::make_unique<service::BatchStore>(std::move(options));
}

/// Loads the models of the start, in their order. The first one must fit; others that do not fit
/// are loaded when a request asks for them. Prints only the progress.
Result<void> load_first(service::ModelPool& models, const std::vector<NamedModel>& named) {
  for (size_t i = 0; i < named.size(); ++i) {
    if (!named[i].at_start) continue;
    const std::string& id = named[i].spec.load.id;
    const auto loaded = std::make_shared<std::promise<Result<void>>>();
    service::ModelWaiter waiter;
    waiter.ready = [loaded](const Result<service::ModelLease>& lease) {
      loaded->set_value(lease.ok() ? Result<void>() : lease.error());
    };
    waiter.may_evict = false;
    models.wait(id, std::move(waiter));
    const Result<void> result = loaded->get_future().get();
    if (result.ok()) continue;
    const bool may_wait =
        i > 0 && !named[i].spec.pinned && result.error().code == Code::kOutOfMemory;
    if (!may_wait) return result;
    fmt::print(stderr, "{} is loaded when a request asks for it: {}\n", id, result.error().message);
  }
  return {};
}

/// Clients of Ollama expect to choose among all models there are, and to use what they pull.
bool is_on_demand(const Settings& settings) { return settings.models_on_demand || settings.ollama; }

std::string state_text(const service::ModelStatus& status) {
  return fmt::format("{}{}", status.state == service::ModelState::kLoaded ? "loaded" : "on demand",
                     status.pinned ? ", pinned" : "");
}

void announce(const std::string& url, const std::string& ollama_url, service::ModelPool& models,
              const Settings& settings) {
  const std::vector<service::ModelLease> loaded = models.lease_all();
  const std::vector<service::ModelStatus> all = models.states();
  if (loaded.empty()) {
    fmt::print("\npippin serves {} models at {}, each loaded when a request asks for it\n",
               all.size(), url);
  } else {
    const service::Model& model = *loaded.front();
    fmt::print("{}", ready_text(url, {model.id, model.architecture, model.facts.path,
                                      model.context_tokens_max, model.plan.to_text()}));
  }
  if (all.size() > 1) {
    fmt::print("Models, in {} of memory for all:\n", service::bytes_text(models.budget_bytes()));
    for (const service::ModelStatus& status : all)
      fmt::print("  {}  ({})\n", status.info.id, state_text(status));
  }
  if (is_on_demand(settings))
    fmt::print("The others that `pippin list` names are loaded when a request asks for them.\n");
  if (!ollama_url.empty()) fmt::print("Clients of Ollama find it at {}, too.\n", ollama_url);
  std::fflush(stdout);
}

/// The memory that all models share.
Result<uint64_t> memory_budget(const Settings& settings) {
  ASSIGN_OR_RETURN(const engine::DeviceKind device, engine::device_named(settings.device));
  return service::memory_budget(settings.memory_bytes, service::machine_of(device));
}

/// Ends every answer, and every wait for a model, with an error that says why.
void end_answers(service::ModelPool& models) {
  models.close();
  for (const service::ModelLease& lease : models.lease_all())
    lease->engine->drain(Duration::zero());
}

/// Ends the answers that the drain has left, and waits for their last turns: these give the models
/// back, and need the workers.
void settle(service::ModelPool& models, const WorkerPool& workers) {
  constexpr auto kPause = std::chrono::milliseconds(10);
  constexpr int kPausesMax = 300, kQuietPauses = 3;
  end_answers(models);
  for (int i = 0, quiet = 0; i < kPausesMax && quiet < kQuietPauses; ++i) {
    std::this_thread::sleep_for(kPause);
    quiet = workers.queued() == 0 ? quiet + 1 : 0;
  }
}

struct Drain {
  int signal = 0;
  std::chrono::seconds time{};   // for running answers
  std::chrono::seconds delay{};  // at least, for a load balancer to notice
};

/// Lets running answers end, those in the background among them, and ends the others.
void drain(Listeners& server, service::ModelPool& models, const api::Context& context, Alarm& alarm,
           Drain by) {
  fmt::print(stderr,
             "\nsignal {}: {} open connections, {} background responses; they have {} s to end\n",
             by.signal, server.connections(), context.background->count(), by.time.count());
  const auto end = std::chrono::steady_clock::now() + by.time;
  server.stop(
      by.time, [&] { end_answers(models); }, by.delay);
  context.background->wait_until(end);
  alarm.stop();
  settle(models, context.workers);
}

/// Opens the audit log; null, if there is to be none.
Result<std::unique_ptr<AuditLog>> audit_log(const Settings& settings,
                                            service::Readiness& readiness) {
  if (settings.audit_path.empty()) return std::unique_ptr<AuditLog>();
  return AuditLog::open(settings.audit_path, settings.audit_text, readiness);
}

void note_requests(AuditLog& log, bool required, http::Options& options) {
  options.audit = [&log](const http::AuditEntry& entry) { log.write(entry); };
  if (required) options.may_answer = [&log] { return log.check(); };
}

}  // namespace

Result<int> serve(const Settings& settings, const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(const std::unique_ptr<service::Authenticator> authenticator,
                   make_authenticator(settings, environment_variable));
  RETURN_IF_ERROR(check_access(settings, authenticator.get()));
  service::Readiness readiness;
  ASSIGN_OR_RETURN(const std::unique_ptr<AuditLog> audit, audit_log(settings, readiness));
  ASSIGN_OR_RETURN(const std::vector<NamedModel> named,
                   named_models(settings, names, environment_variable));
  ASSIGN_OR_RETURN(const hub::Paths paths, model_paths(settings, environment_variable));
  std::unique_ptr<DiskModels> on_disk;
  if (is_on_demand(settings)) {
    ASSIGN_OR_RETURN(on_disk, DiskModels::make(settings, paths));
  }
  ASSIGN_OR_RETURN(const uint64_t budget, memory_budget(settings));
  Interrupts::install();

  // Each object is used by those below it, so they end in the opposite order.
  const SystemClock clock;
  FileLoader loader(settings);
  service::ModelPool models(budget, loader, on_disk.get(), clock);
  for (const NamedModel& model : named) RETURN_IF_ERROR(models.add(model.spec));
  const std::unique_ptr<service::ResponseStore> responses =
      response_store(settings, environment_variable);
  const std::unique_ptr<service::BatchStore> batches = batch_store(settings, environment_variable);
  http::Options options = http_options(settings);
  if (authenticator != nullptr)
    options.authenticate = [&authenticator](const std::vector<std::string_view>& keys) {
      return authenticator->authenticate(keys);
    };
  if (audit != nullptr) note_requests(*audit, settings.audit_required, options);
  WorkerPool workers(std::clamp(allowed_cpus(), 2, 8), 2 * options.connections_max);
  HubModelStore model_store(paths, settings.registries);
  api::Context context{models, readiness, workers};
  Alarm alarm;
  context.model_store = &model_store;
  context.keeper = authenticator.get();
  context.responses = responses.get();
  context.batches = batches.get();
  context.alarm = &alarm;
  context.strict_model_ids = settings.strict_model_ids;
  context.signing_key = signing_key(settings, environment_variable);
  context.data_folder = ollama_folder(settings, environment_variable);
  api::Router router;
  api::add_routes(router, context);
  Listeners server(options, settings, router, workers);
  RETURN_IF_ERROR(server.start());

  readiness.set_not_ready("loading " + named.front().spec.load.path);
  models.start();
  RETURN_IF_ERROR(load_first(models, named));
  // From here on a signal drains, even one that comes while the lines below are printed.
  Interrupts::set(OnInterrupt::kDrain);
  models.open();
  readiness.set_ready();
  const auto url = [&](uint16_t port) {
    return url_of(settings.host, port, !settings.tls_cert_path.empty());
  };
  announce(url(server.port()), settings.ollama ? url(server.ollama_port()) : "", models, settings);

  const int signal = Interrupts::wait();
  readiness.set_not_ready("draining");
  drain(server, models, context, alarm,
        {signal, std::chrono::seconds(settings.drain_s),
         std::chrono::seconds(settings.drain_delay_s)});
  models.stop();  // before the workers, to whom it hands what was waiting
  return kExitOk;
}

}  // namespace pippin::app
