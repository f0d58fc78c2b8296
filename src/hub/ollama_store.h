// OllamaStore: one folder in Ollama's own layout: manifests/HOST/SPACE/MODEL/TAG and
// blobs/sha256-HEX. Read in place, written so that Ollama sees it. Thread: any; files appear by
// renaming, so a reader never sees a half.
// Source: the layout of Ollama's ~/.ollama/models; manifests are Docker's image manifest, schema 2.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/name.h"

namespace pippin::hub {

// What a layer holds.
inline constexpr std::string_view kLayerModel = "application/vnd.ollama.image.model";
inline constexpr std::string_view kLayerTemplate = "application/vnd.ollama.image.template";
inline constexpr std::string_view kLayerSystem = "application/vnd.ollama.image.system";
inline constexpr std::string_view kLayerParams = "application/vnd.ollama.image.params";
inline constexpr std::string_view kLayerMessages = "application/vnd.ollama.image.messages";
inline constexpr std::string_view kLayerLicense = "application/vnd.ollama.image.license";
inline constexpr std::string_view kLayerProjector = "application/vnd.ollama.image.projector";
inline constexpr std::string_view kLayerAdapter = "application/vnd.ollama.image.adapter";

struct OllamaLayer {
  std::string media_type;
  std::string hex;  // of its sha256; 64 digits, checked
  uint64_t bytes = 0;
  std::string from;  // the model it was copied from; empty: none
};

struct OllamaManifest {
  OllamaLayer config;
  std::vector<OllamaLayer> layers;

  /// Returns the first layer of a media type, or null.
  const OllamaLayer* layer(std::string_view media_type) const;
  /// The bytes of all layers and the config.
  uint64_t bytes() const;
};

/// Reads a manifest's JSON. Errors: kInvalidFile, naming what is wrong; nothing in the result needs
/// checking again.
Result<OllamaManifest> parse_manifest(std::string_view json);
/// Returns the JSON of a manifest, as Ollama writes it.
std::string manifest_json(const OllamaManifest& manifest);

class OllamaStore {
 public:
  explicit OllamaStore(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path manifest_path(const OllamaName& name) const;
  std::filesystem::path blob_path(std::string_view hex) const;
  bool has_blob(std::string_view hex) const;

  /// Returns the names of all manifests here, sorted; what is no valid name is left out.
  std::vector<OllamaName> names() const;
  /// A manifest and the sha256 of its bytes, which Ollama calls the model's digest.
  struct Entry {
    OllamaName name;
    OllamaManifest manifest;
    std::string hex;
    std::filesystem::file_time_type modified;
  };
  /// Errors: kNotFound; kInvalidFile.
  Result<Entry> find(const OllamaName& name) const;
  /// Returns the bytes of a layer: a template, a system prompt, parameters (JSON). Errors:
  /// kNotFound; kTooLarge over `bytes_max`.
  Result<std::string> read_blob(std::string_view hex, size_t bytes_max = size_t{4} << 20) const;

  /// Writes a blob from memory and returns its digest's hexadecimal digits. Errors: kUnavailable
  /// when the disk refuses.
  Result<std::string> write_blob(std::string_view bytes);
  /// Copies a file in as a blob and returns its digest. Errors: as above, kNotFound.
  Result<std::string> import_blob(const std::filesystem::path& file);
  /// Puts a manifest in place, whole or not at all. Requires: its blobs are here.
  Result<void> write_manifest(const OllamaName& name, std::string_view json);
  /// Gives a model a second name. Errors: kNotFound.
  Result<void> copy(const OllamaName& from, const OllamaName& to);
  /// Removes a manifest and the blobs that no other manifest names. Returns the bytes freed.
  /// Errors: kNotFound; kPermissionDenied.
  Result<uint64_t> remove(const OllamaName& name);
  /// Removes those blobs of a manifest that no manifest here needs. Returns the bytes freed.
  uint64_t remove_unused(const OllamaManifest& manifest);

 private:
  std::filesystem::path root_;
};

}  // namespace pippin::hub
