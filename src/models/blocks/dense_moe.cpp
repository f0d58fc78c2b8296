#include "models/blocks/dense_moe.h"

#include <cmath>

#include "models/blocks/mlp.h"
#include "nn/ops/norm.h"

namespace pippin::models {

Result<std::unique_ptr<FeedForward>> DenseMoeBlock::load(const LayerSource& source,
                                                         nn::Backend& backend) {
  std::unique_ptr<DenseMoeBlock> block(new DenseMoeBlock(backend));
  ASSIGN_OR_RETURN(block->dense_, MlpBlock::load(source, backend));
  ASSIGN_OR_RETURN(block->experts_, MoeBlock::load(source, backend));
  RETURN_IF_ERROR(block->load_norms(source));
  return std::unique_ptr<FeedForward>(std::move(block));
}

Result<void> DenseMoeBlock::load_norms(const LayerSource& source) {
  const int width = source.config.embedding_length;
  const float eps = source.config.norm_eps;
  for (const auto& [norm, part] : {std::pair(&dense_norm_, "ffn_norm"),
                                   {&dense_post_norm_, "post_ffw_norm_1"},
                                   {&experts_norm_, "pre_ffw_norm_2"},
                                   {&experts_post_norm_, "post_ffw_norm_2"}}) {
    ASSIGN_OR_RETURN(*norm, source.weights.norm(source.name(part) + ".weight", width, eps));
  }
  ASSIGN_OR_RETURN(std::vector<float> scales,
                   source.weights.vector(source.name("ffn_gate_inp.scale"), width));
  for (float& scale : scales) scale /= std::sqrt(static_cast<float>(width));
  router_norm_.eps = eps;
  router_norm_.values = std::move(scales);
  return {};
}

mx::array DenseMoeBlock::run(const mx::array& x) {
  const mx::array dense = dense_->run(nn::norm(backend_, dense_norm_, x));
  const mx::array mixed = experts_->run_routed(nn::norm(backend_, experts_norm_, x),
                                               nn::norm(backend_, router_norm_, x));
  return nn::add(backend_, nn::norm(backend_, dense_post_norm_, dense),
                 nn::norm(backend_, experts_post_norm_, mixed));
}

void DenseMoeBlock::add_products(ProductOrder& order) const {
  dense_->add_products(order);
  experts_->add_products(order);
}

}  // namespace pippin::models
