// The divergence monitor of a served model, as the settings ask for it. Thread: main.
#pragma once

#include <memory>

#include "app/settings/settings.h"
#include "base/result.h"
#include "engine/divergence_monitor.h"
#include "service/model.h"

namespace pippin::app {

/// Starts watching the model, which outlives the monitor. Returns: null if the settings do not ask
/// for it. Errors: of the tokenizer.
Result<std::unique_ptr<engine::DivergenceMonitor>> start_monitor(const Settings& settings,
                                                                 const service::Model& model);

}  // namespace pippin::app
