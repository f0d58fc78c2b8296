// Where models are looked for: a path, a name in the models folder, or the default one.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "base/settings.h"

namespace pippin::app {

/// Returns ${XDG_DATA_HOME:-~/.local/share}/pippin/models.
std::filesystem::path models_folder(const Environment& environment);

/// Returns the file that `named` means: a path to a file, or the name of a file in the models
/// folder, with or without ".gguf". Empty: the default model, settings.default_model or
/// SmolLM2-135M-Instruct in the models folder. Errors: kNotFound, saying what there is or how to
/// get it; kUnsupported for kinds of names that are not read yet.
Result<std::string> find_model(const std::string& named, const Settings& settings,
                               const Environment& environment);

}  // namespace pippin::app
