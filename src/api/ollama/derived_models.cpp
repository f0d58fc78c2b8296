#include "api/ollama/derived_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>

#include "api/ollama/names.h"
#include "base/files.h"
#include "base/log.h"
#include "service/json.h"

namespace pippin::api::ollama {
namespace {

namespace fs = std::filesystem;

constexpr size_t kModelsMax = 1000;
constexpr uintmax_t kFileBytesMax = 4 << 20;

// Of any content: a file that cannot be read takes its place, too.
size_t count_files(const std::string& folder) {
  size_t count = 0;
  std::error_code ec;
  for (fs::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec))
    count += entry->path().extension() == ".json" ? 1 : 0;
  return count;
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

std::vector<DerivedModel> DerivedModels::list() const {
  std::vector<DerivedModel> models;
  if (folder_.empty()) return models;
  std::error_code ec;
  for (fs::directory_iterator entry(folder_, ec), end; !ec && entry != end; entry.increment(ec)) {
    if (entry->path().extension() != ".json" || models.size() == kModelsMax) continue;
    if (std::optional<DerivedModel> model = read(entry->path()))
      models.push_back(std::move(*model));
    else
      log::warn("[ollama] {} is no model that was made here", entry->path().string());
  }
  std::ranges::sort(models, {}, &DerivedModel::name);
  return models;
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
  std::error_code ec;
  const fs::path path = path_of(model.name);
  // What is counted must not change before the file is there.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (!fs::exists(path, ec) && count_files(folder_) >= kModelsMax)
    return fail(Code::kTooLarge, fmt::format("there are {} models already", kModelsMax));
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
