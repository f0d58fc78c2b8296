// Loading a model for a command, with progress on stderr.
#pragma once

#include <memory>
#include <string>

#include "app/settings/settings.h"
#include "base/result.h"
#include "engine/batch_invariance_monitor.h"
#include "engine/exec/runner.h"
#include "hub/catalogue.h"
#include "service/models/model.h"
#include "service/models/model_loader.h"

namespace pippin::app {

/// Loads what find_model() has found. `rows_max`: answers at the same time. Errors: of
/// service::load_model().
Result<std::unique_ptr<service::Model>> load_for(const Settings& settings,
                                                 const hub::LocalModel& model, int rows_max);

/// What the settings say of loading a model, called by its own name and aliases. Errors:
/// kInvalidArgument, a rule of prompts that there is not; of runner_options().
Result<service::LoadOptions> load_options(const Settings& settings, const hub::LocalModel& model,
                                          int rows_max);

/// Loads the server's models from their files, with progress on stderr and a batch-invariance
/// monitor where the settings ask for one. Thread: see ModelLoader.
class FileLoader final : public service::ModelLoader {
 public:
  explicit FileLoader(const Settings& settings) : settings_(settings) {}

  Result<service::ModelInfo> describe(const service::ModelSpec& spec) override {
    return service::describe_model(spec.load);
  }
  Result<service::MemorySizing> size(const service::ModelSpec& spec) override {
    return service::size_model(spec.load);
  }
  Result<std::unique_ptr<service::Model>> load(const service::ModelSpec& spec, uint64_t bytes_max,
                                               const Progress& progress) override;

 private:
  const Settings& settings_;
};

/// Starts watching the model, which outlives the monitor. Returns: null if the settings do not ask
/// for it. Errors: of the tokenizer.
Result<std::unique_ptr<engine::BatchInvarianceMonitor>> start_monitor(const Settings& settings,
                                                                      const service::Model& model);

/// What the settings say of the runner. Errors: kUnsupported, a device that is not here.
Result<engine::RunnerOptions> runner_options(const Settings& settings);

}  // namespace pippin::app
