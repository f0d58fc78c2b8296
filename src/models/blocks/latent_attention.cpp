#include "models/blocks/latent_attention.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "models/blocks/rope.h"
#include "nn/ops/latent_attention.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::models {
namespace {

// YaRN sharpens scores, too, where the file says by how much.
float score_scale(const store::ModelConfig& config) {
  const store::RopeConfig& rope = config.rope;
  double scale = 1.0 / std::sqrt(static_cast<double>(config.latent.plain + rope.dims));
  if (rope.scaling == store::RopeScaling::kYarn && rope.factor > 1) {
    const double sharper = 1 + 0.1 * rope.yarn_log_multiplier * std::log(rope.factor);
    scale *= sharper * sharper;
  }
  return static_cast<float>(scale);
}

float norm_eps(const LayerSource& source) {
  const float own = source.options.latent_norm_eps;
  return own > 0 ? own : source.config.norm_eps;
}

// [H, rows, columns] to [H, columns, rows].
std::vector<float> turned(const std::vector<float>& values, int heads, int rows, int columns) {
  std::vector<float> out(values.size());
  const auto r_count = static_cast<size_t>(rows), c_count = static_cast<size_t>(columns);
  for (size_t h = 0; h < static_cast<size_t>(heads); ++h)
    for (size_t r = 0; r < r_count; ++r)
      for (size_t c = 0; c < c_count; ++c)
        out[(h * c_count + c) * r_count + r] = values[(h * r_count + r) * c_count + c];
  return out;
}

}  // namespace

nn::KvGeometry LatentBlock::geometry(const store::ModelConfig& config, int layer) {
  nn::KvGeometry geometry;
  geometry.latent = config.latent.rank + config.rope.dims;
  if (config.latent.index.in_layer(layer)) geometry.index_key = config.latent.index.dim;
  return geometry;
}

Result<void> LatentBlock::check(const store::ModelConfig& config, const DecoderOptions& options) {
  const store::LatentConfig& latent = config.latent;
  const std::pair<const char*, int> sizes[] = {{"attention.kv_lora_rank", latent.rank},
                                               {"attention.key_length_mla", latent.plain},
                                               {"attention.value_length_mla", latent.value},
                                               {"rope.dimension_count", config.rope.dims}};
  for (const auto& [key, size] : sizes) {
    if (size <= 0 || size % 16 != 0)
      return fail(Code::kUnsupported,
                  fmt::format("[model] {}: compressed keys and values need multiples of 16, this "
                              "file has {}",
                              config.path, size),
                  config.architecture + "." + key);
  }
  if (config.rope.dims > nn::kHeadDimMax) {
    return fail(Code::kUnsupported,
                fmt::format("[model] {}: at most {} dims can be rotated, this file has {}",
                            config.path, nn::kHeadDimMax, config.rope.dims),
                config.architecture + ".rope.dimension_count");
  }
  return Indexer::check(config, options);
}

Result<std::unique_ptr<Mixer>> LatentBlock::load(const LayerSource& source, nn::Backend& backend,
                                                 const std::vector<float>& rope_divisors) {
  std::unique_ptr<LatentBlock> block(new LatentBlock(backend));
  const store::ModelConfig& config = source.config;
  const int width = config.embedding_length;
  block->store_ = source.store;
  nn::LatentSpec& spec = block->spec_;
  Rope rope = make_rope(config, source.options, source.layer, false, rope_divisors);
  spec.heads = config.heads[source.index()];
  spec.rank = config.latent.rank;
  spec.rope = rope.dims;
  spec.plain = config.latent.plain;
  spec.value = config.latent.value;
  spec.scale = score_scale(config);
  spec.rope_interleaved = source.options.rope_pairs;
  spec.rope_magnitude = rope.magnitude;
  block->query_scale_ = QueryScale(config);
  block->selected_ = source.selected;
  if (source.options.indexer && config.latent.index.in_layer(source.layer)) {
    ASSIGN_OR_RETURN(block->indexer_, Indexer::load(source, backend, rope));
  }
  spec.inv_freq = std::move(rope.inv_freq);
  RETURN_IF_ERROR(block->load_queries(source));
  ASSIGN_OR_RETURN(
      block->kv_down_,
      source.weights.linear({{source.name("attn_kv_a_mqa"), spec.rank + spec.rope}}, width));
  ASSIGN_OR_RETURN(block->kv_norm_, source.weights.norm(source.name("attn_kv_a_norm.weight"),
                                                        spec.rank, norm_eps(source)));
  RETURN_IF_ERROR(block->load_up(source));
  ASSIGN_OR_RETURN(block->output_, source.weights.linear({{source.name("attn_output"), width}},
                                                         spec.heads * spec.value));
  return std::unique_ptr<Mixer>(std::move(block));
}

Result<void> LatentBlock::load_queries(const LayerSource& source) {
  const int width = source.config.embedding_length, rank = source.config.latent.query_rank,
            rows = spec_.heads * (spec_.plain + spec_.rope);
  if (rank == 0) {
    ASSIGN_OR_RETURN(query_, source.weights.linear({{source.name("attn_q"), rows}}, width));
    return {};
  }
  ASSIGN_OR_RETURN(query_down_, source.weights.linear({{source.name("attn_q_a"), rank}}, width));
  ASSIGN_OR_RETURN(query_norm_, source.weights.norm(source.name("attn_q_a_norm.weight"), rank,
                                                    norm_eps(source)));
  ASSIGN_OR_RETURN(query_, source.weights.linear({{source.name("attn_q_b"), rows}}, rank));
  return {};
}

// What makes keys and values of the compressed ones: two tensors, or one with each head's rows of
// the key before those of the value.
Result<void> LatentBlock::load_up(const LayerSource& source) {
  const int heads = spec_.heads, rank = spec_.rank, plain = spec_.plain, value = spec_.value;
  if (source.has("attn_k_b")) {
    ASSIGN_OR_RETURN(const std::vector<float> keys,
                     source.weights.floats(source.name("attn_k_b.weight"), {heads, rank, plain}));
    ASSIGN_OR_RETURN(const std::vector<float> values,
                     source.weights.floats(source.name("attn_v_b.weight"), {heads, value, rank}));
    spec_.key_up = turned(keys, heads, rank, plain);
    spec_.value_up = turned(values, heads, value, rank);
    source.weights.skip(source.name("attn_kv_b.weight"));  // some files have both forms
    return {};
  }
  ASSIGN_OR_RETURN(const std::vector<float> both,
                   source.weights.floats(source.name("attn_kv_b.weight"),
                                         {int64_t{heads} * (plain + value), rank}));
  std::vector<float> keys, values;
  const auto key_size = static_cast<ptrdiff_t>(plain) * rank,
             value_size = static_cast<ptrdiff_t>(value) * rank;
  for (auto head = both.begin(); head != both.end(); head += key_size + value_size) {
    keys.insert(keys.end(), head, head + key_size);
    values.insert(values.end(), head + key_size, head + key_size + value_size);
  }
  spec_.key_up = std::move(keys);
  spec_.value_up = turned(values, heads, value, rank);
  return {};
}

mx::array LatentBlock::mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) {
  const mx::array queries =
      query_norm_.values.empty()
          ? x
          : nn::norm(backend_, query_norm_, nn::linear(backend_, query_down_, x));
  const mx::array q = query_scale_.apply(backend_, nn::linear(backend_, query_, queries), batch);
  if (indexer_) *selected_ = indexer_->select(x, queries, batch, kv.layer(store_));
  const mx::array kept = nn::norm_columns(backend_, kv_norm_, nn::linear(backend_, kv_down_, x), 0);
  return nn::latent_attention(backend_, spec_, q, kept, *selected_, batch, kv.layer(store_));
}

mx::array LatentBlock::project(const mx::array& mixed) {
  return nn::linear(backend_, output_, mixed);
}

void LatentBlock::add_products(ProductOrder& order) const {
  if (query_down_.rows > 0) order.push_back(&query_down_);
  order.push_back(&query_);
  if (indexer_) indexer_->add_products(order);
  order.insert(order.end(), {&kv_down_, &output_});
}

}  // namespace pippin::models
