#include "models/text/decoder.h"

#include <cmath>

#include <fmt/format.h>

#include "mlx/ops.h"

namespace pippin::models {
namespace {

namespace mx = mlx::core;

// Whether a layer sees all positions. The file's own word comes before the family's habit.
bool is_global(const store::ModelConfig& config, const DecoderOptions& options, int layer) {
  if (config.sliding_window <= 0) return true;
  if (!config.windowed_layers.empty()) return !config.windowed_layers[static_cast<size_t>(layer)];
  const int period = config.window_period > 0 ? config.window_period : options.window_period;
  return period <= 0 || (layer + 1) % period == 0;
}

// What this decoder cannot do is refused before a weight is read.
Result<void> check_supported(const store::ModelConfig& config, const DecoderOptions& options) {
  const auto unsupported = [&](std::string what, std::string key) {
    return fail(Code::kUnsupported, fmt::format("[model] {}: {}", config.path, what),
                config.architecture + "." + key);
  };
  if (config.head_dim_k != config.head_dim_v) {
    return unsupported(fmt::format("keys of {} and values of {} dimensions are not supported yet",
                                   config.head_dim_k, config.head_dim_v),
                       "attention.value_length");
  }
  if (config.head_dim_k % 16 != 0 || config.head_dim_k > nn::kHeadDimMax) {
    return unsupported(
        fmt::format("head dimensions must be multiples of 16 up to 1024, this file has {}",
                    config.head_dim_k),
        "attention.key_length");
  }
  if (config.rope.scaling != store::RopeScaling::kNone &&
      config.rope.scaling != store::RopeScaling::kLinear) {
    return unsupported("YaRN and LongRoPE are not supported yet", "rope.scaling.type");
  }
  if (config.experts.count > 0)
    return unsupported("mixtures of experts are not supported yet", "expert_count");
  if (config.norm != store::NormKind::kRms)
    return unsupported("layer norm is not supported yet", "attention.layer_norm_epsilon");
  const std::pair<const char*, float> factors[] = {{"embedding_scale", config.embedding_scale},
                                                   {"residual_scale", config.residual_scale},
                                                   {"logit_scale", config.logit_scale}};
  for (const auto& [key, factor] : factors) {
    if (!options.scales && factor != 0 && factor != 1)
      return unsupported(
          fmt::format("a factor of {} is not supported in this architecture", factor), key);
  }
  return {};
}

// Angle per position of each rotated pair. Linear scaling stretches positions; `factors` are a
// file's own divisors (Llama 3.1 and LongRoPE).
std::vector<float> inverse_frequencies(int dims, double base, double stretch,
                                       const std::vector<float>& factors) {
  std::vector<float> inv(static_cast<size_t>(dims / 2));
  for (size_t i = 0; i < inv.size(); ++i) {
    double frequency = std::pow(base, -2.0 * static_cast<double>(i) / dims) / stretch;
    if (!factors.empty()) frequency /= static_cast<double>(factors[i]);
    inv[i] = static_cast<float>(frequency);
  }
  return inv;
}

}  // namespace

Result<ModelSpec> Decoder::make_spec(const store::ModelConfig& config,
                                     const DecoderOptions& options) {
  RETURN_IF_ERROR(check_supported(config, options));
  ModelSpec spec;
  spec.architecture = config.architecture;
  spec.vocab = config.vocab_size;
  spec.context_tokens_max = config.context_length;
  for (int i = 0; i < config.layers; ++i) {
    const int window = is_global(config, options, i) ? 0 : config.sliding_window;
    spec.layers.push_back({config.kv_heads[static_cast<size_t>(i)], config.head_dim_k, window});
  }
  return spec;
}

nn::AttentionSpec Decoder::attention_spec(const store::ModelConfig& config, int index,
                                          const std::vector<float>& rope_factors) const {
  nn::AttentionSpec spec;
  spec.heads = config.heads[static_cast<size_t>(index)];
  spec.kv_heads = config.kv_heads[static_cast<size_t>(index)];
  spec.head_dim = config.head_dim_k;
  spec.scale = config.attention_scale > 0 ? config.attention_scale
                                          : 1.0f / std::sqrt(static_cast<float>(spec.head_dim));
  spec.soft_cap = config.attention_soft_cap;
  spec.norm_eps = config.norm_eps;
  spec.rope_interleaved = options_.rope_interleaved;
  spec.rope_dims = config.rope.dims;
  spec.window = spec_.layers[static_cast<size_t>(index)].window;
  const bool global = spec.window == 0;
  double base = config.rope.freq_base;
  if (!global) {
    if (config.rope.freq_base_window > 0)
      base = config.rope.freq_base_window;
    else if (options_.window_rope_base > 0)
      base = options_.window_rope_base;
  }
  const double stretch =
      global && config.rope.scaling == store::RopeScaling::kLinear ? config.rope.factor : 1.0;
  spec.inv_freq = inverse_frequencies(spec.rope_dims, base, stretch,
                                      global ? rope_factors : std::vector<float>{});
  return spec;
}

Result<Decoder::Layer> Decoder::load_layer(WeightLoader& weights, const store::ModelConfig& config,
                                           int index,
                                           const std::vector<float>& rope_factors) const {
  const std::string prefix = fmt::format("blk.{}.", index);
  const int width = config.embedding_length, ff = config.feed_forward[static_cast<size_t>(index)];
  Layer layer;
  layer.attention = attention_spec(config, index, rope_factors);
  const int q = layer.attention.heads * layer.attention.head_dim,
            kv = layer.attention.kv_heads * layer.attention.head_dim;
  if (options_.pre_norms) {
    ASSIGN_OR_RETURN(layer.attention_norm,
                     weights.norm(prefix + "attn_norm.weight", width, config.norm_eps));
    ASSIGN_OR_RETURN(layer.feed_forward_norm,
                     weights.norm(prefix + "ffn_norm.weight", width, config.norm_eps));
  }
  if (options_.post_norms) {
    ASSIGN_OR_RETURN(layer.post_attention_norm,
                     weights.norm(prefix + "post_attention_norm.weight", width, config.norm_eps));
    ASSIGN_OR_RETURN(layer.post_feed_forward_norm,
                     weights.norm(prefix + "post_ffw_norm.weight", width, config.norm_eps));
  }
  if (options_.qk_norm) {
    ASSIGN_OR_RETURN(std::vector<float> q_norm,
                     weights.norm_values(prefix + "attn_q_norm.weight", layer.attention.head_dim));
    ASSIGN_OR_RETURN(std::vector<float> k_norm,
                     weights.norm_values(prefix + "attn_k_norm.weight", layer.attention.head_dim));
    layer.attention.q_norm = std::move(q_norm);
    layer.attention.k_norm = std::move(k_norm);
  }
  if (options_.wide_qk_norm) {
    ASSIGN_OR_RETURN(layer.q_norm, weights.norm(prefix + "attn_q_norm.weight", q, config.norm_eps));
    ASSIGN_OR_RETURN(layer.k_norm,
                     weights.norm(prefix + "attn_k_norm.weight", kv, config.norm_eps));
  }
  ASSIGN_OR_RETURN(
      layer.qkv,
      weights.linear({{prefix + "attn_q", q}, {prefix + "attn_k", kv}, {prefix + "attn_v", kv}},
                     width));
  ASSIGN_OR_RETURN(layer.output, weights.linear({{prefix + "attn_output", width}}, q));
  ASSIGN_OR_RETURN(layer.gate_up,
                   weights.linear({{prefix + "ffn_gate", ff}, {prefix + "ffn_up", ff}}, width,
                                  nn::Stacking::kGateUp));
  ASSIGN_OR_RETURN(layer.down, weights.linear({{prefix + "ffn_down", width}}, ff));
  return layer;
}

Result<std::unique_ptr<Model>> Decoder::load(const store::Checkpoint& checkpoint,
                                             const store::ModelConfig& config,
                                             const DecoderOptions& options, nn::Backend& backend,
                                             const LoadProgress& progress) {
  ASSIGN_OR_RETURN(ModelSpec spec, make_spec(config, options));
  WeightLoader weights(checkpoint, backend, progress, options.norm_offset);
  std::unique_ptr<Decoder> model(new Decoder(backend, options, std::move(spec)));
  const int width = config.embedding_length;
  ASSIGN_OR_RETURN(model->embedding_, weights.linear({{"token_embd", config.vocab_size}}, width));
  model->head_ = model->embedding_;
  if (weights.has("output.weight")) {
    ASSIGN_OR_RETURN(model->head_, weights.linear({{"output", config.vocab_size}}, width));
  }
  std::vector<float> rope_factors = config.rope.divisors;
  if (weights.has("rope_freqs.weight")) {
    ASSIGN_OR_RETURN(rope_factors, weights.vector("rope_freqs.weight", config.rope.dims / 2));
    for (float factor : rope_factors) {
      if (!(factor > 0))
        return fail(Code::kInvalidFile,
                    fmt::format("[model] {}: rope_freqs holds {}", config.path, factor),
                    "rope_freqs");
    }
  }
  for (int i = 0; i < config.layers; ++i) {
    ASSIGN_OR_RETURN(Layer layer, model->load_layer(weights, config, i, rope_factors));
    model->layers_.push_back(std::move(layer));
  }
  ASSIGN_OR_RETURN(model->final_norm_, weights.norm("output_norm.weight", width, config.norm_eps));
  if (options.scale_embedding) model->embedding_scale_ = std::sqrt(static_cast<float>(width));
  const auto factor = [](float value) { return value > 0 ? value : 1.0f; };
  if (options.scales) {
    model->embedding_scale_ = factor(config.embedding_scale);
    model->residual_scale_ = factor(config.residual_scale);
    model->logit_factor_ = 1.0f / factor(config.logit_scale);
  }
  model->logit_soft_cap_ = config.logit_soft_cap;
  model->set_product_order();
  return std::unique_ptr<Model>(std::move(model));
}

// A step runs the products in this order.
void Decoder::set_product_order() {
  std::vector<const nn::LinearWeight*> order;
  for (const Layer& layer : layers_)
    order.insert(order.end(), {&layer.qkv, &layer.output, &layer.gate_up, &layer.down});
  order.push_back(&head_);
  backend_.set_order(order);
}

mx::array Decoder::forward(const nn::StepBatch& batch, nn::KvCache& kv) {
  mx::array x = nn::embed(backend_, embedding_, batch, embedding_scale_);
  mx::array normed = options_.pre_norms ? nn::rms_norm(backend_, layers_[0].attention_norm, x) : x;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    nn::KvLayerStore& store = kv.layer(static_cast<int>(i));
    const mx::array q =
        nn::qkv_rope_kv_write(backend_, layer.attention, projected(layer, normed), batch, store);
    mx::array mixed = nn::paged_attention(backend_, layer.attention, q, batch, store);
    if (i + 1 == layers_.size()) {  // nobody asks for the others' last layer but its KV
      if (batch.logit_tokens.empty()) return mixed;
      mixed = nn::gather(backend_, mixed, batch.logit_tokens);
      x = nn::gather(backend_, x, batch.logit_tokens);
    }
    const mx::array attended =
        behind(layer.post_attention_norm, nn::linear(backend_, layer.output, mixed));
    normed = take_in(options_.pre_norms ? &layer.feed_forward_norm : nullptr, x, attended);
    const mx::array fed =
        behind(layer.post_feed_forward_norm,
               nn::feed_forward(backend_, options_.gate, layer.gate_up, layer.down, normed));
    const bool last = i + 1 == layers_.size();
    normed =
        take_in(last || !options_.pre_norms ? nullptr : &layers_[i + 1].attention_norm, x, fed);
  }
  return x;
}

// q, k and v of a layer, side by side.
mx::array Decoder::projected(const Layer& layer, const mx::array& normed) {
  mx::array qkv = nn::linear(backend_, layer.qkv, normed);
  if (!options_.wide_qk_norm) return qkv;
  const int q = layer.attention.heads * layer.attention.head_dim;
  qkv = nn::norm_columns(backend_, layer.q_norm, qkv, 0);
  return nn::norm_columns(backend_, layer.k_norm, qkv, q);
}

// What a block gives, as the residual stream takes it in.
mx::array Decoder::behind(const nn::NormWeight& norm, const mx::array& given) {
  const mx::array out = options_.post_norms ? nn::rms_norm(backend_, norm, given) : given;
  return residual_scale_ == 1.0f ? out : nn::scale(backend_, out, residual_scale_);
}

// Adds to the residual stream; returns it, normed where a norm follows.
mx::array Decoder::take_in(const nn::NormWeight* norm, mx::array& x, const mx::array& delta) {
  if (norm != nullptr) return nn::add_rms_norm(backend_, *norm, x, delta);
  x = nn::add(backend_, x, delta);
  return x;
}

mx::array Decoder::logits(const mx::array& hidden) {
  mx::array out = nn::linear(backend_, head_, nn::rms_norm(backend_, final_norm_, hidden));
  if (logit_factor_ != 1.0f) out = nn::scale(backend_, out, logit_factor_);
  if (logit_soft_cap_ > 0) out = nn::soft_cap(backend_, out, logit_soft_cap_);
  return nn::as_floats(out);
}

}  // namespace pippin::models
