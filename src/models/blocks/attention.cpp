#include "models/blocks/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "models/blocks/rope.h"
#include "nn/ops/attention.h"
#include "nn/ops/gated.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::models {
namespace {

// Whether a layer sees all positions. The file's own word comes before the family's habit.
bool is_global(const store::ModelConfig& config, const DecoderOptions& options, int layer) {
  if (config.sliding_window <= 0 && config.chunk <= 0) return true;
  if (!config.windowed_layers.empty()) return !config.windowed_layers[static_cast<size_t>(layer)];
  const int period = config.window_period > 0 ? config.window_period : options.window_period;
  return period <= 0 || (layer + 1) % period == 0;
}

nn::AttentionSpec make_spec(const LayerSource& source, const std::vector<float>& rope_divisors) {
  const store::ModelConfig& config = source.config;
  const DecoderOptions& options = source.options;
  const nn::KvGeometry geometry = AttentionBlock::geometry(config, options, source.layer);
  nn::AttentionSpec spec;
  spec.heads = config.heads[source.index()];
  spec.kv_heads = geometry.kv_heads;
  spec.head_dim = geometry.head_dim;
  spec.scale = config.attention_scale > 0 ? config.attention_scale
                                          : 1.0f / std::sqrt(static_cast<float>(spec.head_dim));
  spec.scale *= config.multipliers.keys;
  spec.soft_cap = config.attention_soft_cap;
  spec.norm_eps = config.norm_eps;
  spec.norm_after_rope = options.norm_after_rope;
  spec.rope_interleaved = options.rope_interleaved || options.rope_pairs;
  spec.window = geometry.window;
  spec.chunk = geometry.chunk;
  spec.queries_only = AttentionBlock::kv_layer(config, options, source.layer) != source.layer;
  const bool windowed = spec.window > 0 || spec.chunk > 0;
  Rope rope = make_rope(config, options, source.layer, windowed, rope_divisors);
  spec.rope_dims = rope.dims;
  spec.rope_magnitude = rope.magnitude;
  spec.inv_freq = std::move(rope.inv_freq);
  return spec;
}

// Of a projection that gives the queries of a key, the key and its value behind each other: all
// queries, then all keys, then all values.
std::vector<WeightLoader::Part> parts_by_key(const LayerSource& source,
                                             const nn::AttentionSpec& spec) {
  const int queries = spec.heads / spec.kv_heads, each = queries + 2;
  std::vector<WeightLoader::Part> parts;
  const auto add = [&](int first, int count) {
    for (int key = 0; key < spec.kv_heads; ++key)
      parts.push_back({source.name("attn_qkv_heads"), count * spec.head_dim,
                       (each * key + first) * spec.head_dim, each * spec.kv_heads * spec.head_dim});
  };
  add(0, queries);
  add(queries, 1);
  add(queries + 1, 1);
  return parts;
}

// Of a projection that gives each head's query and its gate behind each other: one of the two.
std::vector<WeightLoader::Part> head_halves(const LayerSource& source,
                                            const nn::AttentionSpec& spec, int half) {
  std::vector<WeightLoader::Part> parts;
  for (int head = 0; head < spec.heads; ++head)
    parts.push_back({source.name("attn_q"), spec.head_dim, (2 * head + half) * spec.head_dim,
                     2 * spec.heads * spec.head_dim});
  return parts;
}

}  // namespace

int AttentionBlock::kv_layer(const store::ModelConfig& config, const DecoderOptions& options,
                             int layer) {
  const int own = config.layers - config.shared_kv_layers;
  if (layer < own) return layer;
  const bool global = is_global(config, options, layer);
  int from = own - 1;
  while (from >= 0 && is_global(config, options, from) != global) --from;
  return from;
}

Result<void> AttentionBlock::check(const store::ModelConfig& config,
                                   const DecoderOptions& options) {
  const auto unsupported = [&](std::string what, std::string key) {
    return fail(Code::kUnsupported, fmt::format("[model] {}: {}", config.path, what),
                config.architecture + "." + key);
  };
  if (config.head_dim_k != config.head_dim_v) {
    return unsupported(fmt::format("keys of {} and values of {} dimensions are not supported yet",
                                   config.head_dim_k, config.head_dim_v),
                       "attention.value_length");
  }
  for (const auto& [dim, key] : {std::pair(config.head_dim_k, "attention.key_length"),
                                 {config.head_dim_window, "attention.key_length_swa"}}) {
    if (dim % 16 == 0 && dim <= nn::kHeadDimMax) continue;
    return unsupported(
        fmt::format("head dimensions must be multiples of 16 up to 1024, this file has {}", dim),
        key);
  }
  const int window_dim = config.head_dim_window > 0 ? config.head_dim_window : config.head_dim_k;
  const store::RopeConfig& rope = config.rope;
  const int window_rope = rope.dims_window > 0 ? rope.dims_window : rope.dims;
  if (window_rope > window_dim || (window_rope != rope.dims && !options.rope_windows_unscaled))
    return unsupported(fmt::format("{} of {} dimensions cannot be rotated in layers with a window",
                                   window_rope, window_dim),
                       "rope.dimension_count_swa");
  if (config.shared_kv_layers > 0 && (config.recurrent.any() || config.latent.rank > 0))
    return unsupported("keys are shared between layers of attention alone",
                       "attention.shared_kv_layers");
  for (int i = 0; i < config.layers; ++i) {
    const int from = kv_layer(config, options, i);
    const auto at = [](const std::vector<int>& each, int layer) {
      return each[static_cast<size_t>(layer)];
    };
    if (from < 0 || at(config.kv_heads, from) != at(config.kv_heads, i))
      return fail(
          Code::kInvalidFile,
          fmt::format("[model] {}: layer {} has no earlier one to take keys from", config.path, i),
          config.architecture + ".attention.shared_kv_layers");
  }
  return {};
}

nn::KvGeometry AttentionBlock::geometry(const store::ModelConfig& config,
                                        const DecoderOptions& options, int layer) {
  nn::KvGeometry geometry{config.kv_heads[static_cast<size_t>(layer)], config.head_dim_k};
  if (is_global(config, options, layer)) return geometry;
  if (config.head_dim_window > 0) geometry.head_dim = config.head_dim_window;
  geometry.window = config.sliding_window;
  geometry.chunk = config.chunk;
  return geometry;
}

Result<std::unique_ptr<Mixer>> AttentionBlock::load(const LayerSource& source, nn::Backend& backend,
                                                    const std::vector<float>& rope_divisors) {
  std::unique_ptr<AttentionBlock> block(new AttentionBlock(backend));
  block->store_ = source.store;
  block->spec_ = make_spec(source, rope_divisors);
  if (!source.options.scale_unrotated || block->spec_.rope_dims == 0)
    block->query_scale_ = QueryScale(source.config);
  RETURN_IF_ERROR(block->load_norms(source));
  RETURN_IF_ERROR(block->load_projections(source));
  return std::unique_ptr<Mixer>(std::move(block));
}

Result<void> AttentionBlock::load_norms(const LayerSource& source) {
  WeightLoader& weights = source.weights;
  const std::string q_name = source.name("attn_q_norm.weight"),
                    k_name = source.name("attn_k_norm.weight");
  const bool optional = source.options.qk_norm_if_there && source.has("attn_q_norm");
  if (source.options.qk_norm || optional) {
    ASSIGN_OR_RETURN(std::vector<float> q_norm, weights.norm_values(q_name, spec_.head_dim));
    spec_.q_norm = std::move(q_norm);
    if (!spec_.queries_only) {
      ASSIGN_OR_RETURN(std::vector<float> k_norm, weights.norm_values(k_name, spec_.head_dim));
      spec_.k_norm = std::move(k_norm);
    }
  }
  if (source.options.value_norm && !spec_.queries_only) {
    value_norm_.eps = source.config.norm_eps;
    value_norm_.values = std::vector<float>(static_cast<size_t>(spec_.head_dim), 1.0f);
  }
  if (source.config.plain_qk_norm && spec_.rope_dims > 0)
    spec_.q_norm = spec_.k_norm = std::vector<float>(static_cast<size_t>(spec_.head_dim), 1.0f);
  if (source.options.wide_qk_norm) {
    ASSIGN_OR_RETURN(q_norm_,
                     weights.norm(q_name, spec_.heads * spec_.head_dim, source.config.norm_eps));
    ASSIGN_OR_RETURN(k_norm_,
                     weights.norm(k_name, spec_.kv_heads * spec_.head_dim, source.config.norm_eps));
  }
  if (source.has("attn_sinks")) {
    ASSIGN_OR_RETURN(std::vector<float> sinks,
                     weights.vector(source.name("attn_sinks.weight"), spec_.heads));
    spec_.sinks = std::move(sinks);
  }
  return {};
}

Result<void> AttentionBlock::load_projections(const LayerSource& source) {
  const int width = source.config.embedding_length, q = spec_.heads * spec_.head_dim,
            kv = spec_.kv_heads * spec_.head_dim;
  std::vector<WeightLoader::Part> parts = {{source.name("attn_qkv"), q + 2 * kv}};
  const bool values = source.has("attn_v") || !source.options.keys_as_values;
  if (!source.has("attn_qkv"))
    parts = {{source.name("attn_q"), q},
             {source.name("attn_k"), kv},
             {source.name(values ? "attn_v" : "attn_k"), kv}};
  if (source.has("attn_qkv_heads")) parts = parts_by_key(source, spec_);
  if (spec_.queries_only) {
    parts = {{source.name("attn_q"), q}};
    // Files keep what the layer had before it shared another one's.
    for (const char* unused : {"attn_k.weight", "attn_v.weight", "attn_k_norm.weight"})
      source.weights.skip(source.name(unused));
  }
  if (source.options.output_gate) {
    parts = head_halves(source, spec_, 0);
    parts.push_back({source.name("attn_k"), kv});
    parts.push_back({source.name("attn_v"), kv});
    ASSIGN_OR_RETURN(gate_, source.weights.linear(head_halves(source, spec_, 1), width));
  }
  ASSIGN_OR_RETURN(qkv_, source.weights.linear(parts, width));
  ASSIGN_OR_RETURN(output_, source.weights.linear({{source.name("attn_output"), width}}, q));
  return {};
}

mx::array AttentionBlock::mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) {
  nn::KvLayerStore& store = kv.layer(store_);
  const mx::array q = query_scale_.apply(
      backend_, nn::qkv_rope_kv_write(backend_, spec_, projected(x), batch, store), batch);
  const mx::array mixed = nn::paged_attention(backend_, spec_, q, batch, store);
  if (gate_.rows == 0) return mixed;
  return nn::gate(backend_, nn::Gate::kSigmoid, nn::linear(backend_, gate_, x), mixed);
}

// q, k and v, side by side.
mx::array AttentionBlock::projected(const mx::array& x) {
  mx::array qkv = nn::linear(backend_, qkv_, x);
  for (int head = 0; !value_norm_.values.empty() && head < spec_.kv_heads; ++head)
    qkv = nn::norm_columns(backend_, value_norm_, qkv,
                           (spec_.heads + spec_.kv_heads + head) * spec_.head_dim);
  if (q_norm_.values.empty()) return qkv;
  qkv = nn::norm_columns(backend_, q_norm_, qkv, 0);
  return nn::norm_columns(backend_, k_norm_, qkv, spec_.heads * spec_.head_dim);
}

mx::array AttentionBlock::project(const mx::array& mixed) {
  return nn::linear(backend_, output_, mixed);
}

void AttentionBlock::add_products(ProductOrder& order) const {
  order.push_back(&qkv_);
  if (gate_.rows > 0) order.push_back(&gate_);
  order.push_back(&output_);
}

}  // namespace pippin::models
