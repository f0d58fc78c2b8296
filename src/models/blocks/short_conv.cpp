#include "models/blocks/short_conv.h"

#include "models/blocks/conv.h"
#include "nn/ops/linear.h"
#include "nn/ops/recurrent.h"

namespace pippin::models {

nn::KvGeometry ShortConvBlock::geometry(const store::ModelConfig& config) {
  return {.state = {.conv_positions = config.recurrent.conv_taps - 1,
                    .conv_channels = config.embedding_length}};
}

Result<std::unique_ptr<Mixer>> ShortConvBlock::load(const LayerSource& source,
                                                    nn::Backend& backend) {
  std::unique_ptr<ShortConvBlock> block(new ShortConvBlock(backend));
  const int width = source.config.embedding_length;
  block->store_ = source.store;
  ASSIGN_OR_RETURN(block->conv_, load_conv(source, "shortconv.conv", width));
  block->conv_.gated = true;
  ASSIGN_OR_RETURN(block->input_,
                   source.weights.linear({{source.name("shortconv.in_proj"), 3 * width}}, width));
  ASSIGN_OR_RETURN(block->output_,
                   source.weights.linear({{source.name("shortconv.out_proj"), width}}, width));
  return std::unique_ptr<Mixer>(std::move(block));
}

mx::array ShortConvBlock::mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) {
  const mx::array inputs = nn::linear(backend_, input_, x);
  return nn::causal_conv(backend_, conv_, {inputs, 0, inputs.shape(1)}, batch, kv.layer(store_));
}

mx::array ShortConvBlock::project(const mx::array& mixed) {
  return nn::linear(backend_, output_, mixed);
}

void ShortConvBlock::add_products(ProductOrder& order) const {
  order.insert(order.end(), {&input_, &output_});
}

}  // namespace pippin::models
