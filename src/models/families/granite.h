// granite_folder: what all of Granite's configurations say by the same names. Constants; thread:
// any.
#pragma once

#include "store/hf_family.h"

namespace pippin::models {

/// Returns a family with Granite's factors, and nothing else that differs from a llama.
constexpr store::HfFamily granite_folder(std::string_view model_type,
                                         std::string_view architecture) {
  return {.model_type = model_type,
          .architecture = architecture,
          .eps = 1e-6,
          .attention_scale = "attention_multiplier",
          .embedding_scale = "embedding_multiplier",
          .residual_scale = "residual_multiplier",
          .logit_scale = "logits_scaling"};
}

}  // namespace pippin::models
