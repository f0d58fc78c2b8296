#include "models/blocks/mlp.h"

#include "nn/ops/gated.h"

namespace pippin::models {

Result<std::unique_ptr<FeedForward>> MlpBlock::load(const LayerSource& source,
                                                    nn::Backend& backend) {
  std::unique_ptr<MlpBlock> block(new MlpBlock(backend, source.options));
  const int width = source.config.embedding_length,
            inner = source.config.feed_forward[source.index()];
  if (block->gated_) {
    std::vector<WeightLoader::Part> parts = {{source.name("ffn_gate"), inner},
                                             {source.name("ffn_up"), inner}};
    if (!source.has("ffn_gate"))  // one tensor, the gate's rows first
      parts = {{source.name("ffn_up"), inner, 0, 2 * inner},
               {source.name("ffn_up"), inner, inner, 2 * inner}};
    ASSIGN_OR_RETURN(block->up_, source.weights.linear(parts, width, nn::Stacking::kGateUp));
  } else {
    ASSIGN_OR_RETURN(block->up_, source.weights.linear({{source.name("ffn_up"), inner}}, width));
  }
  ASSIGN_OR_RETURN(block->down_, source.weights.linear({{source.name("ffn_down"), width}}, inner));
  return std::unique_ptr<FeedForward>(std::move(block));
}

mx::array MlpBlock::run(const mx::array& x) {
  return gated_ ? nn::feed_forward(backend_, activation_, up_, down_, x)
                : nn::plain_feed_forward(backend_, activation_, up_, down_, x);
}

void MlpBlock::add_products(ProductOrder& order) const {
  order.insert(order.end(), {&up_, &down_});
}

}  // namespace pippin::models
