// Decoder: the dense decoder-only transformer that most text families share. A family that differs
// only in DecoderOptions is a file in models/families. Owner: the runner. Thread: the device
// thread.
#pragma once

#include <memory>
#include <vector>

#include "models/families/family.h"
#include "models/model.h"
#include "models/weights.h"
#include "nn/ops/attention.h"
#include "nn/ops/gated.h"

namespace pippin::models {

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
    nn::NormWeight q_norm, k_norm;  // with wide_qk_norm
    nn::AttentionSpec attention;
  };

  Decoder(nn::Backend& backend, const DecoderOptions& options, ModelSpec spec)
      : backend_(backend), options_(options), spec_(std::move(spec)) {}
  Result<Layer> load_layer(WeightLoader& weights, const store::ModelConfig& config, int index,
                           const std::vector<float>& rope_factors) const;
  nn::AttentionSpec attention_spec(const store::ModelConfig& config, int index,
                                   const std::vector<float>& rope_factors) const;
  void set_product_order();
  mlx::core::array projected(const Layer& layer, const mlx::core::array& normed);
  mlx::core::array behind(const nn::NormWeight& norm, const mlx::core::array& given);
  mlx::core::array take_in(const nn::NormWeight* norm, mlx::core::array& x,
                           const mlx::core::array& delta);

  nn::Backend& backend_;
  DecoderOptions options_;
  ModelSpec spec_;
  float embedding_scale_ = 1.0f;
  float residual_scale_ = 1.0f;
  float logit_factor_ = 1.0f;
  float logit_soft_cap_ = 0.0f;
  nn::LinearWeight embedding_, head_;
  nn::NormWeight final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace pippin::models
