#include "models/blocks/mlp.h"

#include <cmath>

#include "nn/ops/gated.h"
#include "nn/ops/linear.h"
#include "nn/ops/streams.h"

namespace pippin::models {

Result<std::unique_ptr<FeedForward>> MlpBlock::load(const LayerSource& source,
                                                    nn::Backend& backend) {
  std::unique_ptr<MlpBlock> block(new MlpBlock(backend, source.options));
  const int width = source.config.embedding_length,
            inner = source.config.feed_forward[source.index()];
  const store::Multipliers& multipliers = source.config.multipliers;
  block->gate_factor_ = multipliers.feed_forward_gate;
  block->out_factor_ = multipliers.feed_forward_out;
  const std::vector<float>& deviations = source.config.gate_deviations;
  if (!deviations.empty()) block->deviations_ = deviations[source.index()];
  const bool alone = block->gate_factor_ != 1 || std::isfinite(block->deviations_);
  if (source.options.xielu) RETURN_IF_ERROR(block->load_xielu(source));
  // Granite's files without experts name it as the shared expert of those with.
  const bool shared = !source.has("ffn_down") && source.has("ffn_down_shexp");
  const std::string end = shared ? "_shexp" : "";
  const std::string gate = source.name("ffn_gate" + end), up = source.name("ffn_up" + end),
                    down = source.name("ffn_down" + end);
  if (block->gated_ && alone) {
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

// GGUF files have it in their configuration, others as tensors of one value.
Result<void> MlpBlock::load_xielu(const LayerSource& source) {
  store::XieluConfig curve;
  if (!source.config.xielu.empty()) {
    curve = source.config.xielu[source.index()];
  } else {
    for (const auto& [name, value] : {std::pair("alpha_p", &curve.alpha_p),
                                      {"alpha_n", &curve.alpha_n},
                                      {"beta", &curve.beta},
                                      {"eps", &curve.eps}}) {
      const std::string part = source.name(std::string("xielu_") + name);
      ASSIGN_OR_RETURN(const std::vector<float> one, source.weights.values(part, 1));
      *value = one.front();
    }
  }
  const auto softplus = [](float x) { return x > 20 ? x : std::log1p(std::exp(x)); };
  xielu_ = {.alpha_p = softplus(curve.alpha_p),
            .alpha_n = curve.beta + softplus(curve.alpha_n),
            .beta = curve.beta,
            .eps = curve.eps};
  return {};
}

mx::array MlpBlock::run(const mx::array& x) {
  const mx::array out = fed(x);
  return out_factor_ == 1 ? out : nn::scale(backend_, out, out_factor_);
}

mx::array MlpBlock::fed(const mx::array& x) {
  if (gate_.rows > 0) {
    mx::array by = nn::linear(backend_, gate_, x);
    if (gate_factor_ != 1) by = nn::scale(backend_, by, gate_factor_);
    if (std::isfinite(deviations_)) by = nn::above_mean(backend_, by, deviations_);
    return nn::linear(backend_, down_,
                      nn::gate(backend_, activation_, by, nn::linear(backend_, up_, x)));
  }
  if (xielu_)
    return nn::linear(backend_, down_, nn::xielu(backend_, *xielu_, nn::linear(backend_, up_, x)));
  return gated_ ? nn::feed_forward(backend_, activation_, up_, down_, x)
                : nn::plain_feed_forward(backend_, activation_, up_, down_, x);
}

void MlpBlock::add_products(ProductOrder& order) const {
  if (gate_.rows > 0) order.push_back(&gate_);
  order.insert(order.end(), {&up_, &down_});
}

}  // namespace pippin::models
