#include "app/default_model.h"

#include <fmt/format.h>

#include <algorithm>

namespace pippin::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultFile = "SmolLM2-135M-Instruct.Q4_1.gguf";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// Returns the names of the models in a folder, sorted.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    if (ignored) break;
    if (entry->path().extension() == ".gguf") names.push_back(entry->path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Error not_found(const std::string& named, const fs::path& folder) {
  std::string message = fmt::format("no such model: {}\n  It is neither a file nor a name in {}",
                                    named, folder.string());
  const std::vector<std::string> names = names_in(folder);
  if (names.empty()) {
    message += ", which holds none.";
  } else {
    message += ", which holds:";
    for (const std::string& name : names) message += "\n    " + name;
  }
  return fail(Code::kNotFound, message, named);
}

}  // namespace

fs::path models_folder(const Environment& environment) {
  const char* data = environment("XDG_DATA_HOME");
  if (data != nullptr && *data != '\0') return fs::path(data) / "pippin" / "models";
  const char* home = environment("HOME");
  return fs::path(home != nullptr ? home : ".") / ".local" / "share" / "pippin" / "models";
}

Result<std::string> find_model(const std::string& named, const Settings& settings,
                               const Environment& environment) {
  const fs::path folder = models_folder(environment);
  if (named.empty()) {
    const fs::path path =
        settings.default_model.empty() ? folder / kDefaultFile : fs::path(settings.default_model);
    if (is_file(path)) return path.string();
    if (!settings.default_model.empty())
      return fail(Code::kNotFound,
                  fmt::format("PIPPIN_DEFAULT_MODEL names no file: {}", path.string()));
    return fail(Code::kNotFound,
                fmt::format("no model named, and the default one is not there: {}\n"
                            "  scripts/serve fetches it; or name a GGUF file: pippin serve MODEL",
                            path.string()));
  }
  if (is_file(named)) return named;
  std::error_code ignored;
  if (fs::is_directory(named, ignored))
    return fail(Code::kUnsupported,
                fmt::format("{} is a folder; pippin reads single GGUF files so far", named), named);
  for (const char* scheme : {"hf:", "ollama:", "https:", "http:"})
    if (named.starts_with(scheme))
      return fail(
          Code::kUnsupported,
          fmt::format("{}: models are not fetched by name yet; download the GGUF file and give its "
                      "path",
                      named),
          named);
  if (named.find('/') == std::string::npos)
    for (const std::string& name : {named, named + ".gguf"})
      if (is_file(folder / name)) return (folder / name).string();
  return not_found(named, folder);
}

}  // namespace pippin::app
