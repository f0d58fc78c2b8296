// The values that the codes of table formats stand for.
#pragma once

#include <cstdint>

#include "base/tensor_type.h"

namespace pippin::nn::cpu {

/// Unsigned codes of the table formats: the signed value + 2^offset_shift.
/// Source: GGML's kvalues_iq4nl; OCP Microscaling Formats 1.0 for FP4 (values doubled, so that they
/// are integers).
struct Codebook {
  uint8_t codes[16];
};
constexpr Codebook codebook(TensorType type) {
  if (type == TensorType::kMXFP4)
    return {{16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4}};
  return {{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}};
}

}  // namespace pippin::nn::cpu
