#include "app/loading.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "app/progress.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "service/load.h"

namespace pippin::app {

const char* environment_variable(const char* name) { return std::getenv(name); }

Result<engine::RunnerOptions> runner_options(const Settings& settings) {
  engine::RunnerOptions options;
  ASSIGN_OR_RETURN(options.device, engine::device_named(settings.device));
  options.threads = settings.threads;
  options.exact_activations = settings.cpu_activations == "f32";
  return options;
}

namespace {

// What the user asks of answers goes before what the model's file advises.
void overlay_sampling(const Settings& settings, engine::SamplingParams& sampling) {
  const auto overlay = [](const auto& wish, auto& value) {
    if (wish) value = static_cast<std::remove_reference_t<decltype(value)>>(*wish);
  };
  overlay(settings.temperature, sampling.temperature);
  overlay(settings.top_p, sampling.top_p);
  overlay(settings.top_k, sampling.top_k);
  overlay(settings.min_p, sampling.min_p);
}

}  // namespace

Result<std::unique_ptr<service::Model>> load_for(const Settings& settings,
                                                 const hub::LocalModel& found, int rows_max) {
  service::LoadOptions options;
  options.path = found.path.string();
  options.id = settings.served_name.empty() ? found.id : settings.served_name;
  options.aliases = found.aliases;
  if (hub::is_model_name(found.name)) options.aliases.push_back(found.name);
  options.tool_parser = settings.tool_parser;
  options.reasoning_parser = settings.reasoning_parser;
  options.memory.memory_bytes_max = settings.memory_bytes;
  options.memory.kv_bytes = settings.kv_bytes;
  options.memory.contexts = settings.kv_contexts;
  options.memory.context_tokens = settings.context_tokens;
  options.memory.rows_max = rows_max;
  options.memory.step_tokens_max = settings.step_tokens_max;
  options.queue_max = settings.queue_max;
  options.output_tokens_max = settings.output_tokens_max;
  options.prefix_cache = settings.prefix_cache;
  ASSIGN_OR_RETURN(options.prompt_rules, service::PromptRules::of(settings.prompt_rules));
  options.step_target = std::chrono::milliseconds(settings.step_target_ms);
  options.slow_reader_max = std::chrono::seconds(settings.slow_reader_s);
  options.record_path = settings.record_path;
  options.deterministic = settings.deterministic;
  ASSIGN_OR_RETURN(engine::RunnerOptions runner, runner_options(settings));
  options.device = runner.device;

  const SystemClock clock;
  Progress progress("loading " + options.id, stderr, is_terminal(stderr), clock);
  runner.progress = [&progress](uint64_t done, uint64_t total) { progress.update(done, total); };
  auto model = service::load_model(options, service::device_runner(runner));
  if (!model.ok()) return model;
  progress.finish();
  overlay_sampling(settings, (*model)->default_sampling);
  return model;
}

}  // namespace pippin::app
