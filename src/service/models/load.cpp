#include "service/models/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/fnv_hash.h"
#include "base/log.h"
#include "base/unix_time.h"
#include "engine/engine.h"
#include "parse/registry.h"
#include "service/models/load_tokenizer.h"

namespace pippin::service {
namespace {

using engine::Token;

// The sampling that the model's makers advise, where it makes sense.
Result<void> add_sampling(const store::Checkpoint& checkpoint, bool openai_defaults,
                          ModelInfo& info) {
  ASSIGN_OR_RETURN(const store::GenerationConfig generation, checkpoint.generation_config());
  engine::SamplingParams sampling = sampling_defaults(openai_defaults);
  const auto take = [](std::optional<double> value, double low, double high, float& to) {
    if (value && *value >= low && *value <= high) to = static_cast<float>(*value);
  };
  take(generation.temperature, 0, 2, sampling.temperature);
  take(generation.top_p, 0, 1, sampling.top_p);
  take(generation.min_p, 0, 1, sampling.min_p);
  take(generation.repetition_penalty, 0.01, 10, sampling.repetition_penalty);
  info.penalty_in_file = generation.repetition_penalty.has_value();
  if (generation.top_k)
    sampling.top_k = static_cast<int>(std::clamp<int64_t>(*generation.top_k, 0, 1 << 20));
  info.default_sampling = sampling;
  return {};
}

MemoryNeeds needs_of(const engine::ModelInfo& inspected) {
  MemoryNeeds needs;
  needs.weights_bytes = static_cast<uint64_t>(inspected.weight_bytes);
  needs.kv = inspected.kv;
  needs.kv_type = inspected.kv_type;
  needs.latent_values = inspected.latent_values;
  needs.context_tokens_max = inspected.context_tokens_max;
  needs.vocab = inspected.vocab;
  needs.embedding = inspected.embedding;
  needs.feed_forward = inspected.feed_forward;
  return needs;
}

// A hash of what decides the answers: the same file under the same settings has the same name.
std::string fingerprint_of(const store::Checkpoint& checkpoint, const engine::ModelInfo& inspected,
                           const MemoryPlan& plan, const Model& model) {
  const std::string text = fmt::format("{} {} {} {} {} {}", PIPPIN_VERSION, inspected.architecture,
                                       checkpoint.file_bytes(), checkpoint.tensors().size(),
                                       plan.context_tokens_max, plan.kv.type);
  FnvHash hash;
  hash.add(text);
  for (const store::TensorView& tensor : checkpoint.tensors()) {
    hash.add(tensor.name);
    hash.add(std::string(type_name(tensor.type)));
  }
  if (model.chat_template) hash.add(model.chat_template->source());
  if (model.tool_dialect) hash.add(model.tool_dialect->name);
  if (model.reasoning_dialect) hash.add(model.reasoning_dialect->name);
  return fmt::format("fp_{:010x}", hash.value() & 0xFFFFFFFFFFull);
}

// Fills what the tokenizer needs and says.
Result<void> add_tokenizer(const store::Checkpoint& checkpoint, int vocab, Model& model) {
  ASSIGN_OR_RETURN(LoadedTokenizer loaded, read_tokenizer(checkpoint, vocab));
  model.tokenizer = std::move(loaded.tokenizer);
  model.token_bound = TokenBound(*model.tokenizer);
  model.bos_text = std::move(loaded.bos_text);
  model.eos_text = std::move(loaded.eos_text);
  model.stop_tokens = std::move(loaded.ends);
  auto grammar_vocabulary =
      std::make_shared<text::GrammarVocabulary>(model.tokenizer, model.stop_tokens);
  // Beside the reading of the weights, so that no request waits for it.
  grammar_vocabulary->prepare_ahead();
  model.grammar_vocabulary = std::move(grammar_vocabulary);
  return {};
}

Result<void> read_template(const store::Checkpoint& checkpoint, ModelInfo& info) {
  ASSIGN_OR_RETURN(const std::string source, checkpoint.chat_template());
  if (source.empty()) return {};
  Result<std::shared_ptr<const text::ChatTemplate>> compiled = text::ChatTemplate::compile(source);
  if (compiled.ok()) {
    info.chat_template = *compiled;
  } else {
    log::warn("[load] {}: the chat template does not compile, so there is no chat: {}",
              checkpoint.path(), compiled.error().message);
  }
  return {};
}

// How the model writes calls and thinking: as told, else as its template and its name tell.
Result<void> choose_dialects(const LoadOptions& options, ModelInfo& model) {
  const std::string_view source =
      model.chat_template ? std::string_view(model.chat_template->source()) : std::string_view();
  const std::string name = model_id_of(options.path) + " " + model.id + " " + model.architecture;
  if (options.tool_parser.empty()) {
    model.tool_dialect = &parse::detect_tool_dialect(source, name);
  } else if (options.tool_parser != "none") {
    model.tool_dialect = parse::find_tool_dialect(options.tool_parser);
    if (model.tool_dialect == nullptr)
      return fail(Code::kInvalidArgument, "there is no tool parser \"" + options.tool_parser + '"');
  }
  if (options.reasoning_parser.empty()) {
    model.reasoning_dialect = parse::detect_reasoning_dialect(source, name);
  } else if (options.reasoning_parser != "none") {
    model.reasoning_dialect = parse::find_reasoning_dialect(options.reasoning_parser);
    if (model.reasoning_dialect == nullptr) {
      return fail(Code::kInvalidArgument,
                  "there is no reasoning parser \"" + options.reasoning_parser + '"');
    }
  }
  return {};
}

}  // namespace

engine::SamplingParams sampling_defaults(bool openai_defaults) {
  engine::SamplingParams sampling;
  if (openai_defaults) return sampling;
  sampling.temperature = 0.8F;
  sampling.top_k = 40;
  sampling.top_p = 0.95F;
  sampling.min_p = 0.05F;
  return sampling;
}

Machine machine_of(engine::DeviceKind device) {
  if (!engine::device_traits(device).has_own_memory) return this_machine();
  const auto memory = engine::gpu_memory();
  return {.memory_bytes_total = memory.bytes_total,
          .memory_bytes_available = memory.bytes_free,
          .shared = false};
}

std::string model_id_of(const std::string& path) {
  std::string name = std::filesystem::path(path).filename().string();
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name.empty() ? "model" : name;
}

RunnerFactory device_runner(engine::RunnerOptions runner) {
  return [runner = std::move(runner)](const store::Checkpoint& checkpoint, const MemoryPlan& plan) {
    engine::RunnerOptions options = runner;
    options.kv = plan.kv;
    return engine::make_runner(checkpoint, options);
  };
}

namespace {

// What the user asks of answers goes before what the model's file advises.
void overlay(const SamplingOverrides& options, engine::SamplingParams& sampling) {
  if (options.temperature) sampling.temperature = static_cast<float>(*options.temperature);
  if (options.top_p) sampling.top_p = static_cast<float>(*options.top_p);
  if (options.top_k) sampling.top_k = static_cast<int>(*options.top_k);
  if (options.min_p) sampling.min_p = static_cast<float>(*options.min_p);
}

Result<void> fill_info(const store::Checkpoint& checkpoint, const engine::ModelInfo& inspected,
                       const LoadOptions& options, ModelInfo& info) {
  info.id = options.id.empty() ? model_id_of(options.path) : options.id;
  info.aliases = options.aliases;
  info.facts = facts_of(checkpoint, options.license_files);
  info.architecture = info.facts.architecture;
  info.created_unix_s = unix_now_s();
  const int asked = options.memory.context_tokens;
  info.context_tokens_max = asked > 0 ? asked : inspected.context_tokens_max;
  info.output_tokens_max = options.output_tokens_max;
  info.supports_fim = supports_fim(checkpoint);
  RETURN_IF_ERROR(add_sampling(checkpoint, options.sampling.openai_defaults, info));
  overlay(options.sampling, info.default_sampling);
  RETURN_IF_ERROR(read_template(checkpoint, info));
  return choose_dialects(options, info);
}

engine::EngineOptions engine_options(const LoadOptions& options, const MemoryPlan& plan,
                                     const ModelInputs& inputs) {
  engine::EngineOptions engine;
  engine.context_tokens_max = plan.context_tokens_max;
  engine.kv = plan.kv;
  engine.inputs = inputs;
  engine.rows_max = options.memory.rows_max;
  engine.step_tokens_max = options.memory.step_tokens_max;
  engine.queue_max = options.queue_max;
  const engine::DeviceTraits& device = engine::device_traits(options.device);
  engine.deterministic = options.deterministic && !device.batch_invariant;
  engine.prefix_cache = options.prefix_cache && !engine.deterministic;
  engine.warm_up = device.compiles_kernels;
  engine.step_target = options.step_target;
  engine.slow_reader_max = options.slow_reader_max;
  engine.record_path = options.record_path;
  return engine;
}

}  // namespace

namespace {

Result<store::Checkpoint> open_checkpoint(const LoadOptions& options) {
  ASSIGN_OR_RETURN(store::Checkpoint checkpoint, store::Checkpoint::open(options.path));
  checkpoint.scale_rope(options.rope_scale);
  return checkpoint;
}

}  // namespace

Result<MemorySizing> size_model(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const store::Checkpoint checkpoint, open_checkpoint(options));
  ASSIGN_OR_RETURN(const engine::ModelInfo inspected,
                   engine::inspect_model(checkpoint, options.device, options.kv_type));
  return MemorySizing{needs_of(inspected), options.memory, machine_of(options.device)};
}

Result<ModelInfo> describe_model(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const store::Checkpoint checkpoint, open_checkpoint(options));
  ASSIGN_OR_RETURN(const engine::ModelInfo inspected,
                   engine::inspect_model(checkpoint, options.device, options.kv_type));
  ModelInfo info;
  RETURN_IF_ERROR(fill_info(checkpoint, inspected, options, info));
  return info;
}

namespace {

// A folder's tokenizer is a file of its own, and may be missing.
Result<void> check_tokenizer(const store::Checkpoint& checkpoint) {
  const store::HfFolder* folder = checkpoint.folder();
  if (folder == nullptr) return {};
  const Result<store::HfTokenizerFiles> files = folder->tokenizer();
  return files.ok() ? Result<void>() : files.error();
}

Result<void> describe_into(const store::Checkpoint& checkpoint, const LoadOptions& options,
                           ModelDescription& described) {
  const Result<engine::ModelInfo> inspected =
      engine::inspect_model(checkpoint, options.device, options.kv_type);
  const engine::ModelInfo known = inspected.ok() ? *inspected : engine::ModelInfo();
  RETURN_IF_ERROR(fill_info(checkpoint, known, options, described.info));
  ASSIGN_OR_RETURN(described.generation, checkpoint.generation_config());
  if (!inspected.ok()) return inspected.error();
  described.sizing = MemorySizing{needs_of(*inspected), options.memory, machine_of(options.device)};
  return check_tokenizer(checkpoint);
}

}  // namespace

ModelDescription describe_files(const LoadOptions& options) {
  ModelDescription described;
  const Result<store::Checkpoint> checkpoint = open_checkpoint(options);
  if (!checkpoint.ok()) {
    described.info.id = options.id.empty() ? model_id_of(options.path) : options.id;
    described.info.facts = facts_of_unread(options.path, options.license_files);
    described.info.architecture = described.info.facts.architecture;
    described.unserved = checkpoint.error().message;
    return described;
  }
  const Result<void> served = describe_into(*checkpoint, options, described);
  if (!served.ok()) described.unserved = served.error().message;
  return described;
}

Result<std::unique_ptr<Model>> load_model(const LoadOptions& options,
                                          const RunnerFactory& make_runner) {
  ASSIGN_OR_RETURN(store::Checkpoint checkpoint, open_checkpoint(options));
  ASSIGN_OR_RETURN(const engine::ModelInfo inspected,
                   engine::inspect_model(checkpoint, options.device, options.kv_type));
  auto model = std::make_unique<Model>();
  RETURN_IF_ERROR(fill_info(checkpoint, inspected, options, *model));
  model->prompt_rules = options.prompt_rules;
  RETURN_IF_ERROR(add_tokenizer(checkpoint, inspected.vocab, *model));
  ASSIGN_OR_RETURN(model->plan,
                   plan_memory(needs_of(inspected), options.memory, machine_of(options.device)));
  model->context_tokens_max = model->plan.context_tokens_max;
  checkpoint.serve_context(model->context_tokens_max);
  if (options.rope_scale > 1)
    log::warn(
        "[load] {}: positions are divided by {}, for a context of {} tokens; answers are "
        "somewhat worse than without --rope-scale",
        model->id, options.rope_scale, model->context_tokens_max);
  model->fingerprint = fingerprint_of(checkpoint, inspected, model->plan, *model);
  if (options.on_plan) options.on_plan(model->plan);
  // start() returns after the runner is made, so the file may be unmapped when this function ends.
  ASSIGN_OR_RETURN(model->engine,
                   engine::Engine::start(engine_options(options, model->plan, inspected.inputs),
                                         [&] { return make_runner(checkpoint, model->plan); }));
  return model;
}

}  // namespace pippin::service
