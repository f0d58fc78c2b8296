// The catalogue of models on this machine: pippin's own folder, the Hugging Face cache and Ollama's
// stores, read in place. Nothing here asks the network. Thread: any; each call looks anew, and
// other programs may change the folders meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/name.h"
#include "hub/paths.h"

namespace pippin::hub {

enum class Source : uint8_t { kFile, kHuggingFace, kOllama };

/// A model whose files are here, whole.
struct LocalModel {
  Source source = Source::kFile;
  std::string name;  // what to type: "hf:org/repo:Q4_K_M", "ollama:qwen2.5:0.5b", a file's name
  std::string id;    // for the API: the file's name without .gguf, the folder's or repository's,
                     // "qwen2.5:0.5b"
  std::filesystem::path path;                // the GGUF file or its first shard, or the folder
  std::vector<std::filesystem::path> files;  // all shards, in order; all files of a folder
  uint64_t bytes = 0;                        // of all files
  std::chrono::system_clock::time_point modified;
  std::string quant;                 // "Q4_K_M", by the file's name; empty where it does not say
  std::string revision;              // Hugging Face: the commit
  std::string digest;                // Ollama: sha256 of the manifest, hexadecimal
  std::vector<std::string> aliases;  // short names that mean it; resolve(): the one that was used
  std::vector<std::filesystem::path> licenses;  // Ollama: files with the texts, in order
};

/// Returns all models on this machine, by name. What is broken or half fetched is left out.
std::vector<LocalModel> list_models(const Paths& paths);

/// Returns the model that `named` means: an alias, a path to a GGUF file or to a folder of
/// safetensors, hf:..., ollama:..., or the name of one in the models folder, with or without
/// ".gguf". This is the one function by
/// which every command finds a model. Errors: kInvalidArgument for a malformed name; kNotFound,
/// saying what there is and how to get it.
Result<LocalModel> resolve(const std::string& named, const Paths& paths);

/// Returns what an alias means, or `named` itself. Errors: of read_aliases() and end_of_alias().
Result<std::string> unalias(const std::string& named, const Paths& paths);

/// Adds or replaces an alias. Errors: of set_alias(); kInvalidArgument for the name of a model that
/// is here, which the alias would hide.
Result<void> add_alias(const std::string& name, const std::string& target, const Paths& paths);

/// What remove_model() has done.
struct Removed {
  std::string name;        // the alias or the model
  bool was_alias = false;  // only the alias went; the model stays
  uint64_t freed_bytes = 0;
};

/// Removes an alias, or a model: its snapshot entries or manifest, and the blobs that nothing else
/// uses. A plain path is refused: that file is the user's own. Errors: of resolve();
/// kPermissionDenied; kUnavailable while another process fetches it.
Result<Removed> remove_model(const std::string& named, const Paths& paths);

}  // namespace pippin::hub
