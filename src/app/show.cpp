#include "app/show.h"

#include <fmt/format.h>

#include <utility>

#include "app/commands.h"
#include "app/default_model.h"
#include "app/loading.h"
#include "app/model_output.h"
#include "app/shown_model.h"

namespace pippin::app {
namespace {

// What the model takes at some contexts, and what serving it would take.
Result<void> add_memory(ShownModel& shown, int context_tokens) {
  const service::MemorySizing& sizing = *shown.described.sizing;
  shown.budget_bytes = service::memory_budget(sizing.options.memory_bytes_max, sizing.machine);
  const std::vector<int> contexts =
      context_tokens > 0 ? std::vector{context_tokens} : service::usual_contexts(sizing.needs);
  for (const int tokens : contexts) {
    ASSIGN_OR_RETURN(const service::MemoryAt at, service::memory_at(sizing, tokens));
    shown.memory.push_back(at);
  }
  Result<service::MemoryPlan> plan =
      service::plan_memory(sizing.needs, sizing.options, sizing.machine);
  if (plan.ok()) {
    shown.plan = *std::move(plan);
  } else {
    shown.plan_error = plan.error().message;
  }
  return {};
}

Result<ShownModel> look_at(const Settings& settings, const std::string& named) {
  ASSIGN_OR_RETURN(const hub::Paths paths, model_paths(settings, environment_variable));
  ShownModel shown;
  ASSIGN_OR_RETURN(shown.model, hub::resolve(named, paths));
  ASSIGN_OR_RETURN(const service::LoadOptions options,
                   load_options(settings, shown.model, settings.rows_max));
  shown.device = engine::device_traits(options.device).name;
  shown.described = service::describe_files(options);
  if (!shown.described.sizing) return shown;
  const Result<void> added = add_memory(shown, settings.context_tokens);
  if (added.ok()) return shown;
  if (added.error().code == Code::kInvalidArgument) return added.error();
  shown.described.sizing.reset();
  shown.described.unserved = added.error().message;
  return shown;
}

void print_text(const ShownModel& shown) {
  print_table(shown.rows());
  if (shown.memory.empty()) return;
  fmt::print("\nMemory of one sequence on {}, KV as {}, in a budget of {}:\n\n", shown.device,
             shown.described.sizing->needs.kv_type, service::bytes_text(shown.budget_bytes));
  print_table(shown.memory_rows());
  if (!shown.described.unserved.empty()) return;
  if (shown.plan) {
    fmt::print("\n`pippin serve` takes, with room for more sequences and prefixes:\n\n{}",
               shown.plan->to_text());
  } else {
    fmt::print("\n`pippin serve` cannot: {}\n", shown.plan_error);
  }
}

}  // namespace

Result<int> show(const Settings& settings, const std::string& named) {
  if (named.empty()) return no_model_named("show");
  ASSIGN_OR_RETURN(const ShownModel shown, look_at(settings, named));
  if (settings.models_json) {
    fmt::print("{}\n", shown.to_json());
  } else {
    print_text(shown);
  }
  return kExitOk;
}

}  // namespace pippin::app
