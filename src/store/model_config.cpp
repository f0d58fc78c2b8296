#include "store/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "store/config_limits.h"
#include "store/gguf_parse.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

constexpr size_t kNameBytesMax = 512;

bool is_printable_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const int tail = lead < 0x80       ? 0
                     : lead >> 5 == 6  ? 1
                     : lead >> 4 == 14 ? 2
                     : lead >> 3 == 30 ? 3
                                       : -1;
    if (tail < 0 || i + static_cast<size_t>(tail) >= text.size() || lead < 0x20 || lead == 0x7f)
      return false;
    uint32_t point = tail == 0 ? lead : lead & (0x3fu >> tail);
    for (int k = 1; k <= tail; ++k) {
      const auto next = static_cast<unsigned char>(text[i + static_cast<size_t>(k)]);
      if (next >> 6 != 2) return false;
      point = point << 6 | (next & 0x3fu);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};  // shorter forms exist below
    const bool control = point >= 0x80 && point < 0xa0,
               surrogate = point >= 0xd800 && point < 0xe000;
    if (point < kLeast[tail] || point > 0x10ffff || control || surrogate) return false;
    i += static_cast<size_t>(tail) + 1;
  }
  return true;
}

class ConfigReader {
 public:
  explicit ConfigReader(const GgufFile& file) : file_(file) {}

  Result<ModelConfig> run();

 private:
  Result<void> read_names();
  Result<void> read_sizes();
  Result<void> read_vocab_size();
  Result<void> read_heads();
  Result<void> read_norm();
  Result<void> read_rope();
  Result<void> read_rope_scaling();
  Result<void> read_window();
  Result<void> read_scales();
  Result<void> read_experts();
  Result<void> read_recurrent();
  Result<void> read_recurrent_layers();
  Result<void> read_latent();
  Result<void> read_layer_kinds();
  Result<void> read_xielu();

  std::string key(std::string_view name) const {
    return fmt::format("{}.{}", config_.architecture, name);
  }
  bool has(std::string_view name) const { return file_.find(key(name)) != nullptr; }
  Error wrong(const std::string& full_key, std::string_view what,
              Code code = Code::kInvalidFile) const {
    Error error = gguf_error(code, file_.path(), fmt::format("key {}: {}", quoted(full_key), what));
    error.param = full_key;
    return error;
  }

  Result<int> within(const std::string& full_key, int64_t value, int min, int max) const;
  Result<int> size(std::string_view name, int min, int max) const;
  Result<int> size_or(std::string_view name, int min, int max, int otherwise) const;
  Result<std::vector<int>> size_per_layer(std::string_view name, int min, int max) const;
  Result<void> check_length(std::string_view name, size_t elements) const;
  Result<std::vector<bool>> flag_per_layer(std::string_view name) const;
  Result<double> real_or(std::string_view name, double min, double max, double otherwise) const;
  Result<float> scale_or(std::string_view name, double otherwise) const;

  const GgufFile& file_;
  ModelConfig config_;
  int blocks_ = 0;  // layers, and behind them those that predict further tokens
};

Result<int> ConfigReader::within(const std::string& full_key, int64_t value, int min,
                                 int max) const {
  if (value >= min && value <= max) return static_cast<int>(value);
  return wrong(full_key, fmt::format("expected {} to {}, but found {}", min, max, value));
}

Result<int> ConfigReader::size(std::string_view name, int min, int max) const {
  ASSIGN_OR_RETURN(const int64_t value, file_.integer(key(name)));
  return within(key(name), value, min, max);
}

Result<int> ConfigReader::size_or(std::string_view name, int min, int max, int otherwise) const {
  return has(name) ? size(name, min, max) : Result<int>(otherwise);
}

// Arrays have an element for each block; those that predict further tokens may be left out.
Result<void> ConfigReader::check_length(std::string_view name, size_t elements) const {
  if (elements == static_cast<size_t>(blocks_) || elements == static_cast<size_t>(config_.layers))
    return {};
  return wrong(key(name),
               fmt::format("expected {} elements, one per layer, but found {}", blocks_, elements));
}

// One number for all layers, or an array of one for each.
Result<std::vector<int>> ConfigReader::size_per_layer(std::string_view name, int min,
                                                      int max) const {
  const auto layers = static_cast<size_t>(config_.layers);
  const GgufValue* value = file_.find(key(name));
  if (!value || !std::holds_alternative<GgufArray>(*value)) {
    ASSIGN_OR_RETURN(const int same, size(name, min, max));
    return std::vector<int>(layers, same);
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t>* each, file_.integers(key(name)));
  RETURN_IF_ERROR(check_length(name, each->size()));
  std::vector<int> sizes;
  for (size_t i = 0; i < layers; ++i) {
    ASSIGN_OR_RETURN(const int checked, within(key(name), (*each)[i], min, max));
    sizes.push_back(checked);
  }
  return sizes;
}

Result<std::vector<bool>> ConfigReader::flag_per_layer(std::string_view name) const {
  const GgufValue* value = file_.find(key(name));
  const auto* array = value ? std::get_if<GgufArray>(value) : nullptr;
  std::vector<bool> flags;
  if (const auto* bools = array ? std::get_if<std::vector<bool>>(array) : nullptr) {
    flags = *bools;
  } else if (const auto* numbers = array ? std::get_if<std::vector<int64_t>>(array) : nullptr) {
    for (const int64_t number : *numbers) flags.push_back(number != 0);
  } else {
    return wrong(key(name), "expected an integer or an array of bools");
  }
  RETURN_IF_ERROR(check_length(name, flags.size()));
  flags.resize(static_cast<size_t>(config_.layers));
  return flags;
}

Result<double> ConfigReader::real_or(std::string_view name, double min, double max,
                                     double otherwise) const {
  ASSIGN_OR_RETURN(const double value, file_.number_or(key(name), otherwise));
  if (!has(name) || (value >= min && value <= max)) return value;  // NaN is outside
  return wrong(key(name), fmt::format("expected {} to {}, but found {}", min, max, value));
}

Result<float> ConfigReader::scale_or(std::string_view name, double otherwise) const {
  ASSIGN_OR_RETURN(const double value, real_or(name, 0, kScaleMax, otherwise));
  return static_cast<float>(value);
}

Result<void> ConfigReader::read_names() {
  constexpr std::string_view kKey = "general.architecture";
  ASSIGN_OR_RETURN(const std::string_view architecture, file_.string(kKey));
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  if (architecture.empty() || architecture.size() > 64 ||
      !std::ranges::all_of(architecture, plain)) {
    return wrong(std::string(kKey),
                 fmt::format("expected a lower-case name of 1 to 64 bytes, but found {}",
                             quoted(architecture)));
  }
  config_.architecture = architecture;
  if (file_.find("general.name")) {
    ASSIGN_OR_RETURN(const std::string_view name, file_.string("general.name"));
    if (name.size() <= kNameBytesMax && is_printable_utf8(name)) config_.name = name;
  }
  ASSIGN_OR_RETURN(const int64_t parts, file_.integer_or("split.count", 1));
  if (parts > 1) {
    return wrong(
        "split.count",
        fmt::format("this is one of {} files of a split model, which are not read yet", parts),
        Code::kUnsupported);
  }
  return {};
}

// The tensor decides, because logits have its rows; vocab_size is absent from many files and
// rounded in some.
Result<void> ConfigReader::read_vocab_size() {
  constexpr const char* kTokens = "tokenizer.ggml.tokens";
  if (const TensorView* embedding = file_.tensor("token_embd.weight")) {
    if (embedding->shape.size() != 2 || embedding->shape[0] > kVocabMax) {
      return gguf_error(
          Code::kInvalidFile, file_.path(),
          fmt::format("tensor 'token_embd.weight': expected two dimensions and at most {} rows",
                      kVocabMax));
    }
    config_.vocab_size = static_cast<int>(embedding->shape[0]);
    return {};
  }
  if (has("vocab_size") || !file_.find(kTokens)) {
    ASSIGN_OR_RETURN(config_.vocab_size, size("vocab_size", 1, kVocabMax));
    return {};
  }
  ASSIGN_OR_RETURN(const std::vector<std::string_view>* tokens, file_.strings(kTokens));
  ASSIGN_OR_RETURN(config_.vocab_size,
                   within(kTokens, static_cast<int64_t>(tokens->size()), 1, kVocabMax));
  return {};
}

Result<void> ConfigReader::read_sizes() {
  ASSIGN_OR_RETURN(blocks_, size("block_count", 1, kLayersMax));
  ASSIGN_OR_RETURN(const int further, size_or("nextn_predict_layers", 0, blocks_ - 1, 0));
  config_.layers = blocks_ - further;
  ASSIGN_OR_RETURN(config_.embedding_length, size("embedding_length", 1, kWidthMax));
  ASSIGN_OR_RETURN(config_.context_length, size("context_length", 1, kContextMax));
  RETURN_IF_ERROR(read_vocab_size());
  config_.tied_output = file_.tensor("output.weight") == nullptr;
  RETURN_IF_ERROR(read_experts());
  RETURN_IF_ERROR(read_recurrent());
  const bool optional = config_.experts.count > 0 || config_.recurrent.any();
  if (optional && !has("feed_forward_length")) {
    config_.feed_forward.assign(static_cast<size_t>(config_.layers), 0);
    return {};
  }
  ASSIGN_OR_RETURN(config_.feed_forward,
                   size_per_layer("feed_forward_length", optional ? 0 : 1, kFeedForwardMax));
  return {};
}

Result<void> ConfigReader::read_heads() {
  // A layer of a recurrent model may have no attention.
  const int min = config_.recurrent.any() ? 0 : 1;
  ASSIGN_OR_RETURN(config_.heads, size_per_layer("attention.head_count", min, kHeadsMax));
  config_.kv_heads = config_.heads;
  if (has("attention.head_count_kv")) {
    ASSIGN_OR_RETURN(config_.kv_heads, size_per_layer("attention.head_count_kv", min, kHeadsMax));
  }
  for (size_t i = 0; i < config_.heads.size(); ++i) {
    if (config_.kv_heads[i] > 0 && config_.heads[i] % config_.kv_heads[i] != 0) {
      return wrong(key("attention.head_count_kv"),
                   fmt::format("expected a divisor of the {} heads of layer {}, but found {}",
                               config_.heads[i], i, config_.kv_heads[i]));
    }
  }
  RETURN_IF_ERROR(read_recurrent_layers());
  const auto first = std::ranges::find_if(config_.heads, [](int count) { return count > 0; });
  if (first == config_.heads.end()) return {};  // no layer has attention
  const int heads = *first;
  const bool divides = config_.embedding_length % heads == 0;
  if (!divides && !(has("attention.key_length") && has("attention.value_length"))) {
    return wrong(key("attention.head_count"),
                 fmt::format("expected a divisor of the embedding length {}, but found {}",
                             config_.embedding_length, heads));
  }
  const int natural = std::clamp(config_.embedding_length / heads, 1, kHeadDimMax);
  ASSIGN_OR_RETURN(config_.head_dim_k, size_or("attention.key_length", 1, kHeadDimMax, natural));
  ASSIGN_OR_RETURN(config_.head_dim_v, size_or("attention.value_length", 1, kHeadDimMax, natural));
  return read_layer_kinds();
}

// What Gemma 3n and 4 have: heads that differ, layers without keys, inputs of each layer.
Result<void> ConfigReader::read_layer_kinds() {
  ASSIGN_OR_RETURN(config_.head_dim_window, size_or("attention.key_length_swa", 1, kHeadDimMax, 0));
  ASSIGN_OR_RETURN(const int values,
                   size_or("attention.value_length_swa", 1, kHeadDimMax, config_.head_dim_window));
  if (values != config_.head_dim_window)
    return wrong(key("attention.value_length_swa"), "keys and values that differ in length",
                 Code::kUnsupported);
  ASSIGN_OR_RETURN(config_.shared_kv_layers,
                   size_or("attention.shared_kv_layers", 0, config_.layers - 1, 0));
  ASSIGN_OR_RETURN(config_.layer_input,
                   size_or("embedding_length_per_layer_input", 0, kWidthMax, 0));
  StreamConfig& streams = config_.streams;
  ASSIGN_OR_RETURN(streams.count, size_or("altup.num_inputs", 2, 64, 0));
  ASSIGN_OR_RETURN(streams.active,
                   size_or("altup.active_idx", 0, std::max(streams.count - 1, 0), 0));
  const TensorView* laurel = file_.tensor("blk.0.laurel_l.weight");
  if (laurel != nullptr && !laurel->shape.empty())
    streams.laurel_rank = static_cast<int>(std::min<int64_t>(laurel->shape[0], kWidthMax));
  constexpr const char* kSparsity = "activation_sparsity_scale";
  if (has(kSparsity)) {
    ASSIGN_OR_RETURN(const std::vector<double>* each, file_.numbers(key(kSparsity)));
    RETURN_IF_ERROR(check_length(kSparsity, each->size()));
    config_.gate_deviations.assign(each->begin(), each->end());
  }
  const TensorView* table = file_.tensor("per_layer_token_embd.weight");
  config_.layer_input_vocab = config_.vocab_size;
  if (table != nullptr && table->shape.size() == 2 && table->shape[0] <= kVocabMax)
    config_.layer_input_vocab = static_cast<int>(table->shape[0]);
  return {};
}

// Newer files say how long keys and values of a head are beside what is kept of them.
Result<void> ConfigReader::read_xielu() {
  std::vector<XieluConfig>& xielu = config_.xielu;
  if (file_.find("xielu.alpha_p") == nullptr) return {};
  xielu.resize(static_cast<size_t>(config_.layers));
  for (const auto& [name, field] : {std::pair("xielu.alpha_p", &XieluConfig::alpha_p),
                                    {"xielu.alpha_n", &XieluConfig::alpha_n},
                                    {"xielu.beta", &XieluConfig::beta},
                                    {"xielu.eps", &XieluConfig::eps}}) {
    ASSIGN_OR_RETURN(const std::vector<double>* each, file_.numbers(name));
    if (each->size() != xielu.size())
      return wrong(name, fmt::format("expected {} elements, one per layer, but found {}",
                                     xielu.size(), each->size()));
    for (size_t i = 0; i < xielu.size(); ++i) xielu[i].*field = static_cast<float>((*each)[i]);
  }
  return {};
}

Result<void> ConfigReader::read_latent() {
  LatentConfig& latent = config_.latent;
  ASSIGN_OR_RETURN(latent.rank, size_or("attention.kv_lora_rank", 0, kWidthMax, 0));
  if (latent.rank == 0) return {};
  ASSIGN_OR_RETURN(latent.query_rank, size_or("attention.q_lora_rank", 0, kWidthMax, 0));
  ASSIGN_OR_RETURN(const int key_length,
                   size_or("attention.key_length_mla", 1, kHeadDimMax, config_.head_dim_k));
  ASSIGN_OR_RETURN(latent.value,
                   size_or("attention.value_length_mla", 1, kHeadDimMax, config_.head_dim_v));
  latent.plain = key_length - config_.rope.dims;
  if (latent.plain < 1)
    return wrong(this->key("attention.key_length_mla"),
                 fmt::format("expected more than the {} rotated dims, but "
                             "found {}",
                             config_.rope.dims, key_length));
  IndexConfig& index = latent.index;
  ASSIGN_OR_RETURN(index.heads, size_or("attention.indexer.head_count", 1, kHeadsMax, 0));
  ASSIGN_OR_RETURN(index.dim, size_or("attention.indexer.key_length", 1, kHeadDimMax, 0));
  ASSIGN_OR_RETURN(index.top, size_or("attention.indexer.top_k", 1, kIndexTopMax, 0));
  if (has("attention.indexer.types")) {
    ASSIGN_OR_RETURN(index.layers, flag_per_layer("attention.indexer.types"));
  }
  return {};
}

Result<void> ConfigReader::read_norm() {
  constexpr const char *kRms = "attention.layer_norm_rms_epsilon",
                       *kLayer = "attention.layer_norm_epsilon";
  const bool layer_norm = has(kLayer) && !has(kRms);
  const char* name = layer_norm ? kLayer : kRms;
  config_.norm = layer_norm ? NormKind::kLayer : NormKind::kRms;
  RETURN_IF_ERROR(file_.number(key(name)));
  ASSIGN_OR_RETURN(const double eps, real_or(name, 0, kNormEpsMax, 0));
  config_.norm_eps = static_cast<float>(eps);
  return {};
}

Result<void> ConfigReader::read_rope() {
  RopeConfig& rope = config_.rope;
  // Absent, an odd head rotates what pairs it has.
  ASSIGN_OR_RETURN(rope.dims, size_or("rope.dimension_count", 0, config_.head_dim_k,
                                      config_.head_dim_k / 2 * 2));
  if (rope.dims % 2 != 0) {
    return wrong(key("rope.dimension_count"),
                 fmt::format("expected an even number, but found {}", rope.dims));
  }
  ASSIGN_OR_RETURN(rope.dims_window,
                   size_or("rope.dimension_count_swa", 0,
                           std::max(config_.head_dim_window, config_.head_dim_k), 0));
  if (rope.dims_window % 2 != 0)
    return wrong(key("rope.dimension_count_swa"),
                 fmt::format("expected an even number, but found {}", rope.dims_window));
  ASSIGN_OR_RETURN(rope.freq_base, real_or("rope.freq_base", 1, kRopeBaseMax, rope.freq_base));
  ASSIGN_OR_RETURN(rope.freq_base_window, real_or("rope.freq_base_swa", 1, kRopeBaseMax, 0));
  constexpr const char* kPattern = "attention.rope_pattern";  // which layers have a rope
  if (has(kPattern)) {
    ASSIGN_OR_RETURN(rope.layers, flag_per_layer(kPattern));
  }
  return read_rope_scaling();
}

// YaRN sharpens attention with the logarithm of the factor; where the file says by how much scores
// are multiplied already, by the rest.
double yarn_magnitude(const RopeConfig& rope) {
  const double sharper = 0.1 * std::log(rope.factor);
  return (sharper + 1) / (rope.yarn_log_multiplier * sharper + 1);
}

Result<void> ConfigReader::read_rope_scaling() {
  RopeConfig& rope = config_.rope;
  const char* factor_name =
      has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";  // the older name
  ASSIGN_OR_RETURN(const double factor, real_or(factor_name, 0, kScaleMax, 1));
  rope.factor = factor == 0 ? 1 : factor;  // writers put 0 for none
  const std::string type_key = key("rope.scaling.type");
  std::string_view type = rope.factor == 1 ? "none" : "linear";
  if (file_.find(type_key)) {
    ASSIGN_OR_RETURN(type, file_.string(type_key));
  }
  if (type == "none") {
    rope.factor = 1;
  } else if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else if (type == "longrope") {
    rope.scaling = RopeScaling::kLongRope;
  } else {
    return wrong(type_key,
                 fmt::format("expected none, linear, yarn or longrope, but found {}", quoted(type)),
                 Code::kUnsupported);
  }
  ASSIGN_OR_RETURN(rope.original_context, size_or("rope.scaling.original_context_length", 1,
                                                  kContextMax, config_.context_length));
  ASSIGN_OR_RETURN(rope.attention_factor, real_or("rope.scaling.attn_factor", 0, kScaleMax, 1));
  ASSIGN_OR_RETURN(rope.yarn_beta_fast,
                   real_or("rope.scaling.yarn_beta_fast", 0, kScaleMax, rope.yarn_beta_fast));
  ASSIGN_OR_RETURN(rope.yarn_beta_slow,
                   real_or("rope.scaling.yarn_beta_slow", 0, kScaleMax, rope.yarn_beta_slow));
  ASSIGN_OR_RETURN(rope.yarn_log_multiplier,
                   real_or("rope.scaling.yarn_log_multiplier", -kScaleMax, kScaleMax, 0));
  ASSIGN_OR_RETURN(rope.finetuned, file_.boolean_or(key("rope.scaling.finetuned"), false));
  if (file_.tensor("rope_factors_long.weight") != nullptr)
    rope.scaling = RopeScaling::kLongRope;
  else if (rope.scaling == RopeScaling::kYarn && rope.factor > 1)
    rope.attention_factor *= yarn_magnitude(rope);
  return {};
}

Result<void> ConfigReader::read_window() {
  constexpr const char* kWindow = "attention.sliding_window";
  ASSIGN_OR_RETURN(config_.sliding_window, size_or(kWindow, 0, kContextMax, 0));
  if (has(kWindow) && config_.sliding_window == 0)
    config_.windowed_layers.assign(static_cast<size_t>(config_.layers), false);
  constexpr const char* kPattern = "attention.sliding_window_pattern";
  const GgufValue* pattern = file_.find(key(kPattern));
  if (pattern != nullptr && std::holds_alternative<GgufArray>(*pattern)) {
    ASSIGN_OR_RETURN(config_.windowed_layers, flag_per_layer(kPattern));
  } else {
    ASSIGN_OR_RETURN(config_.window_period, size_or(kPattern, 0, kLayersMax, 0));
  }
  return {};
}

Result<void> ConfigReader::read_scales() {
  ASSIGN_OR_RETURN(config_.attention_scale, scale_or("attention.scale", 0));
  ASSIGN_OR_RETURN(config_.attention_soft_cap, scale_or("attn_logit_softcapping", 0));
  ASSIGN_OR_RETURN(config_.query_scale_beta, scale_or("attention.temperature_scale", 0));
  config_.query_scale_positions = config_.rope.original_context;
  if (has("use_parallel_residual")) {
    ASSIGN_OR_RETURN(config_.parallel_residual,
                     file_.boolean_or(key("use_parallel_residual"), false));
  }
  ASSIGN_OR_RETURN(config_.logit_soft_cap, scale_or("final_logit_softcapping", 0));
  ASSIGN_OR_RETURN(config_.logit_scale, scale_or("logit_scale", 0));
  ASSIGN_OR_RETURN(config_.residual_scale, scale_or("residual_scale", 0));
  ASSIGN_OR_RETURN(config_.embedding_scale, scale_or("embedding_scale", 0));
  return {};
}

Result<void> ConfigReader::read_experts() {
  ExpertConfig& experts = config_.experts;
  ASSIGN_OR_RETURN(experts.count, size_or("expert_count", 0, kExpertsMax, 0));
  if (experts.count > 0) {
    ASSIGN_OR_RETURN(experts.used, size("expert_used_count", 1, experts.count));
  }
  ASSIGN_OR_RETURN(experts.shared, size_or("expert_shared_count", 0, kExpertsMax, 0));
  if (has("expert_feed_forward_length")) {
    ASSIGN_OR_RETURN(const std::vector<int> each,
                     size_per_layer("expert_feed_forward_length", 0, kFeedForwardMax));
    experts.feed_forward = *std::ranges::max_element(each);
    const auto other = [&](int n) { return n != 0 && n != experts.feed_forward; };
    if (std::ranges::any_of(each, other))
      return wrong(key("expert_feed_forward_length"), "layers whose experts differ in size",
                   Code::kUnsupported);
  }
  ASSIGN_OR_RETURN(experts.shared_feed_forward,
                   size_or("expert_shared_feed_forward_length", 0, kFeedForwardMax, 0));
  ASSIGN_OR_RETURN(experts.leading_dense_layers,
                   size_or("leading_dense_block_count", 0, config_.layers, 0));
  ASSIGN_OR_RETURN(experts.groups, size_or("expert_group_count", 0, kExpertsMax, 0));
  ASSIGN_OR_RETURN(experts.groups_used, size_or("expert_group_used_count", 0, experts.groups, 0));
  ASSIGN_OR_RETURN(const int gating, size_or("expert_gating_func", 0, 255, 0));
  if (gating > static_cast<int>(ExpertGating::kSelectedSoftmax))
    return wrong(key("expert_gating_func"),
                 fmt::format("a router of kind {} is not supported", gating), Code::kUnsupported);
  experts.gating = static_cast<ExpertGating>(gating);
  if (has("expert_weights_norm")) {
    ASSIGN_OR_RETURN(experts.normalise, file_.boolean_or(key("expert_weights_norm"), false));
  }
  ASSIGN_OR_RETURN(experts.scale, scale_or("expert_weights_scale", 0));
  return {};
}

Result<void> ConfigReader::read_recurrent() {
  RecurrentConfig& recurrent = config_.recurrent;
  ASSIGN_OR_RETURN(recurrent.conv_taps, size_or("ssm.conv_kernel", 2, kConvTapsMax, 0));
  ASSIGN_OR_RETURN(recurrent.conv_taps,
                   size_or("shortconv.l_cache", 2, kConvTapsMax, recurrent.conv_taps));
  ASSIGN_OR_RETURN(recurrent.inner, size_or("ssm.inner_size", 1, kWidthMax, 0));
  ASSIGN_OR_RETURN(recurrent.state, size_or("ssm.state_size", 1, kHeadDimMax, 0));
  ASSIGN_OR_RETURN(recurrent.groups, size_or("ssm.group_count", 0, kHeadsMax, 0));
  ASSIGN_OR_RETURN(recurrent.time_step_rank, size_or("ssm.time_step_rank", 1, kWidthMax, 0));
  ASSIGN_OR_RETURN(recurrent.step_norms, file_.boolean_or(key("ssm.dt_b_c_rms"), false));
  return {};
}

// Files list them, or say which layers attend, or give these alone heads of keys.
Result<void> ConfigReader::read_recurrent_layers() {
  RecurrentConfig& recurrent = config_.recurrent;
  if (!recurrent.any()) return {};
  const auto layers = static_cast<size_t>(config_.layers);
  if (has("attention.recurrent_layers")) {
    ASSIGN_OR_RETURN(recurrent.layers, flag_per_layer("attention.recurrent_layers"));
    return {};
  }
  ASSIGN_OR_RETURN(const int period, size_or("full_attention_interval", 0, kLayersMax, 0));
  recurrent.layers.resize(layers);
  for (size_t i = 0; i < layers; ++i) {
    recurrent.layers[i] =
        period > 0 ? (i + 1) % static_cast<size_t>(period) != 0 : config_.kv_heads[i] == 0;
  }
  return {};
}

Result<ModelConfig> ConfigReader::run() {
  config_.path = file_.path();
  RETURN_IF_ERROR(read_names());
  RETURN_IF_ERROR(read_sizes());
  RETURN_IF_ERROR(read_heads());
  RETURN_IF_ERROR(read_norm());
  RETURN_IF_ERROR(read_rope());
  RETURN_IF_ERROR(read_latent());
  RETURN_IF_ERROR(read_xielu());
  RETURN_IF_ERROR(read_window());
  RETURN_IF_ERROR(read_scales());
  return std::move(config_);
}

}  // namespace

Result<ModelConfig> read_model_config(const GgufFile& file) { return ConfigReader(file).run(); }

}  // namespace pippin::store
