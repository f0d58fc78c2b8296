// ParallelBlock: attention and Mamba 2 side by side, whose outputs are added (Falcon-H1). Thread:
// the device thread.
#pragma once

#include <memory>
#include <utility>

#include "models/blocks/block.h"

namespace pippin::models {

class ParallelBlock final : public Mixer {
 public:
  ParallelBlock(nn::Backend& backend, const store::Multipliers& multipliers,
                std::unique_ptr<Mixer> attention, std::unique_ptr<Mixer> recurrence)
      : backend_(backend),
        in_factor_(multipliers.attention_in),
        out_factor_(multipliers.attention_out),
        attention_(std::move(attention)),
        recurrence_(std::move(recurrence)) {}

  /// Projects both at once. Shapes: [T, E] -> [T, E].
  mx::array mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) override;
  mx::array project(const mx::array& mixed) override { return mixed; }
  void add_products(ProductOrder& order) const override;

 private:
  nn::Backend& backend_;
  const float in_factor_, out_factor_;  // of the attention
  const std::unique_ptr<Mixer> attention_, recurrence_;
};

}  // namespace pippin::models
