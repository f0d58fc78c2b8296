// Decoder: the decoder-only transformer that text families share: layers of a mixer and a
// feed-forward layer (models/blocks) around a residual stream. A family that differs only in
// DecoderOptions is a file in models/families. Owner: the runner. Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "models/blocks/altup.h"
#include "models/blocks/block.h"
#include "models/blocks/layer_inputs.h"
#include "models/families/family.h"
#include "models/model.h"
#include "models/weights.h"

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
  mlx::core::array final_norm(const mlx::core::array& hidden) override;
  mlx::core::array logits(const mlx::core::array& hidden) override;

 private:
  struct Layer {
    std::unique_ptr<Mixer> mixer;               // null: none
    std::unique_ptr<FeedForward> feed_forward;  // null: none
    /// Before the mixer (or the feed-forward layer, where there is no mixer), and before the
    /// feed-forward layer; with pre_norms.
    nn::NormWeight norm, feed_forward_norm;
    nn::NormWeight post_mixer_norm, post_feed_forward_norm;  // with post_norms
    std::unique_ptr<LayerInput> input;                       // null: it takes none
    float scale = 1;                                         // of what it gives
    std::unique_ptr<AltUpLayer> streams;                     // null: there is one stream
  };
  // The residual stream between layers, what of it the next block takes, and what tokens give to
  // each layer beside it.
  struct Stream {
    mlx::core::array x, normed;
    std::optional<LayerInputs::Step> inputs = {};
  };

  Decoder(nn::Backend& backend, const DecoderOptions& options, ModelSpec spec)
      : backend_(backend), options_(options), spec_(std::move(spec)) {}
  Result<void> load_ends(WeightLoader& weights, const store::ModelConfig& config);
  Result<void> load_norms(const LayerSource& source, Layer& layer) const;
  void set_product_order();
  void keep_logit_rows(Stream& stream, const nn::StepBatch& batch);
  Result<void> load_output(const LayerSource& source, Layer& layer) const;
  void feed_forward(size_t index, Stream& stream);
  mlx::core::array forward_streams(const mlx::core::array& embedded, const nn::StepBatch& batch,
                                   nn::KvCache& kv);
  const nn::NormWeight* norm_after(size_t layer) const;
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
  nn::LinearWeight positions_;  // [context, E], with learned_positions
  nn::NormWeight final_norm_;
  std::unique_ptr<LayerInputs> inputs_;     // null: layers take none
  std::unique_ptr<AltUpEnds> stream_ends_;  // null: there is one stream
  std::vector<Layer> layers_;
};

}  // namespace pippin::models
