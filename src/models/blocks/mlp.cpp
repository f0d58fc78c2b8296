#include "models/blocks/mlp.h"

#include "nn/ops/gated.h"
#include "nn/ops/linear.h"

namespace pippin::models {

Result<std::unique_ptr<FeedForward>> MlpBlock::load(const LayerSource& source,
                                                    nn::Backend& backend) {
  std::unique_ptr<MlpBlock> block(new MlpBlock(backend, source.options));
  const int width = source.config.embedding_length,
            inner = source.config.feed_forward[source.index()];
  const store::Multipliers& multipliers = source.config.multipliers;
  block->gate_factor_ = multipliers.feed_forward_gate;
  block->out_factor_ = multipliers.feed_forward_out;
  // Granite's files without experts name it as the shared expert of those with.
  const bool shared = !source.has("ffn_down") && source.has("ffn_down_shexp");
  const std::string end = shared ? "_shexp" : "";
  const std::string gate = source.name("ffn_gate" + end), up = source.name("ffn_up" + end),
                    down = source.name("ffn_down" + end);
  if (block->gated_ && block->gate_factor_ != 1) {
    ASSIGN_OR_RETURN(block->gate_, source.weights.linear({{gate, inner}}, width));
    ASSIGN_OR_RETURN(block->up_, source.weights.linear({{up, inner}}, width));
  } else if (block->gated_) {
    std::vector<WeightLoader::Part> parts = {{gate, inner}, {up, inner}};
    if (!source.weights.has(gate + ".weight")) {  // one tensor, the gate's rows first
      const std::string both = shared ? source.name("ffn_gate_up_shexp") : up;
      parts = {{both, inner, 0, 2 * inner}, {both, inner, inner, 2 * inner}};
    }
    ASSIGN_OR_RETURN(block->up_, source.weights.linear(parts, width, nn::Stacking::kGateUp));
  } else {
    ASSIGN_OR_RETURN(block->up_, source.weights.linear({{up, inner}}, width));
  }
  ASSIGN_OR_RETURN(block->down_, source.weights.linear({{down, width}}, inner));
  return std::unique_ptr<FeedForward>(std::move(block));
}

mx::array MlpBlock::run(const mx::array& x) {
  const mx::array out = fed(x);
  return out_factor_ == 1 ? out : nn::scale(backend_, out, out_factor_);
}

mx::array MlpBlock::fed(const mx::array& x) {
  if (gate_.rows > 0) {
    const mx::array by = nn::scale(backend_, nn::linear(backend_, gate_, x), gate_factor_);
    return nn::linear(backend_, down_,
                      nn::gate(backend_, activation_, by, nn::linear(backend_, up_, x)));
  }
  return gated_ ? nn::feed_forward(backend_, activation_, up_, down_, x)
                : nn::plain_feed_forward(backend_, activation_, up_, down_, x);
}

void MlpBlock::add_products(ProductOrder& order) const {
  if (gate_.rows > 0) order.push_back(&gate_);
  order.insert(order.end(), {&up_, &down_});
}

}  // namespace pippin::models
