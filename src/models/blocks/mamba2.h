// Mamba2Block: a state-space model behind a short convolution (Mamba 2, Granite 4, Nemotron-H,
// Falcon-H1). Thread: the device thread.
#pragma once

#include <array>
#include <memory>

#include "models/blocks/block.h"
#include "nn/backend/recurrent_spec.h"

namespace pippin::models {

class Mamba2Block final : public Mixer {
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
  explicit Mamba2Block(nn::Backend& backend) : backend_(backend) {}
  void multiply(const std::array<float, 5>& parts);

  nn::Backend& backend_;
  int store_ = 0;
  int inner_ = 0;
  float in_factor_ = 1, out_factor_ = 1;
  nn::ConvSpec conv_;
  nn::SsdSpec scan_;
  nn::GatedNormSpec norm_;
  nn::LinearWeight input_, output_;  // input: the gate; x, B, C; step sizes
};

}  // namespace pippin::models
