// The keys of a configuration: what read_model_config() reads, the other way round.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "store/gguf_folder_writer.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

class ConfigWriter {
 public:
  ConfigWriter(const ModelConfig& config, const GgufForm& form, GgufMetadata& metadata)
      : config_(config), form_(form), metadata_(metadata) {}

  Result<void> run() {
    RETURN_IF_ERROR(refuse_unwritten());
    add_sizes();
    RETURN_IF_ERROR(add_rope());
    add_window();
    RETURN_IF_ERROR(add_scales());
    return add_experts();
  }

 private:
  Error unsupported(std::string_view what) const {
    return fail(Code::kUnsupported,
                fmt::format("[convert] {}: a GGUF file of architecture {} cannot say {}",
                            config_.path, quoted(config_.architecture), what),
                "--to");
  }
  std::string key(std::string_view name) const {
    return fmt::format("{}.{}", config_.architecture, name);
  }
  void add(std::string_view name, int value) {
    metadata_.add(key(name), static_cast<uint32_t>(value));
  }
  void add_real(std::string_view name, double value) {
    metadata_.add(key(name), static_cast<float>(value));
  }
  void add_if(std::string_view name, float value) {
    if (value != 0) metadata_.add(key(name), value);
  }
  // One number where all layers agree.
  void add_per_layer(std::string_view name, const std::vector<int>& values) {
    if (std::ranges::adjacent_find(values, std::not_equal_to<>()) == values.end())
      return add(name, values.front());
    metadata_.add(key(name), std::span<const int32_t>(values));
  }

  // Families that have these are none of those that are converted; a folder may say anything.
  Result<void> refuse_unwritten() const {
    const std::pair<bool, std::string_view> kUnwritten[] = {
        {config_.recurrent.any(), "recurrent layers"},
        {config_.latent.rank > 0, "compressed keys and values"},
        {config_.streams.count > 0, "several residual streams"},
        {config_.layer_input > 0, "embeddings of each layer"},
        {config_.head_dim_window > 0 || config_.shared_kv_layers > 0, "layers that differ"},
        {!config_.xielu.empty() || !config_.gate_deviations.empty(), "such an activation"},
        {config_.chunk > 0 || config_.plain_qk_norm, "chunked attention"},
        {config_.query_scale_beta != 0, "queries that grow with their position"},
        {config_.parallel_residual.has_value(), "parallel residuals"},
    };
    for (const auto& [is_there, what] : kUnwritten)
      if (is_there) return unsupported(what);
    return {};
  }

  void add_sizes() {
    add("vocab_size", config_.vocab_size);
    add("context_length", config_.context_length);
    add("embedding_length", config_.embedding_length);
    add("block_count", config_.layers);
    add_per_layer("feed_forward_length", config_.feed_forward);
    add_per_layer("attention.head_count", config_.heads);
    add_per_layer("attention.head_count_kv", config_.kv_heads);
    add("attention.key_length", config_.head_dim_k);
    add("attention.value_length", config_.head_dim_v);
    add_real(config_.norm == NormKind::kLayer ? "attention.layer_norm_epsilon"
                                              : "attention.layer_norm_rms_epsilon",
             config_.norm_eps);
  }

  Result<void> add_rope() {
    const RopeConfig& rope = config_.rope;
    add("rope.dimension_count", rope.dims);
    add_real("rope.freq_base", rope.freq_base);
    if (rope.freq_base_window > 0) add_real("rope.freq_base_swa", rope.freq_base_window);
    for (size_t i = 0; i < rope.layers.size(); ++i) {
      const int period = form_.rope_skip_period;
      if (rope.layers[i] != (period <= 0 || (static_cast<int>(i) + 1) % period != 0))
        return unsupported(fmt::format("which layers have a rope, as layer {} is not usual", i));
    }
    return add_rope_scaling();
  }

  Result<void> add_rope_scaling() {
    const RopeConfig& rope = config_.rope;
    if (rope.scaling == RopeScaling::kNone) return {};
    const char* const names[] = {"none", "linear", "yarn", "longrope"};
    metadata_.add(key("rope.scaling.type"), names[static_cast<size_t>(rope.scaling)]);
    if (rope.scaling != RopeScaling::kLongRope) add_real("rope.scaling.factor", rope.factor);
    if (rope.scaling == RopeScaling::kLinear) return {};
    add("rope.scaling.original_context_length", rope.original_context);
    if (rope.scaling == RopeScaling::kLongRope) {
      add_real("rope.scaling.attn_factor", rope.attention_factor);
      return {};
    }
    add_real("rope.scaling.yarn_beta_fast", rope.yarn_beta_fast);
    add_real("rope.scaling.yarn_beta_slow", rope.yarn_beta_slow);
    // Readers take this magnitude where none is said.
    const double usual = rope.factor > 1 ? 0.1 * std::log(rope.factor) + 1 : 1;
    if (std::abs(rope.attention_factor - usual) > 1e-6 * usual)
      return unsupported(fmt::format("YaRN's attention_factor {}", rope.attention_factor));
    return rope.yarn_truncate ? Result<void>() : unsupported("YaRN's truncate");
  }

  void add_window() {
    const std::vector<bool>& windowed = config_.windowed_layers;
    if (windowed.empty() && !form_.has_windows) return;
    add("attention.sliding_window", config_.sliding_window);
    metadata_.add(key("attention.sliding_window_pattern"),
                  windowed.empty() || config_.sliding_window == 0
                      ? std::vector<bool>(static_cast<size_t>(config_.layers), false)
                      : windowed);
  }

  Result<void> add_scales() {
    const float scale = config_.attention_scale;
    if (form_.scale_key) {
      add_if("attention.scale", scale);
    } else if (scale != 0 && std::abs(scale - form_.attention_scale) > 1e-6f * scale) {
      return unsupported(fmt::format("that scores are scaled by {}", scale));
    }
    add_if("attn_logit_softcapping", config_.attention_soft_cap);
    add_if("final_logit_softcapping", config_.logit_soft_cap);
    add_if("logit_scale", config_.logit_scale);
    add_if("residual_scale", config_.residual_scale);
    add_if("embedding_scale", config_.embedding_scale);
    return {};
  }

  Result<void> add_experts() {
    const ExpertConfig& experts = config_.experts;
    if (experts.count == 0) return {};
    add("expert_count", experts.count);
    add("expert_used_count", experts.used);
    if (experts.feed_forward > 0) add("expert_feed_forward_length", experts.feed_forward);
    if (experts.shared > 0) add("expert_shared_count", experts.shared);
    if (experts.shared_feed_forward > 0)
      add("expert_shared_feed_forward_length", experts.shared_feed_forward);
    if (experts.groups > 1) return unsupported("groups of experts");
    if (experts.gating != ExpertGating::kUnsaid)
      return unsupported("how its router weighs experts");
    if (experts.leading_dense_layers > 0) return unsupported("layers without experts");
    if (experts.scale != 0 && experts.scale != 1) return unsupported("a scale of experts' weights");
    if (experts.normalise.value_or(form_.normalises) != form_.normalises)
      return unsupported(fmt::format("norm_topk_prob {}", *experts.normalise));
    return {};
  }

  const ModelConfig& config_;
  const GgufForm& form_;
  GgufMetadata& metadata_;
};

}  // namespace

Result<void> add_config(const ModelConfig& config, const GgufForm& form, GgufMetadata& metadata) {
  return ConfigWriter(config, form, metadata).run();
}

}  // namespace pippin::store
