#include "models/blocks/layer_inputs.h"

#include <cmath>

#include "nn/ops/gated.h"
#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::models {

Result<std::unique_ptr<LayerInputs>> LayerInputs::load(WeightLoader& weights,
                                                       const store::ModelConfig& config,
                                                       nn::Backend& backend) {
  std::unique_ptr<LayerInputs> inputs(new LayerInputs(backend));
  const int width = config.layer_input, all = config.layers * width;
  inputs->width_ = width;
  inputs->table_scale_ = std::sqrt(static_cast<float>(width));
  ASSIGN_OR_RETURN(inputs->table_,
                   weights.linear({{"per_layer_token_embd", config.layer_input_vocab}}, all));
  ASSIGN_OR_RETURN(inputs->projection_,
                   weights.linear({{"per_layer_model_proj", all}}, config.embedding_length));
  ASSIGN_OR_RETURN(inputs->norm_,
                   weights.norm("per_layer_proj_norm.weight", width, config.norm_eps));
  // The norm forgets what its input is multiplied by, but for epsilon.
  inputs->norm_.eps *= static_cast<float>(config.embedding_length);
  return inputs;
}

LayerInputs::Step LayerInputs::of_step(const nn::StepBatch& batch, const mx::array& embedded) {
  nn::StepBatch known;
  known.tokens = batch.tokens;
  // Tokens of images and sounds have no row of their own.
  for (int32_t& token : known.tokens)
    if (token >= table_.rows) token = 0;
  return {nn::linear(backend_, projection_, embedded),
          nn::embed(backend_, table_, known, table_scale_)};
}

mx::array LayerInputs::of_layer(const Step& step, int layer) {
  const int first = layer * width_;
  const mx::array projected =
      nn::norm(backend_, norm_, nn::columns(backend_, step.projected, first, width_));
  const mx::array sum =
      nn::add(backend_, projected, nn::columns(backend_, step.embedded, first, width_));
  return nn::scale(backend_, sum, std::sqrt(0.5f));
}

Result<std::unique_ptr<LayerInput>> LayerInput::load(const LayerSource& source,
                                                     nn::Backend& backend) {
  std::unique_ptr<LayerInput> input(new LayerInput(backend, source.options.gate));
  const int width = source.config.embedding_length, inner = source.config.layer_input;
  ASSIGN_OR_RETURN(input->gate_, source.weights.linear({{source.name("inp_gate"), inner}}, width));
  ASSIGN_OR_RETURN(input->output_, source.weights.linear({{source.name("proj"), width}}, inner));
  ASSIGN_OR_RETURN(input->norm_, source.weights.norm(source.name("post_norm.weight"), width,
                                                     source.config.norm_eps));
  return input;
}

mx::array LayerInput::run(const mx::array& x, const mx::array& input) {
  const mx::array gated = nn::gate(backend_, activation_, nn::linear(backend_, gate_, x), input);
  return nn::norm(backend_, norm_, nn::linear(backend_, output_, gated));
}

}  // namespace pippin::models
