#include "hub/paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/environment.h"
#include "hub/files.h"
#include "hub/http_client.h"
#include "hub/name.h"

namespace pippin::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHfEndpoint = "https://huggingface.co";
constexpr size_t kTokenBytesMax = 4096;

class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  /// Returns the first of these that is set and not empty.
  std::string first(std::initializer_list<const char*> names) const {
    for (const char* name : names)
      if (const char* value = environment_(name); value != nullptr && *value != '\0') return value;
    return {};
  }
  fs::path home() const { return home_folder(environment_); }
  /// The folder that `name` names, else `otherwise` below the home folder.
  fs::path folder(std::initializer_list<const char*> names, const fs::path& otherwise) const {
    const std::string named = first(names);
    if (named.starts_with("~/")) return home() / named.substr(2);
    return named.empty() ? home() / otherwise : fs::path(named);
  }
  bool is_on(std::initializer_list<const char*> names) const {
    std::string text = first(names);
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
    return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
  }

 private:
  const Environment& environment_;
};

Result<std::string> checked_endpoint(std::string url, const char* origin) {
  while (url.ends_with('/')) url.pop_back();
  if (url.empty() || origin_of(url).ok()) return url;
  return fail(Code::kInvalidArgument,
              fmt::format("{}: expected an http or https URL, but found '{}'", origin, url),
              origin);
}

/// A token is one word; anything else, a file that is none, could smuggle headers into a request.
std::string checked_token(std::string token) {
  const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
  while (!token.empty() && is_space(token.back())) token.pop_back();
  const auto first = std::ranges::find_if_not(token, is_space);
  token.erase(token.begin(), first);
  const bool plain = token.size() <= kTokenBytesMax &&
                     std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7f; });
  return plain ? token : std::string();
}

std::string token_of(const Variables& variables, const fs::path& hf_home) {
  if (variables.is_on({"HF_HUB_DISABLE_IMPLICIT_TOKEN"})) return {};
  const std::string token = variables.first({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"});
  if (!token.empty()) return checked_token(token);
  const std::string named = variables.first({"HF_TOKEN_PATH"});
  const Result<std::string> file =
      read_file(named.empty() ? hf_home / "token" : fs::path(named), kTokenBytesMax);
  return file.ok() ? checked_token(*file) : std::string();
}

}  // namespace

fs::path models_folder(const Environment& environment) {
  return Variables(environment).folder({"XDG_DATA_HOME"}, ".local/share") / "pippin" / "models";
}

Result<Paths> find_paths(const PathOptions& options, const Environment& environment) {
  const Variables variables(environment);
  Paths paths;
  paths.models = models_folder(environment);
  const std::string hf_home_named = variables.first({"HF_HOME"});
  const fs::path hf_home = hf_home_named.empty()
                               ? variables.folder({"XDG_CACHE_HOME"}, ".cache") / "huggingface"
                               : variables.folder({"HF_HOME"}, "");
  paths.hf_cache = variables.first({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}).empty()
                       ? hf_home / "hub"
                       : variables.folder({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}, "");
  paths.ollama = variables.folder({"OLLAMA_MODELS"}, ".ollama/models");
  // Where its installer's service keeps models on Linux.
  for (const fs::path shared : {"/usr/share/ollama/.ollama/models", "/var/lib/ollama/models"})
    if (shared != paths.ollama && variables.first({"OLLAMA_MODELS"}).empty())
      paths.ollama_others.push_back(shared);
  paths.aliases = options.aliases.empty()
                      ? variables.folder({"XDG_CONFIG_HOME"}, ".config") / "pippin" / "aliases"
                      : fs::path(options.aliases);

  const std::string endpoint =
      options.hf_endpoint.empty() ? variables.first({"HF_ENDPOINT"}) : options.hf_endpoint;
  ASSIGN_OR_RETURN(paths.hf_endpoint,
                   checked_endpoint(endpoint.empty() ? kHfEndpoint : endpoint,
                                    options.hf_endpoint.empty() ? "HF_ENDPOINT" : "--hf-endpoint"));
  ASSIGN_OR_RETURN(paths.ollama_registry,
                   checked_endpoint(options.ollama_registry, "--ollama-registry"));
  paths.hf_token = token_of(variables, hf_home);
  paths.offline = variables.is_on({"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"});
  return paths;
}

}  // namespace pippin::hub
