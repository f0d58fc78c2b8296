// DeltaNetBlock: the gated delta rule behind a short convolution (Qwen 3 Next, 3.5). Thread: the
// device thread.
#pragma once

#include <memory>
#include <vector>

#include "models/blocks/block.h"
#include "nn/backend/recurrent_spec.h"

namespace pippin::models {

class DeltaNetBlock final : public Mixer {
 public:
  /// Returns what a layer keeps of a sequence.
  static nn::KvGeometry geometry(const store::ModelConfig& config);
  /// Errors: kUnsupported, naming what of the configuration this block cannot do.
  static Result<void> check(const store::ModelConfig& config);
  static Result<std::unique_ptr<Mixer>> load(const LayerSource& source, nn::Backend& backend);

  mx::array mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) override;
  mx::array project(const mx::array& mixed) override;
  void add_products(ProductOrder& order) const override;

 private:
  explicit DeltaNetBlock(nn::Backend& backend) : backend_(backend) {}
  Result<void> load_input(const LayerSource& source);
  int inputs() const { return conv_.channels; }
  int values() const { return rule_.heads * rule_.value_dim; }

  nn::Backend& backend_;
  int store_ = 0;
  nn::ConvSpec conv_;
  nn::DeltaRuleSpec rule_;
  nn::GatedNormSpec norm_;
  nn::LinearWeight input_, output_;  // input: q, k, v; the gate; a; b
};

}  // namespace pippin::models
