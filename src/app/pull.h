// pippin pull, and finding a model for a command, which fetches it where it has to be.
#pragma once

#include <string>

#include "app/settings/settings.h"
#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/paths.h"
#include "store/model_config.h"

namespace pippin::app {

/// Fetches a model by name, with progress on stderr, and prints where it is.
Result<int> pull(const Settings& settings, const std::string& named);

/// Refuses a model that cannot be served, by name: hub::PullOptions::check. Errors: kUnsupported.
Result<void> check_servable(const store::ModelConfig& config);

/// Fetches hf:... or ollama:..., or what an alias of one means. `connections`, `any`: of the
/// settings. Errors: of hub::pull().
Result<hub::LocalModel> pull_model(const Settings& settings, const std::string& named,
                                   const hub::Paths& paths);

}  // namespace pippin::app
