#include "service/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "base/log.h"
#include "base/unix_time.h"
#include "engine/engine.h"
#include "parse/registry.h"
#include "service/infill.h"

namespace pippin::service {
namespace {

using engine::Token;

// Texts of tokens that end a turn, in the families that write them. A file often names only one of
// its two.
// "</s>" and "<eos>" are left to the file's own eos: as text they are too common to be trusted.
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>",
    "<|eom_id|>",  // llama 3
    "<|im_end|>",  // ChatML
    "<|endoftext|>",
    "<|end_of_text|>",  // GPT-2, granite
    "<|end|>",          // phi
    "<|return|>",
    "<|call|>",  // harmony
    "<|calls|>",
    "<|flush|>",  // solar
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",  // gemma
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",  // code llama, kimi
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "[e~[",  // smoldocling, deepseek, minimax
};

// In these two families "<|end|>" closes a message, but not the turn.
constexpr std::pair<std::string_view, std::string_view> kEndIsNotTheEnd[] = {
    {"<|return|>", "<|call|>"}, {"<|calls|>", "<|flush|>"}};

// Returns the token id under a key, if the key is there and the id is one.
Result<std::optional<Token>> token_at(const store::GgufFile& file, std::string_view key,
                                      size_t vocab) {
  if (file.find(key) == nullptr) return std::optional<Token>{};
  ASSIGN_OR_RETURN(const int64_t id, file.integer(key));
  // Converters write -1 or 2^32 - 1 for "none".
  if (id < 0 || static_cast<uint64_t>(id) >= vocab) return std::optional<Token>{};
  return std::optional<Token>(static_cast<Token>(id));
}

Result<std::optional<bool>> flag_at(const store::GgufFile& file, std::string_view key) {
  if (file.find(key) == nullptr) return std::optional<bool>{};
  ASSIGN_OR_RETURN(const bool flag, file.boolean(key));
  return std::optional<bool>(flag);
}

// Returns a string under a key, or "" if there is none.
Result<std::string> text_at(const store::GgufFile& file, std::string_view key) {
  if (file.find(key) == nullptr) return std::string();
  ASSIGN_OR_RETURN(const std::string_view text, file.string(key));
  return std::string(text);
}

Result<std::vector<std::string>> texts_at(const store::GgufFile& file, std::string_view key) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view>* texts, file.strings(key));
  return std::vector<std::string>(texts->begin(), texts->end());
}

// The sampling that the model's makers advise, where the file carries it and it makes sense.
Result<engine::SamplingParams> default_sampling(const store::GgufFile& file) {
  engine::SamplingParams sampling;
  const auto read = [&](std::string_view key, double low, double high, float& to) -> Result<void> {
    ASSIGN_OR_RETURN(const double value, file.number_or(key, to));
    if (value >= low && value <= high) to = static_cast<float>(value);
    return {};
  };
  RETURN_IF_ERROR(read("general.sampling.temp", 0, 2, sampling.temperature));
  RETURN_IF_ERROR(read("general.sampling.top_p", 0, 1, sampling.top_p));
  RETURN_IF_ERROR(read("general.sampling.min_p", 0, 1, sampling.min_p));
  RETURN_IF_ERROR(read("general.sampling.penalty_repeat", 0.01, 10, sampling.repetition_penalty));
  ASSIGN_OR_RETURN(const int64_t top_k, file.integer_or("general.sampling.top_k", 0));
  sampling.top_k = static_cast<int>(std::clamp<int64_t>(top_k, 0, 1 << 20));
  return sampling;
}

// Returns an architecture's size under "<architecture>.<name>", 0 if the file does not say.
int size_at(const store::GgufFile& file, const std::string& architecture, std::string_view name) {
  const Result<int64_t> size = file.integer(architecture + "." + std::string(name));
  return size.ok() ? static_cast<int>(std::clamp<int64_t>(*size, 0, 1 << 24)) : 0;
}

MemoryNeeds needs_of(const store::GgufFile& file, const engine::ModelInfo& info) {
  MemoryNeeds needs;
  needs.weights_bytes = static_cast<uint64_t>(info.weight_bytes);
  needs.kv_bytes_per_block = static_cast<uint64_t>(info.kv_block_bytes);
  needs.kv_bytes_per_window_block = static_cast<uint64_t>(info.kv_window_block_bytes);
  needs.kv_type = info.kv_type;
  needs.window = info.window;
  needs.context_tokens_max = info.context_tokens_max;
  needs.vocab = info.vocab;
  needs.embedding = size_at(file, info.architecture, "embedding_length");
  needs.feed_forward = size_at(file, info.architecture, "feed_forward_length");
  return needs;
}

// FNV-1a over what decides the answers: the same file under the same settings has the same name.
std::string fingerprint_of(const store::GgufFile& file, const engine::ModelInfo& info,
                           const MemoryPlan& plan, const Model& model) {
  const std::string text =
      fmt::format("{} {} {} {} {} {}", PIPPIN_VERSION, info.architecture, file.file_bytes(),
                  file.tensors().size(), plan.context_tokens_max, plan.kv_type);
  uint64_t hash = 14695981039346656037ull;
  const auto mix = [&](std::string_view bytes) {
    for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  };
  mix(text);
  for (const store::TensorView& tensor : file.tensors()) {
    mix(tensor.name);
    mix(store::type_name(tensor.type));
  }
  if (model.chat_template) mix(model.chat_template->source());
  if (model.tool_dialect) mix(model.tool_dialect->name);
  if (model.reasoning_dialect) mix(model.reasoning_dialect->name);
  return fmt::format("fp_{:010x}", hash & 0xFFFFFFFFFFull);
}

// Fills what the tokenizer needs and says.
Result<void> read_tokenizer(const store::GgufFile& file, Model& model) {
  ASSIGN_OR_RETURN(const text::GgufVocabulary vocabulary, read_vocabulary(file));
  ASSIGN_OR_RETURN(model.tokenizer, text::Tokenizer::from_gguf(vocabulary));
  const auto text_of = [&](std::optional<Token> token) {
    return token ? vocabulary.tokens[static_cast<size_t>(*token)] : std::string();
  };
  model.bos_text = text_of(model.tokenizer->bos());
  model.eos_text = text_of(model.tokenizer->eos());
  model.stop_tokens = end_tokens(file, *model.tokenizer);
  auto grammar_vocabulary =
      std::make_shared<text::GrammarVocabulary>(model.tokenizer, model.stop_tokens);
  // Beside the reading of the weights, so that no request waits for it.
  grammar_vocabulary->prepare_ahead();
  model.grammar_vocabulary = std::move(grammar_vocabulary);
  return {};
}

Result<void> read_template(const store::GgufFile& file, ModelSheet& sheet) {
  ASSIGN_OR_RETURN(const std::string source, text_at(file, "tokenizer.chat_template"));
  if (source.empty()) return {};
  Result<std::shared_ptr<const text::ChatTemplate>> compiled = text::ChatTemplate::compile(source);
  if (compiled.ok()) {
    sheet.chat_template = *compiled;
  } else {
    log::warn("[load] {}: the chat template does not compile, so there is no chat: {}", file.path(),
              compiled.error().message);
  }
  return {};
}

bool knows_infill(const store::GgufFile& file) {
  const Result<const std::vector<std::string_view>*> tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens.ok()) return false;
  return can_infill(
      [&](std::string_view text) { return std::ranges::find(**tokens, text) != (*tokens)->end(); });
}

// How the model writes calls and thinking: as told, else as its template and its name tell.
Result<void> choose_dialects(const LoadOptions& options, ModelSheet& model) {
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

Machine machine_of(engine::DeviceKind device) {
  if (device == engine::DeviceKind::kCpu) return this_machine();
  const engine::DeviceMemory memory = engine::gpu_memory();
  return {.memory_bytes_total = memory.bytes_total,
          .memory_bytes_available = memory.bytes_free,
          .shared = false};
}

Result<text::GgufVocabulary> read_vocabulary(const store::GgufFile& file) {
  text::GgufVocabulary vocabulary;
  ASSIGN_OR_RETURN(const std::string_view model, file.string("tokenizer.ggml.model"));
  vocabulary.model = model;
  ASSIGN_OR_RETURN(vocabulary.pre, text_at(file, "tokenizer.ggml.pre"));
  ASSIGN_OR_RETURN(vocabulary.tokens, texts_at(file, "tokenizer.ggml.tokens"));
  if (vocabulary.tokens.size() > static_cast<size_t>(std::numeric_limits<Token>::max())) {
    return fail(Code::kInvalidFile, "[load] too many tokens", "tokenizer.ggml.tokens");
  }
  if (file.find("tokenizer.ggml.merges") != nullptr) {
    ASSIGN_OR_RETURN(vocabulary.merges, texts_at(file, "tokenizer.ggml.merges"));
  }
  if (file.find("tokenizer.ggml.scores") != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<double>* scores, file.numbers("tokenizer.ggml.scores"));
    vocabulary.scores.assign(scores->begin(), scores->end());
  }
  if (file.find("tokenizer.ggml.token_type") != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<int64_t>* types, file.integers("tokenizer.ggml.token_type"));
    for (const int64_t type : *types)
      vocabulary.token_types.push_back(static_cast<int32_t>(std::clamp<int64_t>(type, 0, 255)));
  }
  const size_t size = vocabulary.tokens.size();
  ASSIGN_OR_RETURN(vocabulary.bos, token_at(file, "tokenizer.ggml.bos_token_id", size));
  ASSIGN_OR_RETURN(vocabulary.eos, token_at(file, "tokenizer.ggml.eos_token_id", size));
  ASSIGN_OR_RETURN(vocabulary.unk, token_at(file, "tokenizer.ggml.unknown_token_id", size));
  ASSIGN_OR_RETURN(vocabulary.pad, token_at(file, "tokenizer.ggml.padding_token_id", size));
  ASSIGN_OR_RETURN(vocabulary.sep,
                   token_at(file, "tokenizer.ggml.seperator_token_id", size));  // its own spelling
  ASSIGN_OR_RETURN(vocabulary.add_bos, flag_at(file, "tokenizer.ggml.add_bos_token"));
  ASSIGN_OR_RETURN(vocabulary.add_eos, flag_at(file, "tokenizer.ggml.add_eos_token"));
  ASSIGN_OR_RETURN(vocabulary.add_space_prefix, flag_at(file, "tokenizer.ggml.add_space_prefix"));
  ASSIGN_OR_RETURN(vocabulary.remove_extra_whitespaces,
                   flag_at(file, "tokenizer.ggml.remove_extra_whitespaces"));
  ASSIGN_OR_RETURN(vocabulary.lowercase, flag_at(file, "tokenizer.ggml.normalizer.lowercase"));
  ASSIGN_OR_RETURN(vocabulary.strip_accents,
                   flag_at(file, "tokenizer.ggml.normalizer.strip_accents"));
  if (file.find("tokenizer.ggml.precompiled_charsmap") != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<int64_t>* map,
                     file.integers("tokenizer.ggml.precompiled_charsmap"));
    for (const int64_t byte : *map)
      vocabulary.precompiled_charsmap.push_back(static_cast<char>(byte & 0xFF));
  }
  return vocabulary;
}

std::vector<Token> end_tokens(const store::GgufFile& file, const text::Tokenizer& tokenizer) {
  std::vector<Token> ends;
  const auto add = [&](std::optional<Token> token) {
    if (token && std::ranges::find(ends, *token) == ends.end()) ends.push_back(*token);
  };
  const auto vocab = static_cast<size_t>(tokenizer.vocab_size());
  add(tokenizer.eos());
  for (const std::string_view name : {"eos", "eot", "eom"}) {
    const auto token = token_at(file, fmt::format("tokenizer.ggml.{}_token_id", name), vocab);
    if (token.ok()) add(*token);
  }
  for (const std::string_view text : kEndTexts) add(tokenizer.token_of(text));
  for (const auto& [one, other] : kEndIsNotTheEnd) {
    const std::optional<Token> end = tokenizer.token_of("<|end|>");
    if (end && tokenizer.token_of(one) && tokenizer.token_of(other)) std::erase(ends, *end);
  }
  return ends;
}

std::string model_id_of(const std::string& path) {
  std::string name = std::filesystem::path(path).filename().string();
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name.empty() ? "model" : name;
}

RunnerFactory device_runner(engine::RunnerOptions runner) {
  return [runner = std::move(runner)](const store::GgufFile& file, const MemoryPlan& plan) {
    engine::RunnerOptions options = runner;
    options.blocks = plan.blocks;
    options.window_blocks = plan.window_blocks;
    return engine::make_runner(file, options);
  };
}

namespace {

// What the user asks of answers goes before what the model's file advises.
void overlay(const SamplingWishes& wishes, engine::SamplingParams& sampling) {
  if (wishes.temperature) sampling.temperature = static_cast<float>(*wishes.temperature);
  if (wishes.top_p) sampling.top_p = static_cast<float>(*wishes.top_p);
  if (wishes.top_k) sampling.top_k = static_cast<int>(*wishes.top_k);
  if (wishes.min_p) sampling.min_p = static_cast<float>(*wishes.min_p);
}

Result<void> fill_sheet(const store::GgufFile& file, const engine::ModelInfo& info,
                        const LoadOptions& options, ModelSheet& sheet) {
  sheet.id = options.id.empty() ? model_id_of(options.path) : options.id;
  sheet.aliases = options.aliases;
  sheet.architecture = info.architecture;
  sheet.facts = facts_of(file);
  sheet.created_unix_s = unix_now_s();
  const int wished = options.memory.context_tokens;
  sheet.context_tokens_max = wished > 0 ? wished : info.context_tokens_max;
  sheet.output_tokens_max = options.output_tokens_max;
  sheet.infills = knows_infill(file);
  ASSIGN_OR_RETURN(sheet.default_sampling, default_sampling(file));
  overlay(options.sampling, sheet.default_sampling);
  RETURN_IF_ERROR(read_template(file, sheet));
  return choose_dialects(options, sheet);
}

engine::EngineOptions engine_options(const LoadOptions& options, const MemoryPlan& plan) {
  engine::EngineOptions engine;
  engine.context_tokens_max = plan.context_tokens_max;
  engine.blocks = plan.blocks;
  engine.window_blocks = plan.window_blocks;
  engine.window = plan.window;
  engine.kv_type = plan.kv_type;
  engine.block_positions = plan.block_positions;
  engine.rows_max = options.memory.rows_max;
  engine.step_tokens_max = options.memory.step_tokens_max;
  engine.queue_max = options.queue_max;
  engine.serial = options.deterministic && options.device != engine::DeviceKind::kCpu;
  engine.prefix_cache = options.prefix_cache && !engine.serial;
  engine.warm_up = options.device != engine::DeviceKind::kCpu;  // whose kernels come as source
  engine.step_target = options.step_target;
  engine.slow_reader_max = options.slow_reader_max;
  engine.record_path = options.record_path;
  return engine;
}

}  // namespace

Result<MemorySizing> size_model(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const store::GgufFile file, store::GgufFile::open(options.path));
  ASSIGN_OR_RETURN(const engine::ModelInfo info,
                   engine::inspect_model(file, options.device, options.kv_type));
  return MemorySizing{needs_of(file, info), options.memory, machine_of(options.device)};
}

Result<ModelSheet> describe_model(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const store::GgufFile file, store::GgufFile::open(options.path));
  ASSIGN_OR_RETURN(const engine::ModelInfo info,
                   engine::inspect_model(file, options.device, options.kv_type));
  ModelSheet sheet;
  RETURN_IF_ERROR(fill_sheet(file, info, options, sheet));
  return sheet;
}

Result<std::unique_ptr<Model>> load_model(const LoadOptions& options,
                                          const RunnerFactory& make_runner) {
  ASSIGN_OR_RETURN(const store::GgufFile file, store::GgufFile::open(options.path));
  ASSIGN_OR_RETURN(const engine::ModelInfo info,
                   engine::inspect_model(file, options.device, options.kv_type));
  auto model = std::make_unique<Model>();
  RETURN_IF_ERROR(fill_sheet(file, info, options, *model));
  model->prompt_rules = options.prompt_rules;
  RETURN_IF_ERROR(read_tokenizer(file, *model));
  ASSIGN_OR_RETURN(model->plan,
                   plan_memory(needs_of(file, info), options.memory, machine_of(options.device)));
  model->context_tokens_max = model->plan.context_tokens_max;
  model->fingerprint = fingerprint_of(file, info, model->plan, *model);
  if (options.on_plan) options.on_plan(model->plan);
  // start() returns after the runner is made, so the file may be unmapped when this function ends.
  ASSIGN_OR_RETURN(model->engine, engine::Engine::start(engine_options(options, model->plan), [&] {
                     return make_runner(file, model->plan);
                   }));
  return model;
}

}  // namespace pippin::service
