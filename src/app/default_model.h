// Where a command's model comes from: its name, or the default one.
#pragma once

#include <string>

#include "app/settings/settings.h"
#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/paths.h"

namespace pippin::app {

using hub::models_folder;

/// Returns where models lie and come from, by the settings and the environment. Errors: of
/// hub::find_paths().
Result<hub::Paths> model_paths(const Settings& settings, const Environment& environment);

/// Returns the model that `named` means, as hub::resolve() has it. Empty: the default model,
/// settings.default_model or SmolLM2-135M-Instruct in the models folder. A model of hf:... or
/// ollama:... that is not here yet is fetched, with progress on stderr. Errors: kNotFound, saying
/// what there is or how to get it; of pull_model().
Result<hub::LocalModel> find_model(const std::string& named, const Settings& settings,
                                   const Environment& environment);

}  // namespace pippin::app
