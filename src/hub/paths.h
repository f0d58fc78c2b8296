// Paths: where models lie on this machine, where they come from, and who asks. Read once from the
// options and the environment, then const. Thread: any.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/environment.h"
#include "base/result.h"

namespace pippin::hub {

/// What a user set; empty: as the environment says, else the default.
struct PathOptions {
  std::string aliases;                       // file
  std::string hf_endpoint, ollama_registry;  // URLs
};

struct Paths {
  std::filesystem::path models;    // pippin's own folder of GGUF files
  std::filesystem::path hf_cache;  // of huggingface_hub: models--org--repo/...
  std::filesystem::path ollama;    // Ollama's store that is written to: blobs/, manifests/
  std::vector<std::filesystem::path> ollama_others;  // stores that are only read
  std::filesystem::path aliases;                     // the file of short names

  std::string hf_endpoint;      // "https://huggingface.co", without a slash at its end
  std::string hf_token;         // sent to the endpoint's own host only; empty: none
  std::string ollama_registry;  // a mirror's URL; empty: https and the name's own host
  bool offline = false;         // HF_HUB_OFFLINE: nothing is asked of the network
};

/// Returns ${XDG_DATA_HOME:-~/.local/share}/pippin/models.
std::filesystem::path models_folder(const Environment& environment);

/// Returns the paths that the options name, else the variables of huggingface_hub (HF_HOME,
/// HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, ...) and of Ollama (OLLAMA_MODELS), else their defaults.
/// Errors: kInvalidArgument for an endpoint that is no http or https URL.
Result<Paths> find_paths(const PathOptions& options, const Environment& environment);

}  // namespace pippin::hub
