#include "app/default_model.h"

#include <fmt/format.h>

#include <filesystem>

#include "app/pull.h"
#include "hub/paths.h"

namespace pippin::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultFile = "SmolLM2-135M-Instruct.Q4_1.gguf";

Result<hub::LocalModel> find_default(const Settings& settings, const hub::Paths& places) {
  const fs::path path = settings.default_model.empty() ? places.models / kDefaultFile
                                                       : fs::path(settings.default_model);
  std::error_code ignored;
  if (fs::exists(path, ignored)) return hub::resolve(path.string(), places);
  if (!settings.default_model.empty())
    return fail(Code::kNotFound,
                fmt::format("PIPPIN_DEFAULT_MODEL names no file: {}", path.string()));
  return fail(Code::kNotFound,
              fmt::format("no model named, and the default one is not there: {}\n"
                          "  scripts/serve fetches it; or name a GGUF file: pippin serve MODEL",
                          path.string()));
}

}  // namespace

Result<hub::LocalModel> find_model(const std::string& named, const Settings& settings,
                                   const Environment& environment) {
  ASSIGN_OR_RETURN(const hub::Paths places, hub::find_places(settings, environment));
  if (named.empty()) return find_default(settings, places);
  Result<hub::LocalModel> model = hub::resolve(named, places);
  if (model.ok() || model.error().code != Code::kNotFound || places.offline) return model;
  const Result<std::string> target = hub::unalias(named, places);
  if (!target.ok() || !hub::is_model_name(*target)) return model;
  if (auto fetched = pull_model(settings, *target, places); !fetched.ok()) return fetched;
  return hub::resolve(named, places);
}

}  // namespace pippin::app
