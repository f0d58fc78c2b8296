#include "api/ollama/derived_models.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>

#include "api/ollama/names.h"
#include "base/files.h"
#include "base/log.h"
#include "base/size_text.h"
#include "service/json.h"

namespace pippin::api::ollama {
namespace {

namespace fs = std::filesystem;

constexpr size_t kModelsMax = 1000;
constexpr uintmax_t kFileBytesMax = 4 << 20;

struct Usage {
  size_t models = 0;
  uint64_t bytes = 0;
};

// Of any content: a file that cannot be read takes its place, too, and so does what a write that
// was cut off has left.
Usage usage_of(const std::string& folder) {
  Usage usage;
  for (const std::string& name : names_in(folder)) {
    const fs::path path = fs::path(folder) / name;
    usage.models += path.extension() == ".json" ? 1 : 0;
    usage.bytes += bytes_of(path);
  }
  return usage;
}

std::string json_of(const DerivedModel& model) {
  std::string out;
  service::JsonWriter json(out);
  json.begin_object().field("name", model.name).field("from", model.from);
  json.field("system", model.system).field("template", model.template_text);
  json.field("license", model.license);
  json.key("parameters").value(model.parameters);
  json.key("messages").value(model.messages);
  json.field("modified_unix_s", model.modified_unix_s).end_object();
  return out;
}

std::string text_at(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = object.if_contains(key);
  const boost::json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

// Anybody may have written the file: what is not as we write it makes it no model.
std::optional<DerivedModel> model_of(const std::string& text) {
  const Result<boost::json::value> parsed = service::parse_json(text);
  if (!parsed.ok() || !parsed->is_object()) return std::nullopt;
  const boost::json::object& object = parsed->get_object();
  DerivedModel model;
  model.name = text_at(object, "name");
  model.from = text_at(object, "from");
  model.system = text_at(object, "system");
  model.template_text = text_at(object, "template");
  model.license = text_at(object, "license");
  const auto* parameters = object.if_contains("parameters");
  const auto* messages = object.if_contains("messages");
  const auto* modified = object.if_contains("modified_unix_s");
  if (parameters != nullptr && parameters->is_object()) model.parameters = parameters->get_object();
  if (messages != nullptr && messages->is_array()) model.messages = messages->get_array();
  if (modified != nullptr && modified->is_int64()) model.modified_unix_s = modified->get_int64();
  if (!is_model_name(model.name) || model.from.empty()) return std::nullopt;
  return model;
}

std::optional<DerivedModel> read(const fs::path& path) {
  std::error_code ec;
  const uintmax_t bytes = fs::file_size(path, ec);
  if (ec || bytes > kFileBytesMax) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return model_of(text);
}

}  // namespace

// '/' and ':' are no characters of file names everywhere; '%' is none of model names.
std::string DerivedModels::path_of(std::string_view name) const {
  std::string file;
  for (const char c : full_name(name)) {
    if (c == '/' || c == ':') {
      file += c == '/' ? "%2F" : "%3A";
    } else {
      file += c;
    }
  }
  return folder_ + "/" + file + ".json";
}

DerivedIndex::File DerivedIndex::look_at(const std::string& path, const Folder& before) {
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return {};
  File file{.inode = status.st_ino, .bytes = static_cast<uint64_t>(status.st_size)};
  std::error_code ec;
  file.changed = fs::last_write_time(path, ec).time_since_epoch().count();
  if (const auto known = before.find(path); known != before.end()) {
    const File& old = known->second;
    if (!ec && old.inode == file.inode && old.bytes == file.bytes && old.changed == file.changed)
      return old;
  }
  if (std::optional<DerivedModel> model = read(path))
    file.head = std::move(static_cast<DerivedHead&>(*model));
  else
    log::warn("[ollama] {} is no model that was made here", path);
  return file;
}

std::vector<DerivedHead> DerivedIndex::list(const std::string& folder) {
  std::shared_ptr<const Folder> before;
  {
    const std::lock_guard lock(mutex_);
    before = folders_[folder];
  }
  if (before == nullptr) before = std::make_shared<const Folder>();
  auto now = std::make_shared<Folder>();
  std::vector<DerivedHead> heads;
  std::error_code ec;
  for (fs::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec)) {
    if (entry->path().extension() != ".json" || now->size() == kModelsMax) continue;
    const std::string path = entry->path().string();
    const File& file = now->emplace(path, look_at(path, *before)).first->second;
    if (file.head) heads.push_back(*file.head);
  }
  {
    const std::lock_guard lock(mutex_);
    folders_[folder] = std::move(now);
  }
  std::ranges::sort(heads, {}, &DerivedHead::name);
  return heads;
}

std::vector<DerivedHead> DerivedModels::list() const {
  return folder_.empty() ? std::vector<DerivedHead>() : index_->list(folder_);
}

std::optional<DerivedModel> DerivedModels::find(std::string_view name) const {
  if (folder_.empty() || !is_model_name(name)) return std::nullopt;
  return read(path_of(name));
}

Result<void> DerivedModels::keep(const DerivedModel& model) const {
  if (!is_model_name(model.name)) {
    return fail(Code::kInvalidArgument, fmt::format("'{}' is no name of a model", model.name),
                "model");
  }
  if (folder_.empty())
    return fail(Code::kUnavailable, "this server has no folder to keep models in");
  const std::string text = json_of(model);
  if (text.size() > kFileBytesMax)
    return fail(
        Code::kTooLarge,
        fmt::format("the model is {} bytes of system prompt, template, messages and license, "
                    "of {} at most",
                    text.size(), kFileBytesMax),
        "system");
  const fs::path path = path_of(model.name);
  // What is counted must not change before the file is there.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const Usage usage = usage_of(folder_);
  if (!is_regular(path) && usage.models >= kModelsMax)
    return fail(Code::kTooLarge, fmt::format("there are {} models already", kModelsMax));
  if (usage.bytes + text.size() > bytes_max_ + bytes_of(path))
    return fail(
        Code::kTooLarge,
        fmt::format("the model takes {}, and all that are made here {} at most, of which {} are "
                    "taken; delete one first",
                    size_text(static_cast<double>(text.size())),
                    size_text(static_cast<double>(bytes_max_)),
                    size_text(static_cast<double>(usage.bytes))));
  return write_file(path, text);
}

Result<bool> DerivedModels::remove(std::string_view name) const {
  if (folder_.empty() || !is_model_name(name)) return false;
  std::error_code ec;
  const bool removed = fs::remove(path_of(name), ec);
  if (ec) return fail(Code::kUnavailable, fmt::format("{}: {}", name, ec.message()));
  return removed;
}

}  // namespace pippin::api::ollama
