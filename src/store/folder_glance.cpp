#include "store/folder_glance.h"

#include <boost/json/object.hpp>
#include <string_view>
#include <vector>

#include "base/json_read.h"
#include "store/hf_files.h"
#include "store/hf_folder.h"
#include "store/safetensors.h"

namespace pippin::store {
namespace {

namespace json = boost::json;

std::string quantisation_in(const json::object& config) {
  for (const char* key : {"quantization_config", "quantization"}) {
    const json::object* found = object_in(config, key);
    if (found == nullptr) continue;
    const std::string_view method = string_in(*found, "quant_method");
    const std::string_view mode = string_in(*found, "mode");
    return std::string(!method.empty() ? method : !mode.empty() ? mode : "affine");
  }
  return {};
}

void add_weights(const std::string& folder, FolderGlance& glance) {
  const Result<std::vector<std::string>> names = hf_weight_files(folder);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const Result<SafetensorsFile> file = SafetensorsFile::open(folder + "/" + name);
    if (!file.ok()) continue;
    for (const SafetensorsEntry& entry : file->entries()) {
      glance.weights_bytes += entry.bytes.size();
      uint64_t elements = 1;  // within the bytes, as the reader has checked
      for (const int64_t size : entry.shape) elements *= static_cast<uint64_t>(size);
      glance.parameters += elements;
    }
  }
  if (!glance.quantisation.empty()) glance.parameters = 0;
}

}  // namespace

FolderGlance glance_at_config(const std::string& folder) {
  FolderGlance glance;
  if (const Result<json::object> config = read_hf_json(folder, "config.json"); config.ok()) {
    glance.model_type = string_in(*config, "model_type");
    glance.quantisation = quantisation_in(*config);
    glance.sees = object_in(*config, "vision_config") != nullptr;
  }
  return glance;
}

FolderGlance glance_at(const std::string& folder) {
  FolderGlance glance = glance_at_config(folder);
  add_weights(folder, glance);
  return glance;
}

}  // namespace pippin::store
