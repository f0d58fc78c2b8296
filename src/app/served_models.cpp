#include "app/served_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "app/default_model.h"
#include "app/hub_model_store.h"
#include "app/loading.h"
#include "app/settings/settings_file.h"
#include "base/duration_text.h"
#include "base/environment.h"
#include "base/log.h"

namespace pippin::app {
namespace {

using service::KeepAlive;
using service::ModelSpec;

constexpr Duration kOnDemandKeepAlive = std::chrono::minutes(5);  // as Ollama has it
constexpr double kNanosecondsMax = 9e18;

Result<ModelSpec> spec_of(const Settings& settings, const hub::LocalModel& found,
                          KeepAlive keep_alive) {
  ModelSpec spec;
  ASSIGN_OR_RETURN(spec.load, load_options(settings, found, settings.rows_max));
  ASSIGN_OR_RETURN(spec.keep_alive, keep_alive_of(settings.keep_alive, "--keep-alive", keep_alive));
  return spec;
}

Result<NamedModel> of_name(const Settings& settings, const std::string& name,
                           const Environment& environment) {
  ASSIGN_OR_RETURN(const hub::LocalModel found, find_model(name, settings, environment));
  NamedModel model;
  ASSIGN_OR_RETURN(model.spec, spec_of(settings, found, {}));
  model.at_start = true;
  return model;
}

// What is wrong in a table of the settings file is told with its line.
Error in_table(const ModelTable& table, const Error& error) {
  return fail(Code::kInvalidArgument, fmt::format("{}: {}", table.origin, error.message),
              "--config");
}

// A file has no shell that would expand "~/".
std::string at_home(const std::string& path, const Environment& environment) {
  return path.starts_with("~/") ? (home_folder(environment) / path.substr(2)).string() : path;
}

Result<NamedModel> of_table(const Settings& settings, const ModelTable& table,
                            const Environment& environment) {
  Settings own = settings;
  RETURN_IF_ERROR(apply_file_values(own, Command::kServe, table.values));
  const std::string name = at_home(table.model.empty() ? table.name : table.model, environment);
  const Result<hub::LocalModel> found = find_model(name, own, environment);
  if (!found.ok()) return in_table(table, found.error());
  NamedModel model;
  Result<ModelSpec> spec = spec_of(own, *found, {});
  if (!spec.ok()) return in_table(table, spec.error());
  model.spec = *std::move(spec);
  model.spec.load.id = table.name;
  std::vector<std::string>& aliases = model.spec.load.aliases;
  aliases.insert(aliases.end(), table.aliases.begin(), table.aliases.end());
  std::erase(aliases, table.name);
  const Result<KeepAlive> keep_alive =
      keep_alive_of(table.keep_alive, table.origin, model.spec.keep_alive);
  if (!keep_alive.ok()) return keep_alive.error();
  model.spec.keep_alive = *keep_alive;
  model.spec.pinned = table.pinned;
  return model;
}

Result<void> pin(std::vector<NamedModel>& models, const std::string& name) {
  for (NamedModel& model : models) {
    const service::LoadOptions& load = model.spec.load;
    if (load.id != name && !std::ranges::count(load.aliases, name)) continue;
    model.spec.pinned = true;
    return {};
  }
  return fail(Code::kInvalidArgument,
              fmt::format("--pin: no model here is called {}; name it for serve, or in the "
                          "settings file",
                          name),
              "--pin");
}

}  // namespace

Result<KeepAlive> keep_alive_of(const std::string& text, std::string_view origin,
                                KeepAlive otherwise) {
  if (text.empty()) return otherwise;
  const std::optional<double> nanoseconds = parse_duration(text);
  if (!nanoseconds) {
    return fail(Code::kInvalidArgument,
                fmt::format("{}: expected a time such as 5m or 1h30m, or -1 for no end, got \"{}\"",
                            origin, text),
                "--keep-alive");
  }
  if (*nanoseconds < 0 || *nanoseconds > kNanosecondsMax) return KeepAlive();
  return KeepAlive(std::chrono::nanoseconds(static_cast<int64_t>(*nanoseconds)));
}

Result<std::vector<NamedModel>> named_models(const Settings& settings,
                                             const std::vector<std::string>& named,
                                             const Environment& environment) {
  std::vector<NamedModel> models;
  for (const std::string& name : named) {
    if (name.empty()) continue;  // as scripts have it that pass on what they may not have got
    ASSIGN_OR_RETURN(NamedModel model, of_name(settings, name, environment));
    models.push_back(std::move(model));
  }
  for (const ModelTable& table : settings.model_tables) {
    ASSIGN_OR_RETURN(NamedModel model, of_table(settings, table, environment));
    models.push_back(std::move(model));
  }
  if (models.empty()) {
    ASSIGN_OR_RETURN(NamedModel model, of_name(settings, "", environment));
    models.push_back(std::move(model));
  }
  for (const std::string& name : settings.pinned) RETURN_IF_ERROR(pin(models, name));
  for (NamedModel& model : models) model.at_start = model.at_start || model.spec.pinned;
  service::LoadOptions& first = models.front().spec.load;
  if (!settings.served_name.empty()) first.id = settings.served_name;
  first.record_path = settings.record_path;
  return models;
}

// --- On disk ---

Result<std::unique_ptr<DiskModels>> DiskModels::make(const Settings& settings,
                                                     const hub::Paths& paths) {
  ASSIGN_OR_RETURN(const KeepAlive keep_alive,
                   keep_alive_of(settings.keep_alive, "--keep-alive", kOnDemandKeepAlive));
  return std::unique_ptr<DiskModels>(new DiskModels(settings, paths, keep_alive));
}

std::vector<ModelSpec> DiskModels::list() {
  std::vector<ModelSpec> specs;
  for (const hub::LocalModel& model : hub::list_models(paths_)) {
    Result<ModelSpec> spec = spec_of(settings_, model, keep_alive_);
    if (spec.ok()) {
      specs.push_back(*std::move(spec));
    } else {
      log::warn("[models] {}: {}", model.name, spec.error().message);
    }
  }
  return specs;
}

Result<ModelSpec> DiskModels::find(std::string_view name) {
  for (ModelSpec& spec : list()) {
    if (spec.load.id == name || std::ranges::count(spec.load.aliases, name)) return std::move(spec);
  }
  // A name may leave parts out, or be as Ollama's clients write it. With its scheme it is no path.
  const Result<hub::LocalModel> meant = hub::resolve(hub_name(name), paths_);
  if (meant.ok()) return spec_of(settings_, *meant, keep_alive_);
  return fail(Code::kNotFound, fmt::format("there is no model {} on this machine", name), "model");
}

}  // namespace pippin::app
