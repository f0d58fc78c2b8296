#include "app/doctor_monitor.h"

#include <chrono>
#include <utility>

#include "app/doctor_prompts.h"

namespace pippin::app {

Result<std::unique_ptr<engine::DivergenceMonitor>> start_monitor(const Settings& settings,
                                                                 const service::Model& model) {
  if (settings.divergence_monitor_s <= 0) return std::unique_ptr<engine::DivergenceMonitor>();
  ASSIGN_OR_RETURN(std::vector<engine::Submission> prompts, monitor_prompts(*model.tokenizer));
  engine::MonitorOptions options;
  options.every = std::chrono::seconds(settings.divergence_monitor_s);
  options.serialise = settings.divergence_action == "serialise";
  return std::make_unique<engine::DivergenceMonitor>(*model.engine, options, std::move(prompts));
}

}  // namespace pippin::app
