// load_model: from a path to a Model that answers; size_model and describe_model: what its
// file's head tells before. Called by the model pool. Thread: any; seconds.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/exec/runner.h"
#include "service/chat/prompt_rules.h"
#include "service/models/memory_plan.h"
#include "service/models/model.h"
#include "store/checkpoint.h"

namespace pippin::service {

/// Makes the engine's runner on its device thread, for the planned number of blocks. The files stay
/// mapped during the call.
using RunnerFactory = std::function<Result<std::unique_ptr<engine::Runner>>(
    const store::Checkpoint& checkpoint, const MemoryPlan& plan)>;

/// What answers are sampled with where a request does not say; nothing: as the file advises, and
/// else as sampling_defaults() has it.
struct SamplingOverrides {
  std::optional<double> temperature, top_p, min_p;
  std::optional<int64_t> top_k;
  bool openai_defaults = false;  // else: temperature 1 and the whole vocabulary
};

/// Returns what most local servers sample with where nobody says: small models write gibberish at
/// temperature 1 over the whole vocabulary. Source: llama-server's defaults.
engine::SamplingParams sampling_defaults(bool openai_defaults);

struct LoadOptions {
  std::string path;
  std::string id;  // empty: made from the file's name, without ".gguf"
  std::vector<std::string> aliases;
  std::vector<std::string> license_files;  // beside the model; as facts_of() takes them
  /// Names of dialects (parse/registry.h), or "none"; empty: by the chat template and the name.
  std::string tool_parser, reasoning_parser;
  engine::DeviceKind device = engine::DeviceKind::kCpu;  // that of the runner
  engine::KvType kv_type = engine::KvType::kF16;         // that of the runner
  /// Company may not change an answer; on a CPU it never does, and this changes nothing.
  bool deterministic = false;
  double rope_scale = 1;  // of Checkpoint::scale_rope()
  PromptRules prompt_rules;
  MemoryOptions memory;
  SamplingOverrides sampling;
  int queue_max = 512;
  int output_tokens_max = 0;  // of an answer; 0 = what the context leaves
  bool prefix_cache = true;
  Duration step_target = std::chrono::milliseconds(200);
  Duration slow_reader_max = std::chrono::seconds(30);
  std::string record_path;  // empty = the run is not recorded
  /// Called once the plan is made, before the weights are read.
  std::function<void(const MemoryPlan&)> on_plan;
};

/// What plan_memory() takes, read from the head of a model's file.
struct MemorySizing {
  MemoryNeeds needs;
  MemoryOptions options;
  Machine machine;
};
/// Errors: of the file; kUnsupported. Cost: tens of milliseconds.
Result<MemorySizing> size_model(const LoadOptions& options);

/// Reads what can be told of a model without its weights. Errors and cost: as size_model().
Result<ModelInfo> describe_model(const LoadOptions& options);

/// What the files of a model tell, whether it can be served or not.
struct ModelDescription {
  ModelInfo info;                      // without a chat template where none compiles
  store::GenerationConfig generation;  // what the files advise, as written
  std::optional<MemorySizing> sizing;  // nothing: no family here is built so
  std::string unserved;                // why not; empty: it can, as far as the headers tell
};
/// Cost: as size_model(). Never fails: what cannot be told is left out.
ModelDescription describe_files(const LoadOptions& options);

/// Returns the memory that models on a device share: the machine's, or a GPU's own.
Machine machine_of(engine::DeviceKind device);

/// Errors: of the file, the tokenizer, the plan and the runner.
Result<std::unique_ptr<Model>> load_model(const LoadOptions& options,
                                          const RunnerFactory& make_runner);

/// The factory of the real device. `runner.kv` is set from the plan.
RunnerFactory device_runner(engine::RunnerOptions runner);

/// Returns "SmolLM2-135M-Instruct-Q4_1" for "/models/SmolLM2-135M-Instruct-Q4_1.gguf", and a
/// folder's own name.
std::string model_id_of(const std::string& path);

}  // namespace pippin::service
