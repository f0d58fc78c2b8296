#include "app/default_model.h"

#include <fmt/format.h>

#include <filesystem>

#include "app/pull.h"
#include "hub/paths.h"

namespace pippin::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultFile = "SmolLM2-135M-Instruct.Q4_1.gguf";

Result<hub::LocalModel> find_default(const Settings& settings, const hub::Paths& paths) {
  const fs::path path = settings.default_model.empty() ? paths.models / kDefaultFile
                                                       : fs::path(settings.default_model);
  std::error_code ignored;
  if (fs::exists(path, ignored)) return hub::resolve(path.string(), paths);
  if (!settings.default_model.empty())
    return fail(Code::kNotFound,
                fmt::format("PIPPIN_DEFAULT_MODEL names no file: {}", path.string()));
  return fail(Code::kNotFound,
              fmt::format("no MODEL is named, and the default model does not exist: {}\n"
                          "  scripts/serve fetches it; or name a GGUF file: pippin serve MODEL",
                          path.string()));
}

}  // namespace

Result<hub::Paths> model_paths(const Settings& settings, const Environment& environment) {
  return hub::find_paths({.aliases = settings.aliases_path,
                          .hf_endpoint = settings.hf_endpoint,
                          .ollama_registry = settings.ollama_registry},
                         environment);
}

Result<hub::LocalModel> find_model(const std::string& named, const Settings& settings,
                                   const Environment& environment) {
  ASSIGN_OR_RETURN(const hub::Paths paths, model_paths(settings, environment));
  if (named.empty()) return find_default(settings, paths);
  Result<hub::LocalModel> model = hub::resolve(named, paths);
  if (model.ok() || model.error().code != Code::kNotFound || paths.offline) return model;
  const Result<std::string> target = hub::unalias(named, paths);
  if (!target.ok() || !hub::is_model_name(*target)) return model;
  if (auto fetched = pull_model(settings, *target, paths); !fetched.ok()) return fetched;
  return hub::resolve(named, paths);
}

}  // namespace pippin::app
