#include "app/models_commands.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <unistd.h>
#ifdef __APPLE__
#include <libproc.h>
#endif

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <thread>

#include "app/commands.h"
#include "app/default_model.h"
#include "app/model_output.h"
#include "app/server_client.h"
#include "app/terminal.h"
#include "base/size_text.h"
#include "hub/aliases.h"
#include "hub/catalogue.h"
#include "hub/http_client.h"
#include "hub/paths.h"
#include "models/model.h"
#include "service/json.h"
#include "store/checkpoint.h"

namespace pippin::app {
namespace {

using service::JsonWriter;

constexpr auto kStopMax = std::chrono::seconds(60);

std::string bytes_text(uint64_t bytes) { return size_text(static_cast<double>(bytes)); }

std::string date_text(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm local = {};
  localtime_r(&seconds, &local);
  return fmt::format("{:%Y-%m-%d %H:%M}", local);
}

/// Why a model on disk cannot be served, in a few words; empty: it can, as far as its head tells.
struct Fault {
  const char* word = "";
  std::string reason;
};

Fault fault_of(const hub::LocalModel& model) {
  const Result<store::Checkpoint> checkpoint = store::Checkpoint::open(model.path.string());
  if (!checkpoint.ok())
    return {checkpoint.error().code == Code::kPermissionDenied ? "no permission" : "broken",
            checkpoint.error().message};
  const Result<store::ModelConfig> config = checkpoint->config();
  if (!config.ok())
    return {config.error().code == Code::kUnsupported ? "not supported" : "broken",
            config.error().message};
  const Result<models::ModelSpec> spec = models::make_spec(*config);
  return spec.ok() ? Fault{} : Fault{"not supported", spec.error().message};
}

void write_model(JsonWriter& json, const hub::LocalModel& model, const Fault& fault) {
  json.begin_object();
  write_identity(json, model);
  if (!fault.reason.empty()) json.field("error", fault.reason);
  json.end_object();
}

}  // namespace

Result<int> list(const Settings& settings) {
  ASSIGN_OR_RETURN(const hub::Paths paths, model_paths(settings, environment_variable));
  const std::vector<hub::LocalModel> models = hub::list_models(paths);
  if (settings.models_json) {
    std::string text;
    JsonWriter json(text);
    json.begin_array();
    for (const hub::LocalModel& model : models) write_model(json, model, fault_of(model));
    json.end_array();
    fmt::print("{}\n", text);
    return kExitOk;
  }
  if (models.empty()) {
    fmt::print("no models yet; `pippin pull hf:ORG/REPO:QUANT` fetches one\n");
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{{"NAME", "SIZE", "MODIFIED", "ALIASES", ""}};
  for (const hub::LocalModel& model : models)
    rows.push_back({printable(model.name), bytes_text(model.bytes), date_text(model.modified),
                    fmt::format("{}", fmt::join(model.aliases, ", ")), fault_of(model).word});
  print_table(rows);
  return kExitOk;
}

Result<int> remove(const Settings& settings, const std::string& named) {
  if (named.empty()) return no_model_named("remove");
  ASSIGN_OR_RETURN(const hub::Paths paths, model_paths(settings, environment_variable));
  ASSIGN_OR_RETURN(const hub::Removed removed, hub::remove_model(named, paths));
  if (removed.was_alias) {
    fmt::print("removed the alias {}; its model stays\n", removed.name);
  } else {
    fmt::print("removed {}; {} are free again\n", printable(removed.name),
               bytes_text(removed.freed_bytes));
  }
  return kExitOk;
}

Result<int> alias(const Settings& settings, const std::string& name,
                  const std::optional<std::string>& target) {
  ASSIGN_OR_RETURN(const hub::Paths paths, model_paths(settings, environment_variable));
  if (target) {
    RETURN_IF_ERROR(hub::add_alias(name, *target, paths));
    fmt::print("{} = {}\n", name, *target);
    const Result<hub::LocalModel> model = hub::resolve(name, paths);
    if (!model.ok()) fmt::print(stderr, "note: {}\n", model.error().message);
    return kExitOk;
  }
  ASSIGN_OR_RETURN(const hub::Aliases aliases, hub::read_aliases(paths.aliases));
  for (const auto& [alias, means] : aliases)
    if (name.empty() || name == alias) fmt::print("{} = {}\n", alias, printable(means));
  if (!name.empty() && !aliases.contains(name))
    return fail(Code::kNotFound, fmt::format("there is no alias {}", name), name);
  return kExitOk;
}

// --- The running server ---

namespace {

std::string until_text(const ServerModel& model) {
  if (model.state != "loaded") return "";
  return model.expires_in_s ? fmt::format("{:.0f} s", *model.expires_in_s) : "forever";
}

void print_json(const ServerStatus& status) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().field("ready", status.ready).field("version", status.version);
  json.field("pid", status.pid).field("resident_bytes", status.resident_bytes);
  json.key("uptime_s").number(status.uptime_s);
  json.key("models").begin_array();
  for (const ServerModel& model : status.models) {
    json.begin_object().field("id", model.id).field("architecture", model.architecture);
    json.field("context_tokens", model.context_tokens);
    json.field("state", model.state).field("memory_bytes", model.memory_bytes);
    json.field("weights_bytes", model.weights_bytes).field("kv_bytes", model.kv_bytes);
    json.field("running", model.running).field("waiting", model.waiting).end_object();
  }
  json.end_array().end_object();
  fmt::print("{}\n", text);
}

/// Whether a process is a pippin that runs: what answers on a port may say any number.
bool is_pippin(pid_t pid) {
  if (pid <= 1 || pid == getpid()) return false;
#ifdef __linux__
  std::error_code error;
  const std::filesystem::path program =
      std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error);
  // A program that was built anew while it ran is " (deleted)".
  return !error && program.filename().string().starts_with("pippin");
#else
  char program[PROC_PIDPATHINFO_MAXSIZE] = "";
  return proc_pidpath(pid, program, sizeof(program)) > 0 &&
         std::filesystem::path(program).filename().string().starts_with("pippin");
#endif
}

}  // namespace

Result<int> ps(const Settings& settings) {
  ASSIGN_OR_RETURN(const ServerAccess server, server_access(settings));
  ASSIGN_OR_RETURN(const ServerStatus status, ask_server(server));
  if (settings.models_json) {
    print_json(status);
    return kExitOk;
  }
  fmt::print("pippin {} at {}, {}, up {:.0f} s, {} resident\n", printable(status.version),
             server.url, status.ready ? "ready" : printable(status.reason), status.uptime_s,
             bytes_text(status.resident_bytes));
  std::vector<std::vector<std::string>> rows{{"MODEL", "STATE", "UNTIL", "ARCHITECTURE", "CONTEXT",
                                              "MEMORY", "WEIGHTS", "KV", "RUNNING", "WAITING"}};
  for (const ServerModel& model : status.models)
    rows.push_back({printable(model.id), printable(model.state), until_text(model),
                    printable(model.architecture), fmt::to_string(model.context_tokens),
                    bytes_text(model.memory_bytes), bytes_text(model.weights_bytes),
                    bytes_text(model.kv_bytes), fmt::to_string(model.running),
                    fmt::to_string(model.waiting)});
  print_table(rows);
  return kExitOk;
}

Result<int> stop(const Settings& settings, const std::string& model) {
  ASSIGN_OR_RETURN(const ServerAccess server, server_access(settings));
  if (!model.empty()) {
    RETURN_IF_ERROR(ask_to_unload(server, model));
    fmt::print("{} is unloaded once its requests have ended\n", model);
    return kExitOk;
  }
  ASSIGN_OR_RETURN(const ServerStatus status, ask_server(server));
  if (!hub::is_loopback(server.url))
    return fail(
        Code::kUnsupported,
        fmt::format("{} is another machine; a server is stopped where it runs", server.url));
  const auto pid = static_cast<pid_t>(status.pid);
  if (!is_pippin(pid))
    return fail(Code::kUnsupported,
                fmt::format("the server at {} does not say which process it is", server.url));
  if (kill(pid, SIGTERM) != 0)
    return fail(errno == EPERM ? Code::kPermissionDenied : Code::kUnavailable,
                fmt::format("cannot stop process {}: {}", pid, std::strerror(errno)));
  const auto end = std::chrono::steady_clock::now() + kStopMax;
  while (is_pippin(pid)) {
    if (std::chrono::steady_clock::now() > end)
      return fail(Code::kTimeout, fmt::format("process {} still lets its answers end", pid));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  fmt::print("stopped {} (process {})\n", server.url, pid);
  return kExitOk;
}

}  // namespace pippin::app
