// LayerInputs: what each token gives every layer beside the residual stream: a part of a second
// embedding, and of a projection of the first (Gemma 3n and 4). LayerInput takes it into a layer.
// Thread: the device thread.
#pragma once

#include <memory>

#include "models/blocks/block.h"

namespace pippin::models {

class LayerInputs {
 public:
  /// What a step's tokens give, for all L layers side by side, each [T, L P].
  struct Step {
    mx::array projected, embedded;
  };

  static Result<std::unique_ptr<LayerInputs>> load(WeightLoader& weights,
                                                   const store::ModelConfig& config,
                                                   nn::Backend& backend);
  /// Shapes: embedded [T, E], as the first layer takes it.
  Step of_step(const nn::StepBatch& batch, const mx::array& embedded);
  /// Returns one layer's part. Shapes: [T, P].
  mx::array of_layer(const Step& step, int layer);
  void add_products(ProductOrder& order) const { order.push_back(&projection_); }

 private:
  explicit LayerInputs(nn::Backend& backend) : backend_(backend) {}

  nn::Backend& backend_;
  int width_ = 0;                        // P
  float table_scale_ = 1;                // of the table's values
  nn::LinearWeight table_, projection_;  // [V, L P]; [L P, E]
  nn::NormWeight norm_;                  // of a layer's part of the projection
};

/// A layer's own: x + norm(project(gelu(gate x) * input)).
class LayerInput {
 public:
  static Result<std::unique_ptr<LayerInput>> load(const LayerSource& source, nn::Backend& backend);
  /// Returns what is added to x. Shapes: x [R, E], input [R, P] -> [R, E].
  mx::array run(const mx::array& x, const mx::array& input);
  void add_products(ProductOrder& order) const { order.insert(order.end(), {&gate_, &output_}); }

 private:
  LayerInput(nn::Backend& backend, nn::Gate activation)
      : backend_(backend), activation_(activation) {}

  nn::Backend& backend_;
  const nn::Gate activation_;
  nn::LinearWeight gate_, output_;  // [P, E], [E, P]
  nn::NormWeight norm_;
};

}  // namespace pippin::models
