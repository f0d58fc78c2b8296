// Rope: how fast each pair of a head's dims turns with the position, from a configuration: plain,
// linear, Llama 3's, YaRN and LongRoPE. Thread: any.
#pragma once

#include <vector>

#include "models/families/family.h"
#include "store/model_config.h"

namespace pippin::models {

struct Rope {
  int dims = 0;                 // rotated dims of each head; 0: none
  std::vector<float> inv_freq;  // [dims / 2] angle for each position
  float magnitude = 1;          // of cosines and sines
};

/// Returns a layer's rope. `divisors`: a file's own, [dims / 2] or empty.
/// Source: Su et al., RoFormer, 2021; Peng et al., YaRN, 2023; Ding et al., LongRoPE, 2024.
Rope make_rope(const store::ModelConfig& config, const DecoderOptions& options, int layer,
               bool windowed, const std::vector<float>& divisors);

}  // namespace pippin::models
