#include "models/blocks/indexer.h"

#include <fmt/format.h>

#include <utility>

#include "nn/ops/latent_attention.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::models {
namespace {

constexpr float kKeyNormEps = 1e-6f;  // whatever the other norms have

}  // namespace

Result<void> Indexer::check(const store::ModelConfig& config, const DecoderOptions& options) {
  const store::IndexConfig& index = config.latent.index;
  const auto refused = [&](const char* key, std::string_view what, Code code) {
    return fail(code, fmt::format("[model] {}: {}", config.path, what),
                config.architecture + "." + key);
  };
  if (!options.indexer) {
    if (index.top == 0) return {};
    return refused("attention.indexer.top_k",
                   "sparse attention is not supported in this architecture", Code::kUnsupported);
  }
  const std::pair<const char*, int> sizes[] = {{"attention.indexer.head_count", index.heads},
                                               {"attention.indexer.key_length", index.dim},
                                               {"attention.indexer.top_k", index.top},
                                               {"attention.q_lora_rank", config.latent.query_rank}};
  for (const auto& [key, size] : sizes)
    if (size == 0) return refused(key, "sparse attention needs this key", Code::kInvalidFile);
  if (!index.in_layer(0))
    return refused("attention.indexer.types", "the first layer needs an indexer",
                   Code::kInvalidFile);
  if (index.dim % 16 != 0 || index.dim < config.rope.dims) {
    return refused("attention.indexer.key_length",
                   fmt::format("index keys need a multiple of 16 that is not below the {} rotated "
                               "dims, this file has {}",
                               config.rope.dims, index.dim),
                   Code::kUnsupported);
  }
  return {};
}

Result<Indexer> Indexer::load(const LayerSource& source, nn::Backend& backend, const Rope& rope) {
  Indexer indexer(backend);
  const store::LatentConfig& latent = source.config.latent;
  const int width = source.config.embedding_length;
  nn::IndexSpec& spec = indexer.spec_;
  spec.heads = latent.index.heads;
  spec.dim = latent.index.dim;
  spec.rope = rope.dims;
  spec.top = latent.index.top;
  spec.rope_interleaved = source.options.index_rope_pairs;
  spec.rope_magnitude = rope.magnitude;
  spec.inv_freq = rope.inv_freq;
  WeightLoader& weights = source.weights;
  ASSIGN_OR_RETURN(indexer.query_,
                   weights.linear({{source.name("indexer.attn_q_b"), spec.heads * spec.dim}},
                                  latent.query_rank));
  ASSIGN_OR_RETURN(indexer.key_,
                   weights.linear({{source.name("indexer.attn_k"), spec.dim}}, width));
  ASSIGN_OR_RETURN(indexer.weights_,
                   weights.linear({{source.name("indexer.proj"), spec.heads}}, width));
  nn::NormWeight& norm = indexer.key_norm_;
  norm.eps = kKeyNormEps;
  norm.centred = true;
  ASSIGN_OR_RETURN(std::vector<float> scales,
                   weights.vector(source.name("indexer.k_norm.weight"), spec.dim));
  ASSIGN_OR_RETURN(std::vector<float> bias,
                   weights.vector(source.name("indexer.k_norm.bias"), spec.dim));
  norm.values = std::move(scales);
  norm.bias = std::move(bias);
  return indexer;
}

std::optional<mx::array> Indexer::select(const mx::array& x, const mx::array& queries,
                                         const nn::StepBatch& batch, nn::KvLayerStore& store) {
  nn::Backend& on = *backend_;
  const mx::array keys = nn::norm(on, key_norm_, nn::linear(on, key_, x));
  return nn::select_positions(on, spec_, nn::linear(on, query_, queries), keys,
                              nn::linear(on, weights_, x), batch, store);
}

}  // namespace pippin::models
