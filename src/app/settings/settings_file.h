// read_settings_file: pippin.toml, settings by the names of their flags and a table for each model.
// Read once at start. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

struct SettingsFile {
  std::vector<FileValue> values;
  std::vector<ModelTable> models;
};

/// Errors: kNotFound; kInvalidArgument, naming the file, the line and the key, for what is no TOML,
/// for a key that means nothing here, and for a value of a wrong type.
Result<SettingsFile> read_settings_file(const std::string& path);

/// Returns the file that the settings name, or else the one in the configuration folder, if it is
/// there; empty: none.
std::string settings_file_path(const std::string& named, const Environment& environment);

/// Sets those values that belong to a command. Errors: of set_setting().
Result<void> apply_file_values(Settings& settings, Command command,
                               const std::vector<FileValue>& values);

}  // namespace pippin::app
