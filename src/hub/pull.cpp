#include "hub/pull.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/size_text.h"
#include "hub/download.h"
#include "hub/files.h"
#include "hub/folder_model.h"
#include "hub/gguf_choice.h"
#include "hub/hf_cache.h"
#include "hub/hf_hub.h"
#include "hub/local.h"
#include "hub/ollama_store.h"
#include "hub/session.h"
#include "store/gguf.h"
#include "store/hf_config.h"

namespace pippin::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kHeadBytesFirst = 1 << 20, kHeadBytesMax = 128 << 20;
constexpr uint64_t kSpareBytes = 64 << 20;  // what is left free on the disk
constexpr size_t kManifestBytesMax = 4 << 20;
constexpr uint64_t kNeededMax = 1ULL << 60;

/// A file and where it goes.
struct Item {
  Remote remote;
  Destination destination;
};

/// Reads the head of a GGUF file, as far as its metadata and tensor table go, and shows it to
/// options.check.
Result<void> check_head(Session& session, const Remote& remote) {
  if (!session.options().check) return {};
  session.report(PullStage::kCheck, remote.item);
  for (uint64_t bytes = kHeadBytesFirst;; bytes *= 4) {
    ASSIGN_OR_RETURN(const std::string head, fetch_head(session, remote, bytes));
    ASSIGN_OR_RETURN(
        const std::optional<store::GgufFile> file,
        store::GgufFile::parse_head(std::as_bytes(std::span(head)), remote.bytes, remote.item));
    if (file) {
      ASSIGN_OR_RETURN(const store::ModelConfig config, store::read_model_config(*file));
      return session.options().check(config);
    }
    if (bytes >= kHeadBytesMax)
      return fail(Code::kInvalidFile,
                  fmt::format("[hub] {}: its metadata is longer than the limit", remote.item));
  }
}

/// Errors: kUnavailable, with what is needed and what is free.
Result<void> check_space(const std::vector<Item>& items, const fs::path& folder) {
  uint64_t needed = 0;
  for (const Item& item : items) {
    if (is_regular(item.destination.path)) continue;
    const uint64_t there = std::min(item.remote.bytes, bytes_of(item.destination.partial()));
    needed = std::min(kNeededMax, needed + item.remote.bytes - there);
  }
  const uint64_t free = free_bytes(folder);
  if (needed == 0 || needed + kSpareBytes <= free) return {};
  return fail(Code::kUnavailable,
              fmt::format("[hub] the disk is too full: {} are needed, {} are free in {}",
                          size_text(static_cast<double>(needed)),
                          size_text(static_cast<double>(free)), folder.string()));
}

Result<void> download_all(Session& session, const std::vector<Item>& items) {
  uint64_t total = 0;
  for (const Item& item : items) total = std::min(kNeededMax, total + item.remote.bytes);
  session.set_total(total);
  for (const Item& item : items) {
    RETURN_IF_ERROR(download(session, item.remote, item.destination));
    session.finish_item(item.remote.bytes);
  }
  return {};
}

// --- The Hugging Face hub ---

/// Shows a model's config.json to options.check, before its weights are fetched.
Result<void> check_config(Session& session, const Remote& remote, const std::string& repo) {
  if (!session.options().check) return {};
  session.report(PullStage::kCheck, remote.item);
  if (remote.bytes > kHeadBytesFirst)
    return fail(Code::kInvalidFile,
                fmt::format("[hub] {}: {} is longer than the limit", repo, remote.item));
  ASSIGN_OR_RETURN(const std::string text, fetch_head(session, remote, remote.bytes));
  ASSIGN_OR_RETURN(const store::HfConfig config,
                   store::read_hf_config(text, repo + "/" + remote.item));
  return session.options().check(config.model);
}

/// The files of the model that is meant. Errors: kNotFound; kUnsupported, where there is none that
/// is known.
Result<std::vector<std::string>> choose_files(const HfName& name, const Repo& repo) {
  std::vector<std::string> paths;
  for (const RepoFile& file : repo.files) paths.push_back(file.path);
  const std::vector<GgufGroup> groups = group_gguf(paths);
  if (!groups.empty()) {
    Result<GgufGroup> group = choose_gguf(groups, name.selector);
    if (group.ok()) return std::move(group->files);
    return fail(Code::kNotFound, fmt::format("[hub] {}: {}", name.repo, group.error().message),
                name.repo);
  }
  std::vector<std::string> files = folder_model_files(paths);
  if (!files.empty() && name.selector.empty()) return files;
  return fail(
      Code::kUnsupported,
      fmt::format("[hub] {} holds no {}; pippin serves GGUF files, and safetensors with a "
                  "config.json; look for a repository of them, such as {}-GGUF",
                  name.repo, files.empty() ? "model that is known" : "GGUF files", name.repo),
      name.repo);
}

Result<LocalModel> pull_hf(Session& session, const Paths& paths, const HfName& name) {
  session.set_home(paths.hf_endpoint);
  session.report(PullStage::kLookup, name.repo);
  ASSIGN_OR_RETURN(const Repo repo, ask_repo(session, paths, name));
  ASSIGN_OR_RETURN(const std::vector<std::string> files, choose_files(name, repo));
  const HfCache cache(paths.hf_cache);
  std::vector<Item> items;
  std::vector<std::string> etags;
  for (const std::string& path : files) {
    RepoFile file = *repo.find(path);
    RETURN_IF_ERROR(ask_file(session, paths, name, repo, file));
    items.push_back({remote_of(paths, name, repo, file), cache.blob(name.repo, file.etag)});
    etags.push_back(file.etag);
  }
  const bool is_gguf = files.front().ends_with(".gguf");
  RETURN_IF_ERROR(is_gguf ? check_head(session, items.front().remote)
                          : check_config(session, items.front().remote, name.repo));
  RETURN_IF_ERROR(check_space(items, cache.repo_folder(name.repo)));
  RETURN_IF_ERROR(download_all(session, items));
  session.report(PullStage::kFinish, name.repo);
  cache.tag();
  for (size_t i = 0; i < items.size(); ++i)
    RETURN_IF_ERROR(cache.link(name.repo, repo.commit, files[i], etags[i]));
  RETURN_IF_ERROR(cache.note_ref(name.repo, name.revision, repo.commit));
  HfName exact = name;
  if (is_gguf) exact.selector = files.front();
  return resolve_name(exact, paths);
}

// --- Ollama's registry ---

std::string registry_of(const Paths& paths, const OllamaName& name) {
  if (name.host == kOllamaHost && !paths.ollama_registry.empty()) return paths.ollama_registry;
  // A registry on this machine has no certificate.
  const std::string plain = "http://" + name.host;
  return is_loopback(plain) ? plain : "https://" + name.host;
}

Error registry_refusal(const OllamaName& name, const HttpResponse& answer) {
  if (answer.status == 404)
    return fail(Code::kNotFound, fmt::format("[hub] {} has no {}", name.host, name.short_text()),
                name.short_text());
  if (answer.status == 401 || answer.status == 403)
    return fail(
        answer.status == 401 ? Code::kUnauthenticated : Code::kPermissionDenied,
        fmt::format("[hub] {} does not give {} to everyone; fetch it with `ollama pull {}`, "
                    "then pippin finds it in Ollama's store",
                    name.host, name.short_text(), name.short_text()),
        name.short_text());
  return fail(answer.status == 429 ? Code::kOverloaded : Code::kUnavailable,
              fmt::format("[hub] {}: {}", name.host, status_text(answer)), name.short_text());
}

Item layer_item(const OllamaStore& store, const OllamaName& name, const std::string& base,
                const OllamaLayer& layer) {
  Item item;
  item.remote.item = "sha256:" + layer.hex;
  item.remote.url = fmt::format("{}/blobs/sha256:{}", base, layer.hex);
  item.remote.bytes = layer.bytes;
  item.remote.kind = HashKind::kSha256;
  item.remote.hex = layer.hex;
  item.remote.refusal = [name](const HttpResponse& answer) {
    return registry_refusal(name, answer);
  };
  item.destination = {store.blob_path(layer.hex),
                      store.root() / ".locks" / ("sha256-" + layer.hex + ".lock")};
  return item;
}

Result<LocalModel> pull_ollama(Session& session, const Paths& paths, const OllamaName& name) {
  const std::string registry = registry_of(paths, name);
  session.set_home(registry);
  session.report(PullStage::kLookup, name.short_text());
  const std::string base =
      fmt::format("{}/v2/{}/{}", registry, escape_path(name.space), escape_path(name.model));
  HttpRequest request;
  request.url = fmt::format("{}/manifests/{}", base, escape_path(name.tag));
  request.headers = {"Accept: application/vnd.docker.distribution.manifest.v2+json"};
  request.body_max = kManifestBytesMax;
  ASSIGN_OR_RETURN(const HttpResponse answer, ask(session, request));
  if (!answer.ok()) return registry_refusal(name, answer);
  ASSIGN_OR_RETURN(const OllamaManifest manifest, parse_manifest(answer.body));
  const OllamaLayer* weights = manifest.layer(kLayerModel);
  if (weights == nullptr)
    return fail(Code::kUnsupported,
                fmt::format("[hub] {} holds no GGUF weights; pippin serves nothing else so far",
                            name.short_text()),
                name.short_text());

  OllamaStore store(paths.ollama);
  std::vector<Item> items;
  const auto add = [&](const OllamaLayer& layer) {
    const bool known =
        std::ranges::any_of(items, [&](const Item& item) { return item.remote.hex == layer.hex; });
    if (!known) items.push_back(layer_item(store, name, base, layer));
  };
  for (const OllamaLayer& layer : manifest.layers) add(layer);
  add(manifest.config);
  if (!store.has_blob(weights->hex))
    RETURN_IF_ERROR(check_head(session, layer_item(store, name, base, *weights).remote));
  RETURN_IF_ERROR(check_space(items, store.root()));
  RETURN_IF_ERROR(download_all(session, items));
  session.report(PullStage::kFinish, name.short_text());
  const Result<OllamaStore::Entry> before = store.find(name);
  RETURN_IF_ERROR(store.write_manifest(name, answer.body));
  if (before.ok()) store.remove_unused(before->manifest);
  return resolve_name(name, paths);
}

}  // namespace

Result<LocalModel> pull(const ModelName& name, const Paths& paths, const PullOptions& options) {
  Session session(options);
  if (paths.offline)
    return fail(Code::kUnavailable, "[hub] HF_HUB_OFFLINE is set: nothing is fetched");
  if (const auto* hf = std::get_if<HfName>(&name)) return pull_hf(session, paths, *hf);
  return pull_ollama(session, paths, std::get<OllamaName>(name));
}

}  // namespace pippin::hub
