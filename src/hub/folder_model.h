// Models in Hugging Face's own form: a config.json, safetensors and a tokenizer's files, side by
// side. Thread: any.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hub/catalogue.h"

namespace pippin::hub {

/// Returns the files of the model that a repository's top level holds, by name: config.json first,
/// then what belongs to it. Empty: it holds none. Weights are model.safetensors, else all shards
/// model-*.safetensors; other weights (adapters, pickles, what frameworks duplicate) stay out.
std::vector<std::string> folder_model_files(std::span<const std::string> paths);

/// Returns the model that a folder is, whole; nothing where it holds none, or not all of one.
/// `name`, `id` and `source` are the caller's to set.
std::optional<LocalModel> model_of_folder(const std::filesystem::path& folder);

}  // namespace pippin::hub
