// ShortConvBlock: a short convolution between two gates (LFM 2). Thread: the device thread.
#pragma once

#include <memory>

#include "models/blocks/block.h"
#include "nn/backend/recurrent_spec.h"

namespace pippin::models {

class ShortConvBlock final : public Mixer {
 public:
  /// Returns what a layer keeps of a sequence.
  static nn::KvGeometry geometry(const store::ModelConfig& config);
  static Result<std::unique_ptr<Mixer>> load(const LayerSource& source, nn::Backend& backend);

  mx::array mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) override;
  mx::array project(const mx::array& mixed) override;
  void add_products(ProductOrder& order) const override;

 private:
  explicit ShortConvBlock(nn::Backend& backend) : backend_(backend) {}

  nn::Backend& backend_;
  int store_ = 0;
  nn::ConvSpec conv_;
  nn::LinearWeight input_, output_;
};

}  // namespace pippin::models
