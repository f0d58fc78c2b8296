// MoeBlock: a feed-forward layer of experts, of which each token takes a few, with shared experts
// that every token takes, or without. Thread: the device thread.
#pragma once

#include <memory>

#include "models/blocks/block.h"
#include "nn/backend/expert_weights.h"

namespace pippin::models {

class MoeBlock final : public FeedForward {
 public:
  /// Errors: kUnsupported or kInvalidFile, naming what of the configuration this block cannot do.
  static Result<void> check(const store::ModelConfig& config, const DecoderOptions& options);
  static Result<std::unique_ptr<MoeBlock>> load(const LayerSource& source, nn::Backend& backend);

  mx::array run(const mx::array& x) override { return run_routed(x, x); }
  /// The router takes another input than the experts. Shapes: [R, E] both -> [R, E].
  mx::array run_routed(const mx::array& x, const mx::array& routed_by);
  void add_products(ProductOrder& order) const override;

 private:
  MoeBlock(nn::Backend& backend, const DecoderOptions& options)
      : backend_(backend), activation_(options.gate), gated_(options.gated) {}
  Result<void> load_experts(const LayerSource& source);
  Result<void> load_shared(const LayerSource& source);
  bool has_shared() const { return shared_down_.rows > 0; }

  nn::Backend& backend_;
  const nn::Gate activation_;
  const bool gated_;
  nn::MoeWeights weights_;
  nn::LinearWeight shared_up_, shared_down_;  // of all shared experts together; or empty
  nn::LinearWeight shared_gate_;              // [1, E], of a sigmoid; or empty
  bool shared_mean_ = false;                  // of chosen and shared experts, not their sum
};

}  // namespace pippin::models
