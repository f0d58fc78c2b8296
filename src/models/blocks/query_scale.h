// QueryScale: factors of queries that grow with the position, so that long contexts take sharper
// attention. Owner: a layer's mixer. Thread: any.
// Source: Llama 4 (attn_temperature_tuning), Ministral 3 and Mistral 4 (llama_4_scaling_beta).
#pragma once

#include "models/blocks/block.h"
#include "store/model_config.h"

namespace pippin::models {

class QueryScale {
 public:
  QueryScale() = default;
  explicit QueryScale(const store::ModelConfig& config);

  /// q: [T, columns]. Returns it unchanged where the model has no such factors.
  mx::array apply(nn::Backend& backend, const mx::array& q, const nn::StepBatch& batch) const;

 private:
  float beta_ = 0;
  int positions_ = 1, offset_ = 0;
};

}  // namespace pippin::models
