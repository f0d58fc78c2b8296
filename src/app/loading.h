// Loading a model for a command, with progress on stderr.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/settings.h"
#include "engine/exec/runner.h"
#include "service/model.h"

namespace pippin::app {

/// Finds and loads what the user named; see find_model(). `rows_max`: answers at the same time.
/// Errors: of find_model() and service::load_model().
Result<std::unique_ptr<service::Model>> load_for(const Settings& settings, const std::string& path,
                                                 int rows_max);

/// What the settings say of the runner. Errors: kUnsupported, a device that is not here.
Result<engine::RunnerOptions> runner_options(const Settings& settings);

/// Returns the variable of this process's environment, or null.
const char* environment_variable(const char* name);

}  // namespace pippin::app
