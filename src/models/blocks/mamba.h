// MambaBlock: the selective scan of Mamba 1, with norms of step sizes, B and C where a file has
// them (Mamba, Falcon Mamba, Jamba). Thread: the device thread.
#pragma once

#include <memory>
#include <vector>

#include "models/blocks/block.h"
#include "nn/backend/recurrent_spec.h"

namespace pippin::models {

class MambaBlock final : public Mixer {
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
  explicit MambaBlock(nn::Backend& backend) : backend_(backend) {}
  Result<void> load_norms(const LayerSource& source);

  nn::Backend& backend_;
  int store_ = 0;
  int rank_ = 0;  // of the step sizes' projection
  nn::ConvSpec conv_;
  nn::MambaSpec scan_;
  nn::LinearWeight input_, selection_, steps_, output_;  // selection: raw step sizes, B, C
  std::vector<nn::NormWeight> norms_;                    // of these three, or none
};

}  // namespace pippin::models
