#include "app/settings/settings_file.h"

#include <unistd.h>

#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/environment.h"

namespace pippin::app {
namespace {

// Settings that a model may have of its own.
constexpr std::string_view kOfModels[] = {"context",
                                          "rope-scale",
                                          "kv-memory",
                                          "kv-contexts",
                                          "max-num-seqs",
                                          "max-queue",
                                          "max-num-batched-tokens",
                                          "step-target",
                                          "slow-reader",
                                          "tool-parser",
                                          "reasoning-parser",
                                          "prefix-cache",
                                          "prompt-rules",
                                          "temperature",
                                          "top-p",
                                          "top-k",
                                          "min-p",
                                          "kv-type",
                                          "max-output-tokens"};

// As the flag is called: TOML's own names have underscores as a rule.
std::string flag_key(std::string_view key) {
  std::string name(key);
  std::ranges::replace(name, '_', '-');
  return name;
}

bool is_called(const Setting& setting, std::string_view key) {
  return std::ranges::any_of(setting.flags(), [key](std::string_view flag) {
    return flag.starts_with("--") && flag.substr(2) == key;
  });
}

bool is_setting(std::string_view key) {
  return std::ranges::any_of(settings_table(),
                             [key](const Setting& setting) { return is_called(setting, key); });
}

bool is_of_models(std::string_view key) {
  return std::ranges::any_of(settings_table(), [key](const Setting& setting) {
    return setting.is_for(Command::kServe) && is_called(setting, key) &&
           std::ranges::count(kOfModels, setting.flag.substr(2)) != 0;
  });
}

/// A place in the file, for messages.
class Place {
 public:
  Place(std::string file, std::string key, const toml::node& node)
      : text_(fmt::format("{}:{}: {}", file, node.source().begin.line, key)) {}

  Error wrong(std::string_view what) const {
    return fail(Code::kInvalidArgument, fmt::format("{}: {}", text_, what), "--config");
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// A value as one would type it behind a flag; nothing if it is a date or a table.
std::optional<std::string> text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return fmt::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return std::string(flag->get() ? "on" : "off");
  const toml::array* list = node.as_array();
  if (list == nullptr) return std::nullopt;
  std::string joined;
  for (const toml::node& entry : *list) {
    const std::optional<std::string> text = entry.is_array() ? std::nullopt : text_of(entry);
    if (!text) return std::nullopt;
    joined += (joined.empty() ? "" : ",") + *text;
  }
  return joined;
}

Result<FileValue> read_value(const Place& place, const std::string& key, const toml::node& node) {
  std::optional<std::string> text = text_of(node);
  if (!text) return place.wrong("expected a text, a number, true, false or a list of them");
  return FileValue{key, *std::move(text), place.text()};
}

// Reads what is no setting of a model but about it. Returns false for another key.
Result<bool> read_about(const Place& place, std::string_view key, const toml::node& node,
                        ModelTable& model) {
  const auto text = [&](std::string& to) -> Result<bool> {
    if (!node.is_string()) return place.wrong("expected a text");
    to = node.as_string()->get();
    return true;
  };
  if (key == "model" || key == "path") return text(model.model);
  if (key == "keep-alive") {
    const std::optional<std::string> value = text_of(node);
    if (!value || node.is_array()) return place.wrong("expected a time, as in 5m");
    model.keep_alive = *value;
    return true;
  }
  if (key == "pin") {
    if (!node.is_boolean()) return place.wrong("expected true or false");
    model.pinned = node.as_boolean()->get();
    return true;
  }
  if (key != "aliases") return false;
  const toml::array* list = node.as_array();
  if (list == nullptr) return place.wrong("expected a list of names");
  for (const toml::node& entry : *list) {
    if (!entry.is_string()) return place.wrong("expected a list of names");
    model.aliases.push_back(entry.as_string()->get());
  }
  return true;
}

Result<ModelTable> read_model(const std::string& file, const std::string& name,
                              const toml::node& node) {
  const Place whole(file, "models." + name, node);
  const toml::table* table = node.as_table();
  if (table == nullptr) return whole.wrong("expected a table of settings");
  ModelTable model;
  model.name = name;
  model.origin = whole.text();
  model.line = static_cast<int>(node.source().begin.line);
  for (const auto& [toml_key, value] : *table) {
    const std::string key = flag_key(toml_key.str());
    const Place place(file, fmt::format("models.{}.{}", name, toml_key.str()), value);
    ASSIGN_OR_RETURN(const bool about, read_about(place, key, value, model));
    if (about) continue;
    if (!is_of_models(key)) {
      return place.wrong(
          fmt::format("is no setting of a model; there are model, aliases, pin, "
                      "keep-alive, {}",
                      fmt::join(kOfModels, ", ")));
    }
    ASSIGN_OR_RETURN(FileValue read, read_value(place, key, value));
    model.values.push_back(std::move(read));
  }
  return model;
}

}  // namespace

Result<SettingsFile> read_settings_file(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string();
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(path, error);
  if (is_file && access(path.c_str(), R_OK) != 0) error = {errno, std::generic_category()};
  if (!is_file || error)
    return fail(Code::kNotFound,
                fmt::format("--config: {} cannot be read: {}", path,
                            error ? error.message() : "it is no file"),
                "--config");
  const toml::parse_result parsed = toml::parse_file(path);
  if (!parsed) {
    const toml::parse_error& wrong = parsed.error();
    return fail(Code::kInvalidArgument,
                fmt::format("{}:{}: {}", name, wrong.source().begin.line, wrong.description()),
                "--config");
  }
  SettingsFile file;
  for (const auto& [toml_key, node] : parsed.table()) {
    const std::string key = flag_key(toml_key.str());
    const Place place(name, std::string(toml_key.str()), node);
    if (key == "models") {
      if (!node.is_table()) return place.wrong("expected tables: [models.\"NAME\"]");
      for (const auto& [model_name, table] : *node.as_table()) {
        ASSIGN_OR_RETURN(ModelTable model, read_model(name, std::string(model_name.str()), table));
        file.models.push_back(std::move(model));
      }
      continue;
    }
    if (key == "config") return place.wrong("a settings file names no other");
    if (!is_setting(key)) return place.wrong("is no setting; docs/settings.md lists them");
    ASSIGN_OR_RETURN(FileValue value, read_value(place, key, node));
    file.values.push_back(std::move(value));
  }
  // toml++ keeps tables by their names; the first one in the file is the default model.
  std::ranges::stable_sort(file.models, {}, [](const ModelTable& model) { return model.line; });
  return file;
}

std::string settings_file_path(const std::string& named, const Environment& environment) {
  if (named == "off") return {};
  if (!named.empty()) return named;
  const std::filesystem::path path =
      folder_of_home(environment, "XDG_CONFIG_HOME", ".config") / "pippin" / "pippin.toml";
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? path.string() : std::string();
}

Result<void> apply_file_values(Settings& settings, Command command,
                               const std::vector<FileValue>& values) {
  for (const Setting& setting : settings_table()) {
    if (!setting.is_for(command)) continue;
    const FileValue* first = nullptr;
    for (const FileValue& value : values) {
      if (!is_called(setting, value.key)) continue;
      if (first != nullptr)
        return fail(Code::kInvalidArgument,
                    fmt::format("{}: is the same setting as {}, which is there, too", value.origin,
                                first->key),
                    "--config");
      first = &value;
      const Result<void> set = set_setting(settings, setting, value.text, value.origin);
      if (!set.ok()) return fail(set.error().code, set.error().message, "--config");
    }
  }
  return {};
}

}  // namespace pippin::app
