// Where a command's model comes from: its name, or the default one.
#pragma once

#include <string>

#include "base/result.h"
#include "base/settings.h"
#include "hub/catalogue.h"
#include "hub/paths.h"

namespace pippin::app {

using hub::models_folder;

/// Returns the model that `named` means, as hub::resolve() has it. Empty: the default model,
/// settings.default_model or SmolLM2-135M-Instruct in the models folder. A model of hf:... or
/// ollama:... that is not here yet is fetched, with progress on stderr. Errors: kNotFound, saying
/// what there is or how to get it; of pull_model().
Result<hub::LocalModel> find_model(const std::string& named, const Settings& settings,
                                   const Environment& environment);

}  // namespace pippin::app
