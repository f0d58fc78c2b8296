// Decoder: the dense decoder-only transformer that most text families share. A family that differs
// only in these options is a row in models/registry.cpp. Owner: the runner. Thread: the device
// thread.
#pragma once

#include <memory>
#include <vector>

#include "models/model.h"
#include "models/weights.h"
#include "nn/ops/attention.h"
#include "nn/ops/gated.h"

namespace pippin::models {

/// What tells one family from another. Sizes come from the file's ModelConfig.
struct DecoderOptions {
  bool rope_interleaved = false;  // pairs (2i, 2i + 1): a llama's weights as GGUF permutes them
  bool qk_norm = false;           // RMS norm of each head of q and k (Qwen 3, Gemma 3)
  bool post_norms =
      false;  // norms behind attention and feed-forward, before the residual add (Gemma)
  float norm_offset = 0;         // added to the weights of norms (Gemma, where GGUF has not yet)
  bool scale_embedding = false;  // embeddings times sqrt(E) (Gemma)
  nn::Gate gate = nn::Gate::kSilu;
  int window_period =
      0;  // > 0: every n-th layer sees all positions, where the file does not say (Gemma 3)
  float window_rope_base = 0;  // > 0: rope base of the windowed layers
};

class Decoder final : public Model {
 public:
  /// Errors: kUnsupported, for what this decoder cannot do.
  static Result<ModelSpec> make_spec(const store::ModelConfig& config,
                                     const DecoderOptions& options);
  static Result<std::unique_ptr<Model>> load(const store::Checkpoint& checkpoint,
                                             const store::ModelConfig& config,
                                             const DecoderOptions& options, nn::Backend& backend,
                                             const LoadProgress& progress);

  const ModelSpec& spec() const override { return spec_; }
  mlx::core::array forward(const nn::StepBatch& batch, nn::KvCache& kv) override;
  mlx::core::array logits(const mlx::core::array& hidden) override;

 private:
  struct Layer {
    nn::NormWeight attention_norm, feed_forward_norm;
    nn::NormWeight post_attention_norm, post_feed_forward_norm;  // with post_norms
    nn::LinearWeight qkv, output, gate_up, down;
    nn::AttentionSpec attention;
  };

  Decoder(nn::Backend& backend, const DecoderOptions& options, ModelSpec spec)
      : backend_(backend), options_(options), spec_(std::move(spec)) {}
  Result<Layer> load_layer(WeightLoader& weights, const store::ModelConfig& config, int index,
                           const std::vector<float>& rope_factors) const;
  nn::AttentionSpec attention_spec(const store::ModelConfig& config, int index,
                                   const std::vector<float>& rope_factors) const;
  void link_products();

  nn::Backend& backend_;
  DecoderOptions options_;
  ModelSpec spec_;
  float embedding_scale_ = 1.0f;
  float logit_soft_cap_ = 0.0f;
  nn::LinearWeight embedding_, head_;
  nn::NormWeight final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace pippin::models
