#include "hub/ollama_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <set>

#include "base/json_read.h"
#include "hub/files.h"
#include "hub/hasher.h"

namespace pippin::hub {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr size_t kManifestBytesMax = 4 << 20;
constexpr size_t kLayersMax = 4096;
constexpr uint64_t kBlobBytesMax = 1ULL << 50;
constexpr const char* kManifestType = "application/vnd.docker.distribution.manifest.v2+json";

Error broken(const std::string& what) {
  return fail(Code::kInvalidFile, "[hub] manifest: " + what);
}

Result<OllamaLayer> read_layer(const json::object& object) {
  OllamaLayer layer;
  layer.media_type = string_in(object, "mediaType");
  layer.from = string_in(object, "from");
  const std::string_view digest = string_in(object, "digest");
  if (!digest.starts_with("sha256:") || !is_hex(digest.substr(7), 64))
    return broken("expected a digest of 'sha256:' and 64 digits");
  layer.hex = digest.substr(7);
  const std::optional<uint64_t> bytes = size_in(object, "size");
  if (!bytes || *bytes > kBlobBytesMax) return broken("expected the size of each layer");
  layer.bytes = *bytes;
  return layer;
}

json::object layer_json(const OllamaLayer& layer) {
  json::object object{{"mediaType", layer.media_type},
                      {"digest", "sha256:" + layer.hex},
                      {"size", static_cast<int64_t>(layer.bytes)}};
  if (!layer.from.empty()) object["from"] = layer.from;
  return object;
}

/// The hex digits of all blobs that a manifest needs.
void add_blobs(const OllamaManifest& manifest, std::set<std::string>& blobs) {
  blobs.insert(manifest.config.hex);
  for (const OllamaLayer& layer : manifest.layers) blobs.insert(layer.hex);
}

Error no_model(const OllamaName& name, const fs::path& root) {
  return fail(Code::kNotFound,
              fmt::format("[hub] Ollama's store in {} has no {}", root.string(), name.short_text()),
              name.short_text());
}

}  // namespace

const OllamaLayer* OllamaManifest::layer(std::string_view media_type) const {
  const auto place = std::ranges::find(layers, media_type, &OllamaLayer::media_type);
  return place == layers.end() ? nullptr : &*place;
}

uint64_t OllamaManifest::bytes() const {
  uint64_t bytes = config.bytes;
  for (const OllamaLayer& layer : layers) bytes += layer.bytes;
  return bytes;
}

Result<OllamaManifest> parse_manifest(std::string_view text) {
  ASSIGN_OR_RETURN(const json::object object, parse_object(text, "[hub] manifest"));
  const json::object* config = object_in(object, "config");
  const json::array* layers = array_in(object, "layers");
  if (config == nullptr || layers == nullptr) return broken("expected 'config' and 'layers'");
  if (layers->size() > kLayersMax) return broken("it has too many layers");
  OllamaManifest manifest;
  ASSIGN_OR_RETURN(manifest.config, read_layer(*config));
  for (const json::value& value : *layers) {
    if (!value.is_object()) return broken("expected each layer to be an object");
    ASSIGN_OR_RETURN(OllamaLayer layer, read_layer(value.get_object()));
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

std::string manifest_json(const OllamaManifest& manifest) {
  json::array layers;
  for (const OllamaLayer& layer : manifest.layers) layers.push_back(layer_json(layer));
  return json::serialize(json::object{{"schemaVersion", 2},
                                      {"mediaType", kManifestType},
                                      {"config", layer_json(manifest.config)},
                                      {"layers", std::move(layers)}});
}

fs::path OllamaStore::manifest_path(const OllamaName& name) const {
  return root_ / "manifests" / name.host / name.space / name.model / name.tag;
}

fs::path OllamaStore::blob_path(std::string_view hex) const {
  return root_ / "blobs" / ("sha256-" + std::string(hex));
}

bool OllamaStore::has_blob(std::string_view hex) const { return is_regular(blob_path(hex)); }

std::vector<OllamaName> OllamaStore::names() const {
  constexpr int kDepth = 3;  // HOST/SPACE/MODEL/TAG
  std::vector<OllamaName> names;
  const fs::path folder = root_ / "manifests";
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied,
                                         error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    if (entry.depth() >= kDepth) entry.disable_recursion_pending();
    if (entry.depth() != kDepth || !is_regular(entry->path())) continue;
    const fs::path relative = entry->path().lexically_relative(folder);
    const std::string text = relative.parent_path().string() + ":" + relative.filename().string();
    const Result<OllamaName> name = parse_ollama_name(text);
    if (name.ok() && manifest_path(*name) == entry->path()) names.push_back(*name);
  }
  std::ranges::sort(names, {}, &OllamaName::short_text);
  return names;
}

Result<OllamaStore::Entry> OllamaStore::find(const OllamaName& name) const {
  const fs::path path = manifest_path(name);
  const Result<std::string> text = read_file(path, kManifestBytesMax);
  if (!text.ok())
    return text.error().code == Code::kNotFound ? no_model(name, root_) : text.error();
  Entry entry;
  entry.name = name;
  ASSIGN_OR_RETURN(entry.manifest, parse_manifest(*text));
  entry.hex = sha256_hex(*text);
  std::error_code ignored;
  entry.modified = fs::last_write_time(path, ignored);
  return entry;
}

Result<std::string> OllamaStore::read_blob(std::string_view hex, size_t bytes_max) const {
  return read_file(blob_path(hex), bytes_max);
}

Result<std::string> OllamaStore::write_blob(std::string_view bytes) {
  std::string hex = sha256_hex(bytes);
  if (!has_blob(hex)) RETURN_IF_ERROR(write_file(blob_path(hex), bytes));
  return hex;
}

Result<std::string> OllamaStore::import_blob(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in || !is_regular(file))
    return fail(Code::kNotFound, fmt::format("[hub] no such file: {}", file.string()));
  Hasher hasher(HashKind::kSha256, 0);
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0)
    hasher.update(buffer.data(), static_cast<size_t>(in.gcount()));
  if (in.bad()) return fail(Code::kUnavailable, fmt::format("[hub] cannot read {}", file.string()));
  std::string hex = hasher.finish();
  if (has_blob(hex)) return hex;
  const fs::path path = blob_path(hex), beside = name_beside(path);
  RETURN_IF_ERROR(make_folders(path.parent_path()));
  // A link to a file that changes later would make the blob a lie; a copy stays what it is.
  std::error_code error;
  fs::copy_file(file, beside, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(beside, path, error);
  if (!error) return hex;
  std::error_code ignored;
  fs::remove(beside, ignored);
  return file_error(error.value(), "write", path);
}

Result<void> OllamaStore::write_manifest(const OllamaName& name, std::string_view text) {
  return write_file(manifest_path(name), text);
}

Result<void> OllamaStore::copy(const OllamaName& from, const OllamaName& to) {
  const Result<std::string> text = read_file(manifest_path(from), kManifestBytesMax);
  if (!text.ok())
    return text.error().code == Code::kNotFound ? no_model(from, root_) : text.error();
  return write_manifest(to, *text);
}

Result<uint64_t> OllamaStore::remove(const OllamaName& name) {
  ASSIGN_OR_RETURN(const Entry entry, find(name));
  std::error_code error;
  const fs::path path = manifest_path(name);
  if (!fs::remove(path, error) && error) return file_error(error.value(), "remove", path);
  // The folders of the name, where they are empty now.
  fs::path folder = path.parent_path();
  for (int level = 0; level < 3 && fs::remove(folder, error); ++level)
    folder = folder.parent_path();
  return remove_unused(entry.manifest);
}

uint64_t OllamaStore::remove_unused(const OllamaManifest& manifest) {
  std::set<std::string> going, staying;
  add_blobs(manifest, going);
  for (const OllamaName& other : names()) {
    const Result<Entry> kept = find(other);
    // Who cannot be read may need any of them.
    if (!kept.ok() && kept.error().code != Code::kNotFound) staying = going;
    if (kept.ok()) add_blobs(kept->manifest, staying);
  }
  std::error_code error;
  uint64_t freed = 0;
  for (const std::string& hex : going) {
    if (staying.contains(hex)) continue;
    const uint64_t bytes = bytes_of(blob_path(hex));
    if (fs::remove(blob_path(hex), error)) freed += bytes;
  }
  return freed;
}

}  // namespace pippin::hub
