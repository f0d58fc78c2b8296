// scale_by_width: what files of Gemma 2 and 3 leave unsaid. Thread: any.
#pragma once

#include <cmath>

#include "store/model_config.h"

namespace pippin::models {

/// Of a generation's largest model, which is told by its layers, scores are divided by the root of
/// E / H, not of D.
inline void scale_by_width(store::ModelConfig& config, int layers) {
  if (config.layers == layers && config.attention_scale == 0) {
    config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.embedding_length) /
                                              static_cast<float>(config.heads.front()));
  }
}

}  // namespace pippin::models
