#include "hub/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/json_read.h"
#include "hub/aliases.h"
#include "hub/files.h"
#include "hub/folder_model.h"
#include "hub/gguf_choice.h"
#include "hub/hf_cache.h"
#include "hub/local.h"
#include "hub/ollama_store.h"

namespace pippin::hub {
namespace {

namespace fs = std::filesystem;

std::vector<OllamaStore> stores_of(const Paths& paths) {
  std::vector<OllamaStore> stores{OllamaStore(paths.ollama)};
  for (const fs::path& other : paths.ollama_others) stores.emplace_back(other);
  return stores;
}

/// "Qwen2.5-Coder-1.5B-Instruct-Q4_K_M" of its path.
std::string id_of_file(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".gguf") ? name.substr(0, name.size() - 5) : name;
}

LocalModel of_group(Source source, const fs::path& folder, const GgufGroup& group) {
  LocalModel model;
  model.source = source;
  for (const std::string& file : group.files) model.files.push_back(folder / file);
  model.path = model.files.front();
  model.id = id_of_file(model.path);
  model.quant = group.quant;
  measure(model);
  return model;
}

// --- The folder of models ---

std::vector<GgufGroup> groups_in_folder(const fs::path& folder) {
  return group_gguf(names_in(folder));
}

/// A folder of a model, by its path.
std::optional<LocalModel> of_folder(const fs::path& folder, const std::string& named) {
  std::optional<LocalModel> model = model_of_folder(folder);
  if (!model) return std::nullopt;
  // By a file in it, so that "." and "folder/" get their names, too.
  std::error_code error;
  const fs::path whole = fs::absolute(folder, error);
  if (error) return std::nullopt;
  model->path = (whole / "config.json").lexically_normal().parent_path();
  model->id = model->path.filename().string();
  model->name = named;
  return model;
}

std::vector<LocalModel> models_in(const fs::path& folder) {
  std::vector<LocalModel> models;
  for (const GgufGroup& group : groups_in_folder(folder)) {
    if (!group.complete()) continue;
    LocalModel model = of_group(Source::kFile, folder, group);
    model.name = model.id;
    models.push_back(std::move(model));
  }
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error))
    if (auto model = of_folder(entry->path(), entry->path().filename().string()))
      models.push_back(std::move(*model));
  return models;
}

LocalModel of_file(const fs::path& path, const std::string& named) {
  const fs::path folder = path.parent_path();
  GgufGroup group{{path.filename().string()}, 1, quant_of(path.string())};
  for (GgufGroup& other : groups_in_folder(folder.empty() ? "." : folder))
    if (other.complete() && other.shards > 1 && other.files.front() == group.files.front())
      group = std::move(other);
  LocalModel model = of_group(Source::kFile, folder, group);
  model.name = named;
  return model;
}

Error not_found(const std::string& named, const fs::path& folder) {
  std::error_code error;
  if (fs::status(named, error).type() == fs::file_type::none &&
      error == std::errc::permission_denied)
    return fail(Code::kPermissionDenied, fmt::format("{}: {}", named, error.message()), named);
  std::string message = fmt::format("no such model: {}\n  It is neither a file nor a name in {}",
                                    named, folder.string());
  const std::vector<LocalModel> models = models_in(folder);
  message += models.empty() ? ", which holds none." : ", which holds:";
  for (const LocalModel& model : models) message += "\n    " + model.name;
  return fail(Code::kNotFound, message, named);
}

/// A folder that is there, but is no model.
Error no_model_in(const fs::path& folder) {
  return fail(Code::kUnsupported,
              fmt::format("{} is a folder without a whole model: expected config.json and "
                          "model.safetensors, or all shards of its index; a GGUF file is named "
                          "itself",
                          folder.string()),
              folder.string());
}

// --- The cache of huggingface_hub ---

LocalModel of_snapshot(const Paths& paths, const Snapshot& snapshot, const HfName& name,
                       const std::vector<GgufGroup>& groups, const GgufGroup& group) {
  const fs::path folder = HfCache(paths.hf_cache).snapshot_folder(snapshot.repo, snapshot.commit);
  LocalModel model = of_group(Source::kHuggingFace, folder, group);
  model.revision = snapshot.commit;
  const auto same_quant = [&](const GgufGroup& other) { return other.quant == group.quant; };
  HfName full = name;
  full.selector = !group.quant.empty() && std::ranges::count_if(groups, same_quant) == 1
                      ? group.quant
                      : group.files.front();
  model.name = full.text();
  return model;
}

/// The snapshot of a repository without GGUF files.
std::optional<LocalModel> of_snapshot_folder(const Paths& paths, const Snapshot& snapshot,
                                             const HfName& name) {
  std::optional<LocalModel> model =
      model_of_folder(HfCache(paths.hf_cache).snapshot_folder(snapshot.repo, snapshot.commit));
  if (!model) return std::nullopt;
  model->source = Source::kHuggingFace;
  model->revision = snapshot.commit;
  model->name = name.text();
  model->id = snapshot.repo.substr(snapshot.repo.find('/') + 1);
  return model;
}

void add_hf_models(const Paths& paths, std::vector<LocalModel>& models) {
  std::set<fs::path> seen;  // several snapshots may hold the same blob
  for (const Snapshot& snapshot : HfCache(paths.hf_cache).snapshots()) {
    HfName name{snapshot.repo, "main", {}};
    if (std::ranges::find(snapshot.refs, "main") == snapshot.refs.end())
      name.revision = snapshot.refs.empty() ? snapshot.commit : snapshot.refs.front();
    const std::vector<GgufGroup> groups = group_gguf(snapshot.files);
    for (const GgufGroup& group : groups) {
      if (!group.complete()) continue;
      LocalModel model = of_snapshot(paths, snapshot, name, groups, group);
      if (seen.insert(real_path(model.path)).second) models.push_back(std::move(model));
    }
    if (!groups.empty()) continue;
    if (auto model = of_snapshot_folder(paths, snapshot, name)) models.push_back(std::move(*model));
  }
}

// --- Ollama's stores ---

Result<LocalModel> of_entry(const OllamaStore& store, const OllamaStore::Entry& entry) {
  const OllamaLayer* layer = entry.manifest.layer(kLayerModel);
  if (layer == nullptr)
    return fail(Code::kUnsupported,
                fmt::format("[hub] {} holds no GGUF weights", entry.name.short_text()));
  LocalModel model;
  model.source = Source::kOllama;
  model.name = entry.name.text();
  model.id = entry.name.short_text();
  model.path = store.blob_path(layer->hex);
  model.files = {model.path};
  model.bytes = entry.manifest.bytes();
  model.modified = to_system_time(entry.modified);
  model.digest = entry.hex;
  for (const OllamaLayer& other : entry.manifest.layers)
    if (other.media_type == kLayerLicense) model.licenses.push_back(store.blob_path(other.hex));
  if (!store.has_blob(layer->hex))
    return fail(Code::kNotFound,
                fmt::format("[hub] {} is not whole on this machine", entry.name.short_text()));
  const Result<std::string> config = store.read_blob(entry.manifest.config.hex, 1 << 20);
  if (config.ok()) {
    const auto object = parse_object(*config, "config");
    if (object.ok()) model.quant = string_in(*object, "file_type");
  }
  return model;
}

void add_ollama_models(const Paths& paths, std::vector<LocalModel>& models) {
  std::set<std::string> seen;
  for (const OllamaStore& store : stores_of(paths)) {
    for (const OllamaName& name : store.names()) {
      const Result<OllamaStore::Entry> entry = store.find(name);
      if (!entry.ok()) continue;
      Result<LocalModel> model = of_entry(store, *entry);
      if (model.ok() && seen.insert(model->name).second) models.push_back(std::move(*model));
    }
  }
}

Error not_here(Error error, const std::string& name) {
  error.message += fmt::format("; `pippin pull {}` fetches it", name);
  return error;
}

Result<LocalModel> resolve_target(const std::string& named, const Paths& paths) {
  if (is_model_name(named)) {
    ASSIGN_OR_RETURN(const ModelName name, parse_model_name(named));
    return resolve_name(name, paths);
  }
  if (is_regular(named) && fs::path(named).extension() == ".safetensors") {
    std::error_code error;
    const fs::path folder = fs::absolute(named, error).parent_path();
    if (error) return no_model_in(named);
    if (auto model = of_folder(folder, named)) return std::move(*model);
    return no_model_in(folder);
  }
  if (is_regular(named)) return of_file(named, named);
  std::error_code ignored;
  if (fs::is_directory(named, ignored)) {
    if (auto model = of_folder(named, named)) return std::move(*model);
    return no_model_in(named);
  }
  if (named.starts_with("http:") || named.starts_with("https:"))
    return fail(Code::kUnsupported,
                fmt::format("{}: models are not fetched by URL; name a repository, as in "
                            "hf:ORG/REPO:QUANT",
                            named),
                named);
  if (named.find('/') == std::string::npos) {
    if (auto model = of_folder(paths.models / named, named)) return std::move(*model);
    for (const std::string& name : {named, named + ".gguf"})
      if (is_regular(paths.models / name)) return of_file(paths.models / name, id_of_file(name));
  }
  return not_found(named, paths.models);
}

}  // namespace

void measure(LocalModel& model) {
  for (const fs::path& file : model.files) {
    model.bytes += bytes_of(file);
    std::error_code error;
    const auto time = fs::last_write_time(file, error);
    if (!error) model.modified = std::max(model.modified, to_system_time(time));
  }
}

Result<LocalModel> resolve_name(const ModelName& name, const Paths& paths) {
  if (const auto* hf = std::get_if<HfName>(&name)) {
    const Result<Snapshot> snapshot = HfCache(paths.hf_cache).find(*hf);
    if (!snapshot.ok()) return not_here(snapshot.error(), hf->text());
    const std::vector<GgufGroup> groups = group_gguf(snapshot->files);
    if (groups.empty() && hf->selector.empty())
      if (auto model = of_snapshot_folder(paths, *snapshot, *hf)) return std::move(*model);
    const Result<GgufGroup> group = choose_gguf(groups, hf->selector);
    if (group.ok()) return of_snapshot(paths, *snapshot, *hf, groups, *group);
    return not_here(fail(Code::kNotFound,
                         fmt::format("[hub] {} is not on this machine: of {}, {}", hf->text(),
                                     hf->repo, group.error().message),
                         hf->text()),
                    hf->text());
  }
  const auto& ollama = std::get<OllamaName>(name);
  for (const OllamaStore& store : stores_of(paths)) {
    const Result<OllamaStore::Entry> entry = store.find(ollama);
    if (entry.ok()) return of_entry(store, *entry);
    if (entry.error().code != Code::kNotFound) return entry.error();
  }
  return not_here(
      fail(Code::kNotFound, fmt::format("[hub] {} is not on this machine", ollama.text()),
           ollama.text()),
      ollama.text());
}

std::vector<LocalModel> list_models(const Paths& paths) {
  std::vector<LocalModel> models = models_in(paths.models);
  add_hf_models(paths, models);
  add_ollama_models(paths, models);
  const Result<Aliases> aliases = read_aliases(paths.aliases);
  if (aliases.ok()) {
    for (const auto& [alias, next] : *aliases) {
      const Result<std::string> target = end_of_alias(*aliases, next);
      if (!target.ok()) continue;
      const Result<LocalModel> meant = resolve_target(*target, paths);
      if (!meant.ok()) continue;
      for (LocalModel& model : models)
        if (real_path(model.path) == real_path(meant->path)) model.aliases.push_back(alias);
    }
  }
  std::ranges::stable_sort(models, {}, &LocalModel::name);
  return models;
}

Result<std::string> unalias(const std::string& named, const Paths& paths) {
  if (is_model_name(named) || named.find('/') != std::string::npos) return named;
  ASSIGN_OR_RETURN(const Aliases aliases, read_aliases(paths.aliases));
  return end_of_alias(aliases, named);
}

Result<LocalModel> resolve(const std::string& named, const Paths& paths) {
  ASSIGN_OR_RETURN(const std::string target, unalias(named, paths));
  ASSIGN_OR_RETURN(LocalModel model, resolve_target(target, paths));
  if (target != named) model.aliases.push_back(named);
  return model;
}

Result<void> add_alias(const std::string& name, const std::string& target, const Paths& paths) {
  if (const Result<LocalModel> hidden = resolve_target(name, paths); hidden.ok())
    return fail(Code::kInvalidArgument,
                fmt::format("[hub] '{}' is a model already, {}, which an alias would hide", name,
                            hidden->path.string()),
                "alias");
  return set_alias(paths.aliases, name, target);
}

Result<Removed> remove_model(const std::string& named, const Paths& paths) {
  Removed removed{named, false, 0};
  if (named.find('/') == std::string::npos && !is_model_name(named)) {
    ASSIGN_OR_RETURN(removed.was_alias, remove_alias(paths.aliases, named));
    if (removed.was_alias) return removed;
  }
  ASSIGN_OR_RETURN(const LocalModel model, resolve_target(named, paths));
  removed.name = model.name;
  if (model.source == Source::kFile) {
    if (model.path.parent_path() != paths.models)
      return fail(Code::kInvalidArgument,
                  fmt::format("{} is a file of your own; only models that are known by name are "
                              "removed",
                              named),
                  named);
    for (const fs::path& file : model.files) {
      std::error_code error;
      if (!fs::remove(file, error)) return file_error(error.value(), "remove", file);
    }
    std::error_code ignored;  // a folder goes with its last file
    if (model.path != model.files.front()) fs::remove(model.path, ignored);
    removed.freed_bytes = model.bytes;
    return removed;
  }
  ASSIGN_OR_RETURN(const ModelName name, parse_model_name(named));
  if (const auto* hf = std::get_if<HfName>(&name)) {
    const HfCache cache(paths.hf_cache);
    ASSIGN_OR_RETURN(const Snapshot snapshot, cache.find(*hf));
    const fs::path folder = cache.snapshot_folder(snapshot.repo, snapshot.commit);
    std::vector<std::string> files;
    for (const fs::path& file : model.files)
      files.push_back(file.lexically_relative(folder).generic_string());
    ASSIGN_OR_RETURN(removed.freed_bytes, cache.remove(snapshot, files));
    return removed;
  }
  const auto& ollama = std::get<OllamaName>(name);
  for (OllamaStore& store : stores_of(paths)) {
    if (!store.find(ollama).ok()) continue;
    ASSIGN_OR_RETURN(removed.freed_bytes, store.remove(ollama));
    break;
  }
  return removed;
}

}  // namespace pippin::hub
