// Loading a model for a command, with progress on stderr.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/settings.h"
#include "engine/exec/runner.h"
#include "hub/catalogue.h"
#include "service/model.h"

namespace pippin::app {

/// Loads what find_model() has found. `rows_max`: answers at the same time. Errors: of
/// service::load_model().
Result<std::unique_ptr<service::Model>> load_for(const Settings& settings,
                                                 const hub::LocalModel& model, int rows_max);

/// What the settings say of the runner. Errors: kUnsupported, a device that is not here.
Result<engine::RunnerOptions> runner_options(const Settings& settings);

/// Returns the variable of this process's environment, or null.
const char* environment_variable(const char* name);

}  // namespace pippin::app
