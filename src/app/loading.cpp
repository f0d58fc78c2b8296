#include "app/loading.h"

#include <chrono>
#include <cstdio>

#include "app/doctor_prompts.h"
#include "app/progress.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "service/models/load.h"

namespace pippin::app {
namespace {

engine::KvType kv_type_of(const Settings& settings) {
  return settings.kv_type == "int8" ? engine::KvType::kInt8 : engine::KvType::kF16;
}

}  // namespace

Result<engine::RunnerOptions> runner_options(const Settings& settings) {
  engine::RunnerOptions options;
  ASSIGN_OR_RETURN(options.device, engine::device_named(settings.device));
  options.threads = settings.threads;
  options.exact_activations = settings.cpu_activations == "f32";
  options.kv_type = kv_type_of(settings);
  return options;
}

Result<service::LoadOptions> load_options(const Settings& settings, const hub::LocalModel& found,
                                          int rows_max) {
  service::LoadOptions options;
  options.path = found.path.string();
  options.id = found.id;
  options.aliases = found.aliases;
  for (const std::filesystem::path& file : found.licenses)
    options.license_files.push_back(file.string());
  if (hub::is_model_name(found.name)) options.aliases.push_back(found.name);
  options.tool_parser = settings.tool_parser;
  options.reasoning_parser = settings.reasoning_parser;
  options.memory.memory_bytes_max = settings.memory_bytes;
  options.memory.kv_bytes = settings.kv_bytes;
  options.memory.contexts = settings.kv_contexts;
  options.memory.context_tokens = settings.context_tokens;
  options.memory.rows_max = rows_max;
  options.memory.step_tokens_max = settings.step_tokens_max;
  options.rope_scale = settings.rope_scale.value_or(1);
  options.sampling = {settings.temperature, settings.top_p, settings.min_p, settings.top_k,
                      settings.openai_defaults};
  options.queue_max = settings.queue_max;
  options.output_tokens_max = settings.output_tokens_max;
  options.prefix_cache = settings.prefix_cache;
  ASSIGN_OR_RETURN(options.prompt_rules, service::PromptRules::of(settings.prompt_rules));
  options.step_target = std::chrono::milliseconds(settings.step_target_ms);
  options.slow_reader_max = std::chrono::seconds(settings.slow_reader_s);
  options.deterministic = settings.deterministic;
  ASSIGN_OR_RETURN(options.device, engine::device_named(settings.device));
  options.kv_type = kv_type_of(settings);
  return options;
}

namespace {

Result<std::unique_ptr<service::Model>> load_shown(
    const service::LoadOptions& options, engine::RunnerOptions runner,
    const service::ModelLoader::Progress& also = {}) {
  const SystemClock clock;
  Progress progress("loading " + options.id, stderr, is_terminal(stderr), clock);
  runner.kv_type = options.kv_type;  // a model may have its own
  runner.progress = [&](uint64_t done, uint64_t total) {
    progress.update(done, total);
    if (also) also(done, total);
  };
  auto model = service::load_model(options, service::device_runner(runner));
  if (model.ok()) progress.finish();
  return model;
}

}  // namespace

Result<std::unique_ptr<service::Model>> load_for(const Settings& settings,
                                                 const hub::LocalModel& found, int rows_max) {
  ASSIGN_OR_RETURN(const service::LoadOptions options, load_options(settings, found, rows_max));
  ASSIGN_OR_RETURN(engine::RunnerOptions runner, runner_options(settings));
  return load_shown(options, std::move(runner));
}

Result<std::unique_ptr<engine::BatchInvarianceMonitor>> start_monitor(const Settings& settings,
                                                                      const service::Model& model) {
  if (settings.divergence_monitor_s <= 0) return std::unique_ptr<engine::BatchInvarianceMonitor>();
  ASSIGN_OR_RETURN(std::vector<engine::Submission> prompts, monitor_prompts(*model.tokenizer));
  engine::MonitorOptions options;
  options.every = std::chrono::seconds(settings.divergence_monitor_s);
  options.make_deterministic = settings.divergence_action == "serialise";
  return std::make_unique<engine::BatchInvarianceMonitor>(*model.engine, options,
                                                          std::move(prompts));
}

Result<std::unique_ptr<service::Model>> FileLoader::load(const service::ModelSpec& spec,
                                                         uint64_t bytes_max,
                                                         const Progress& progress) {
  service::LoadOptions options = spec.load;
  options.memory.memory_bytes_max = bytes_max;
  ASSIGN_OR_RETURN(engine::RunnerOptions runner, runner_options(settings_));
  ASSIGN_OR_RETURN(std::unique_ptr<service::Model> model,
                   load_shown(options, std::move(runner), progress));
  ASSIGN_OR_RETURN(model->monitor, start_monitor(settings_, *model));
  return model;
}

}  // namespace pippin::app
