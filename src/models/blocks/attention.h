// AttentionBlock: projections of queries, keys and values, attention over the layer's blocks, and
// the output projection. Thread: the device thread.
#pragma once

#include <memory>
#include <vector>

#include "models/blocks/block.h"
#include "models/blocks/query_scale.h"
#include "nn/backend/attention_spec.h"

namespace pippin::models {

class AttentionBlock final : public Mixer {
 public:
  /// Returns what a layer keeps of each position.
  static nn::KvGeometry geometry(const store::ModelConfig& config, const DecoderOptions& options,
                                 int layer);
  /// Returns the layer whose keys and values a layer attends to: itself, or the last one of its
  /// kind that has any.
  static int kv_layer(const store::ModelConfig& config, const DecoderOptions& options, int layer);
  /// Errors: kUnsupported, naming what of the configuration this block cannot do.
  static Result<void> check(const store::ModelConfig& config, const DecoderOptions& options);
  /// `rope_divisors`: [rope dims / 2] or empty, the file's own.
  static Result<std::unique_ptr<Mixer>> load(const LayerSource& source, nn::Backend& backend,
                                             const std::vector<float>& rope_divisors);

  mx::array mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) override;
  mx::array project(const mx::array& mixed) override;
  void add_products(ProductOrder& order) const override;

 private:
  explicit AttentionBlock(nn::Backend& backend) : backend_(backend) {}
  Result<void> load_norms(const LayerSource& source);
  Result<void> load_projections(const LayerSource& source);
  mx::array projected(const mx::array& x);

  nn::Backend& backend_;
  int store_ = 0;
  nn::AttentionSpec spec_;
  QueryScale query_scale_;
  nn::LinearWeight qkv_, output_;
  nn::LinearWeight gate_;           // of the outputs; or empty
  nn::NormWeight q_norm_, k_norm_;  // over all heads together; or empty
  nn::NormWeight value_norm_;       // of one head; or empty
};

}  // namespace pippin::models
