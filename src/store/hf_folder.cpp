#include "store/hf_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/json_read.h"
#include "store/hf_config.h"
#include "store/hf_files.h"
#include "store/hf_tensors.h"
#include "store/quoted.h"

namespace pippin::store {

namespace json = boost::json;

namespace {

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool is_file(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

/// Which file each tensor of an index is in.
Result<std::vector<std::pair<std::string, std::string>>> read_index(const std::string& folder) {
  ASSIGN_OR_RETURN(const json::object index, read_hf_json(folder, kIndex));
  const json::object* map = object_in(index, "weight_map");
  const std::string path = folder + "/" + kIndex;
  if (map == nullptr)
    return fail(Code::kInvalidFile, fmt::format("[model] {}: expected a weight_map", path), path);
  std::vector<std::pair<std::string, std::string>> places;
  for (const auto& [tensor, file] : *map) {
    const std::string name = file.is_string() ? std::string(file.get_string()) : std::string();
    // A name of this folder: nothing that leads out of it.
    if (!name.ends_with(".safetensors") || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos)
      return fail(Code::kInvalidFile,
                  fmt::format("[model] {}: {}: expected a .safetensors file of this folder, but "
                              "found {}",
                              path, quoted(tensor), quoted(name)),
                  path);
    places.emplace_back(tensor, name);
  }
  return places;
}

/// Every tensor that the index names is in its file.
Result<void> check_index(const std::string& folder, const std::vector<SafetensorsFile>& files) {
  if (files.size() == 1 && files.front().path() == folder + "/" + kWeights) return {};
  ASSIGN_OR_RETURN(const auto places, read_index(folder));
  std::set<std::pair<std::string, std::string>> there;
  for (const SafetensorsFile& file : files)
    for (const SafetensorsEntry& entry : file.entries()) there.emplace(entry.name, file.path());
  for (const auto& [tensor, file] : places) {
    if (!there.contains({tensor, folder + "/" + file}))
      return fail(Code::kInvalidFile,
                  fmt::format("[model] {}/{}: tensor {} is missing, which {} places there", folder,
                              file, quoted(tensor), kIndex),
                  tensor);
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> hf_weight_files(const std::string& folder) {
  if (is_file(folder + "/" + kWeights)) return std::vector<std::string>{kWeights};
  if (!is_file(folder + "/" + kIndex))
    return fail(Code::kNotFound,
                fmt::format("[model] {} holds no model: it has neither {} nor {}", folder, kWeights,
                            kIndex),
                folder);
  ASSIGN_OR_RETURN(const auto places, read_index(folder));
  std::set<std::string> files;
  for (const auto& place : places) files.insert(place.second);
  return std::vector<std::string>(files.begin(), files.end());
}

Result<HfFolder> HfFolder::open(const std::string& path) {
  HfFolder folder;
  folder.path_ = path;
  while (folder.path_.size() > 1 && folder.path_.ends_with('/')) folder.path_.pop_back();
  const std::string config_path = folder.path_ + "/config.json";
  ASSIGN_OR_RETURN(const std::string text, read_hf_text(folder.path_, "config.json"));
  ASSIGN_OR_RETURN(HfConfig config, read_hf_config(text, config_path));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, hf_weight_files(folder.path_));
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(folder.path_ + "/" + name));
    folder.files_.push_back(std::move(file));
  }
  RETURN_IF_ERROR(check_index(folder.path_, folder.files_));
  ASSIGN_OR_RETURN(folder.tensors_, hf_tensors(folder.files_, config, folder.path_));
  const auto name_at = [&](uint32_t i) { return std::string_view(folder.tensors_[i].name); };
  folder.names_ = NameIndex(folder.tensors_.size(), name_at);
  CHECK(folder.names_.duplicate(name_at) < 0, "two modules have one name");
  folder.config_ = std::move(config.model);
  folder.family_ = config.family;
  const size_t slash = folder.path_.rfind('/');
  folder.config_.name = folder.path_.substr(slash == std::string::npos ? 0 : slash + 1);
  return folder;
}

uint64_t HfFolder::file_bytes() const {
  uint64_t bytes = 0;
  for (const SafetensorsFile& file : files_) bytes += file.file_bytes();
  return bytes;
}

std::vector<std::string> HfFolder::source_files() const {
  std::vector<std::string> paths = {path_ + "/config.json"};
  for (const SafetensorsFile& file : files_) paths.push_back(file.path());
  return paths;
}

const TensorView* HfFolder::tensor(std::string_view name) const {
  const int64_t at =
      names_.find(name, [this](uint32_t i) { return std::string_view(tensors_[i].name); });
  return at < 0 ? nullptr : &tensors_[static_cast<size_t>(at)];
}

}  // namespace pippin::store
