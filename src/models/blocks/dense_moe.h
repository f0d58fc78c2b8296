// DenseMoeBlock: a dense feed-forward layer beside a mixture of experts, each with norms of its own
// before and behind (Gemma 4). Thread: the device thread.
#pragma once

#include <memory>

#include "models/blocks/moe.h"

namespace pippin::models {

class DenseMoeBlock final : public FeedForward {
 public:
  static Result<std::unique_ptr<FeedForward>> load(const LayerSource& source, nn::Backend& backend);

  /// Takes the residual stream as it is, and norms it.
  mx::array run(const mx::array& x) override;
  void add_products(ProductOrder& order) const override;

 private:
  explicit DenseMoeBlock(nn::Backend& backend) : backend_(backend) {}
  Result<void> load_norms(const LayerSource& source);

  nn::Backend& backend_;
  std::unique_ptr<FeedForward> dense_;
  std::unique_ptr<MoeBlock> experts_;
  nn::NormWeight dense_norm_, dense_post_norm_, experts_norm_, experts_post_norm_, router_norm_;
};

}  // namespace pippin::models
