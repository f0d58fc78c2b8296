#include "hub/folder_model.h"

#include <algorithm>

#include "hub/files.h"
#include "hub/local.h"
#include "store/hf_folder.h"

namespace pippin::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConfig = "config.json", kWeights = "model.safetensors";

/// What a tokenizer, its template and the advice on sampling are kept in.
bool is_companion(std::string_view path) {
  constexpr std::string_view kNames[] = {
      "model.safetensors.index.json", "tokenizer.json",      "tokenizer_config.json",
      "special_tokens_map.json",      "added_tokens.json",   "generation_config.json",
      "chat_template.json",           "chat_template.jinja", "README.md",
  };
  return std::ranges::find(kNames, path) != std::end(kNames);
}

bool is_shard(std::string_view path) {
  return path.starts_with("model-") && path.ends_with(".safetensors") &&
         path.find('/') == std::string_view::npos;
}

}  // namespace

std::vector<std::string> folder_model_files(std::span<const std::string> paths) {
  const auto has = [&](std::string_view name) {
    return std::ranges::find(paths, name) != paths.end();
  };
  const bool whole = has(kWeights);
  std::vector<std::string> files{std::string(kConfig)};
  bool weights = whole;
  for (const std::string& path : paths) {
    const bool shard = !whole && is_shard(path);
    weights |= shard;
    if (shard || is_companion(path) || path == kWeights) files.push_back(path);
  }
  if (!has(kConfig) || !weights) return {};
  std::ranges::sort(files.begin() + 1, files.end());
  return files;
}

std::optional<LocalModel> model_of_folder(const fs::path& folder) {
  const std::vector<std::string> files = folder_model_files(names_in(folder));
  if (files.empty()) return std::nullopt;
  const auto weights = store::hf_weight_files(folder.string());
  const auto is_here = [&](const std::string& name) { return is_regular(folder / name); };
  if (!weights.ok() || !std::ranges::all_of(*weights, is_here)) return std::nullopt;
  LocalModel model;
  model.path = folder;
  for (const std::string& name : files) model.files.push_back(folder / name);
  measure(model);
  return model;
}

}  // namespace pippin::hub
