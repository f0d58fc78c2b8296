// MlpBlock: a dense feed-forward layer, with a gate or without one. Thread: the device thread.
#pragma once

#include <limits>
#include <memory>
#include <optional>

#include "models/blocks/block.h"

namespace pippin::models {

class MlpBlock final : public FeedForward {
 public:
  static Result<std::unique_ptr<FeedForward>> load(const LayerSource& source, nn::Backend& backend);

  mx::array run(const mx::array& x) override;
  void add_products(ProductOrder& order) const override;

 private:
  MlpBlock(nn::Backend& backend, const DecoderOptions& options)
      : backend_(backend), activation_(options.gate), gated_(options.gated) {}
  Result<void> load_xielu(const LayerSource& source);
  mx::array fed(const mx::array& x);

  nn::Backend& backend_;
  const nn::Gate activation_;
  const bool gated_;
  float gate_factor_ = 1, out_factor_ = 1;
  float deviations_ = -std::numeric_limits<float>::infinity();  // above the gate's mean
  std::optional<nn::Xielu> xielu_;                              // in place of the activation
  nn::LinearWeight up_, down_;  // up: gate and up where there is a gate
  nn::LinearWeight gate_;       // the gate alone, where something is done to it
};

}  // namespace pippin::models
